"""A loop for each test, and a listener with a clock for those about waiting; closed behind it."""

import pytest

from tests.net.listener import DEADLINE, Clock, Scene
from tests.net.turning import Turning


@pytest.fixture
def turning():
    made = Turning()
    yield made
    made.close()


@pytest.fixture
def scene(turning):
    made = Scene(turning, deadline=float(DEADLINE))
    yield made
    made.port.close()


@pytest.fixture
def clock(scene):
    return Clock(scene)
