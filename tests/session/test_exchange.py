"""A mechanism goes on while the login is pending: the session lends the attempt its client."""

import pytest
from twisted.internet.defer import CancelledError

from mmp.errors import Refused, RemoteProtocolError
from mmp.model import Refusal
from tests.session.scene import LOGIN, STEPS, Scene


@pytest.fixture
def asking():
    """A login at whose store somebody asks the client to prove it."""
    scene = Scene()
    scene.channel.said()
    scene.channel.say(LOGIN)
    scene.pass_steps(*STEPS[:-1])
    scene.gates.open("connect", b"prove it")
    assert scene.channel.said() == b"+ cHJvdmUgaXQ=\r\n"
    return scene


def test_what_the_store_asks_and_what_the_client_answers_pass_through(asking):
    asking.channel.say(b"bXkgcHJvb2Y=\r\n")
    asking.gates.open("connect", b"once more")
    assert asking.channel.said() == b"+ b25jZSBtb3Jl\r\n"
    asking.channel.say(b"\r\nb SELECT INBOX\r\n")
    asking.gates.open("connect")
    assert asking.outcome() is None
    assert [each for each in asking.gates.passed if isinstance(each, bytes)] == [b"my proof", b""]
    assert asking.channel.said().startswith(b"a OK ")
    ((_, _, trailing, _),) = asking.relays.taken
    assert trailing == b"b SELECT INBOX\r\n"


def test_a_client_that_gives_up_has_failed_but_is_not_bad(asking):
    asking.channel.say(b"*\r\n")
    assert asking.channel.said() == b"a BAD Given up by the client\r\n"
    assert [event["result"] for event in asking.log.named("login")] == [Refusal.CANCELLED]
    assert asking.throttle.outcomes == []
    assert [slot.closed for slot in asking.limits.granted] == [1]
    asking.log_in()
    assert asking.outcome() is None


def test_giving_up_too_often_ends_the_session():
    scene = Scene(max_failures=2)
    for _ in range(2):
        assert scene.ended == []
        scene.channel.say(LOGIN)
        scene.pass_steps(*STEPS[:-1])
        scene.gates.open("connect", b"prove it")
        scene.channel.say(b"*\r\n")
    assert isinstance(scene.outcome(), RemoteProtocolError)


def test_a_client_that_goes_while_it_is_asked_leaves_nothing_taken(asking):
    asking.running.cancel()
    assert isinstance(asking.outcome(), CancelledError)
    assert asking.gates.waiting == {}
    assert [slot.closed for slot in asking.limits.granted] == [1]
    assert asking.dialer.backends == []


def test_a_client_that_breaks_its_protocol_while_it_is_asked_ends_its_session(asking):
    asking.channel.say(b"A" * 70_000)
    assert isinstance(asking.outcome(), RemoteProtocolError)
    assert asking.core.data_to_send().startswith(b"* BYE ")
    assert [slot.closed for slot in asking.limits.granted] == [1]


def test_a_refusal_by_the_store_after_the_exchange_is_bad():
    scene = Scene()
    scene.channel.say(LOGIN)
    scene.pass_steps(*STEPS[:-1])
    scene.gates.open("connect", b"prove it")
    scene.channel.say(b"bXkgcHJvb2Y=\r\n")
    scene.gates.fail("connect", Refused(Refusal.BAD_CREDENTIALS, "store: no"))
    assert scene.throttle.outcomes == ["failed"]
