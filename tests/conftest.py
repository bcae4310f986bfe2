"""What all tests share."""

import importlib.util

import hypothesis
import pytest
from twisted.python.failure import Failure

# No test judges by the time that something took, examples included.
hypothesis.settings.register_profile("mmp", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("mmp")


@pytest.fixture
def failures_cleaned(monkeypatch):
    """Twisted drops the traceback of a failure dealt with; pytest-twisted switches that off for its reports."""
    spec = importlib.util.find_spec(Failure.__module__)
    original = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(original)
    monkeypatch.setattr(Failure, "cleanFailure", original.Failure.cleanFailure)
