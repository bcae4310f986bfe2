"""A loop for each test, closed behind it."""

import pytest

from tests.net.turning import Turning


@pytest.fixture
def turning():
    made = Turning()
    yield made
    made.close()
