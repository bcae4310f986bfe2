"""A login that a store refuses because the user's mail has moved, and the directory's answer was a remembered one."""

import pytest
from twisted.internet.defer import CancelledError

from mmp.errors import Refused
from mmp.model import Account, Refusal, Standing
from tests.session.scene import STEPS, Scene

WRONG = Refused(Refusal.BAD_CREDENTIALS, "store: no")
MOVED = Account("alice@example.com", "alice", "store2", standing=Standing(0, "alice", "cn=alice", "", "store2", 1))


def refused_once(refused=WRONG, moved=MOVED, **options):
    """Return a session whose login the first store has refused."""
    scene = Scene(**options)
    scene.authenticator.moved = moved
    scene.channel.said()
    scene.refuse(refused)
    return scene


def test_the_login_is_tried_where_the_mail_is_now_and_only_that_is_what_the_client_hears():
    scene = refused_once()
    scene.pass_steps("reconsider", "admit")
    assert scene.channel.said() == b""
    scene.pass_steps("connect")
    assert scene.outcome() is None
    assert scene.channel.said().startswith(b"a OK ")
    assert scene.throttle.outcomes == ["succeeded"]
    assert [lease.closed for lease in scene.limits.granted] == [1, 0]
    assert (scene.record.user, scene.record.standing) == (MOVED.user, MOVED.standing)
    assert [told["result"] for told in scene.log.named("login")] == ["ok"]


def test_a_password_that_is_wrong_there_too_is_one_failure_and_no_third_store_hears_of_it():
    scene = refused_once()
    scene.pass_steps("reconsider", "admit")
    scene.gates.fail("connect", Refused(Refusal.BAD_CREDENTIALS, "store: not here either"))
    assert scene.channel.said().startswith(b"a NO [AUTHENTICATIONFAILED]")
    assert (scene.authenticator.reconsidered, scene.throttle.outcomes) == (1, ["failed"])
    assert [lease.closed for lease in scene.limits.granted] == [1, 1]
    assert [told["reason"] for told in scene.log.named("login")] == ["store: not here either"]


def test_a_password_that_is_wrong_where_the_mail_is_is_said_once():
    scene = refused_once(moved=None)
    assert scene.channel.said().startswith(b"a NO [AUTHENTICATIONFAILED]")
    assert scene.gates.passed.count("connect") == 0
    assert scene.throttle.outcomes == ["failed"]
    assert [told["reason"] for told in scene.log.named("login")] == ["store: no"]


def test_whoever_turns_out_to_be_nobody_hears_what_anybody_hears():
    scene = refused_once(moved=Refused(Refusal.BAD_CREDENTIALS, "unknown user"))
    scene.pass_steps("reconsider")
    assert scene.channel.said().startswith(b"a NO [AUTHENTICATIONFAILED]")
    assert scene.throttle.outcomes == ["failed"]


@pytest.mark.parametrize(
    "refusal",
    sorted(set(Refusal) - {Refusal.BAD_CREDENTIALS, Refusal.NOT_AUTHORIZED, Refusal.ACCOUNT_DISABLED}, key=str),
)
def test_what_is_not_about_the_user_is_no_reason_to_look_elsewhere(refusal):
    assert refused_once(Refused(refusal, "store: no")).authenticator.reconsidered == 0


def test_a_relay_that_any_other_would_do_for_is_never_the_wrong_one():
    scene = refused_once(relayed=True)
    assert scene.channel.said().startswith(b"a NO [AUTHENTICATIONFAILED]")
    assert scene.authenticator.reconsidered == 0


@pytest.mark.parametrize("reached", ["reconsider", "admit", "connect"])
def test_a_client_that_goes_meanwhile_leaves_nothing_taken(reached):
    scene = refused_once()
    steps = ("reconsider", *STEPS[STEPS.index("admit") :])
    scene.pass_steps(*steps[: steps.index(reached)])
    scene.running.cancel()
    assert isinstance(scene.outcome(), CancelledError)
    assert scene.gates.waiting == {}
    assert {lease.closed for lease in scene.limits.granted} == {1}
    assert scene.throttle.outcomes == []
