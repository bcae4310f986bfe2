"""The client goes away while something is awaited: whatever had been taken is given back."""

import pytest
from twisted.internet.defer import CancelledError

from tests.session.scene import LOGIN, STEPS, Scene


@pytest.mark.parametrize("reached", range(len(STEPS)), ids=STEPS)
def test_a_client_that_goes_leaves_nothing_taken(reached):
    scene = Scene()
    scene.channel.said()
    scene.channel.say(LOGIN)
    scene.pass_steps(*STEPS[:reached])
    assert set(scene.gates.waiting) == {STEPS[reached]}
    scene.running.cancel()
    assert isinstance(scene.outcome(), CancelledError)
    assert scene.gates.waiting == {}
    granted = scene.limits.granted
    assert len(granted) == (1 if STEPS.index("admit") < reached else 0)
    assert [slot.closed for slot in granted] == [1] * len(granted)
    assert scene.dialer.backends == []
    assert scene.relays.taken == []
    assert b"OK" not in scene.channel.said()


def test_a_client_that_goes_before_its_login_leaves_nothing_waiting():
    scene = Scene()
    scene.running.cancel()
    assert isinstance(scene.outcome(), CancelledError)
    assert scene.gates.waiting == {}


def test_nothing_is_awaited_between_the_stores_yes_and_the_hand_over():
    """When the last step is let go, the relay has both connections before control returns."""
    scene = Scene()
    scene.channel.say(LOGIN)
    scene.pass_steps(*STEPS)
    assert len(scene.relays.taken) == 1
    assert scene.gates.waiting == {}
    assert scene.limits.granted[0].closed == 0
