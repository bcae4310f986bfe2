"""What a throttle is told of login attempts."""

import pytest

from mmp.errors import Refused
from mmp.model import Refusal
from tests.session.scene import LOGIN, STEPS, Scene


@pytest.mark.parametrize("refusal", Refusal)
def test_only_a_wrong_password_and_a_lock_count_as_failures(refusal):
    scene = Scene()
    scene.refuse(Refused(refusal, "for a reason"))
    assert scene.throttle.outcomes == (
        ["failed"] if refusal in {Refusal.BAD_CREDENTIALS, Refusal.ACCOUNT_LOCKED} else []
    )
    assert scene.throttle.closed == 1


def test_an_unknown_user_counts_like_a_wrong_password():
    scene = Scene()
    scene.refuse(Refused(Refusal.BAD_CREDENTIALS, "unknown user"), at="locate")
    assert scene.throttle.outcomes == ["failed"]


def test_a_success_is_told_after_the_stores_yes():
    scene = Scene()
    scene.channel.say(LOGIN)
    for step in STEPS:
        assert scene.throttle.outcomes == []
        scene.pass_steps(step)
    assert scene.throttle.outcomes == ["succeeded"]


@pytest.mark.parametrize("at", STEPS)
def test_what_nobody_expected_counts_for_nothing_and_gives_the_lease_back(at):
    scene = Scene()
    scene.refuse(ZeroDivisionError(), at=at)
    assert isinstance(scene.outcome(), ZeroDivisionError)
    assert scene.throttle.outcomes == []
    assert [slot.closed for slot in scene.limits.granted] == ([1] if at == "connect" else [])


def test_a_throttle_that_fails_at_the_end_costs_neither_lease_nor_store():
    scene = Scene()
    scene.throttle.succeeded = lambda *_: 1 / 0
    scene.log_in()
    assert isinstance(scene.outcome(), ZeroDivisionError)
    assert [slot.closed for slot in scene.limits.granted] == [1]
    assert [backend.channel.aborted for backend in scene.dialer.backends] == [1]


def test_who_is_held_back_is_not_looked_up():
    scene = Scene()
    scene.channel.say(LOGIN)
    assert list(scene.gates.waiting) == ["hold"]
