"""No test here may leave a failure that nobody looked at."""

import gc

import pytest
from twisted.logger import LogLevel, globalLogPublisher


@pytest.fixture(autouse=True)
def nothing_unhandled():
    """Fail if something was logged as unexpected, such as a failed Deferred that nobody waited for."""
    events = []
    globalLogPublisher.addObserver(events.append)
    yield
    gc.collect()
    globalLogPublisher.removeObserver(events.append)
    assert not [event for event in events if event["log_level"] >= LogLevel.error]
