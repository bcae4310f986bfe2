"""When an attempt to log in is over, nothing of it is left for the garbage collector, least of all secrets."""

import gc

import pytest

from mmp.model import Account, Credentials, Replay
from mmp.net.channel import Channel
from mmp.net.wheel import RESOLUTION
from mmp.session.login import Relayed
from mmp.wire.imap.client import Client
from tests.stores.test_cancellation import STEPS, WholeLogin

TRANSIENT = (Credentials, Replay, Client, Channel, Relayed)


@pytest.fixture
def alive(failures_cleaned):
    """Tells what has come to life since the beginning of the test and is alive yet, while nothing is collected."""
    gc.collect()
    before = [each for each in gc.get_objects() if isinstance(each, TRANSIENT)]
    known = set(map(id, before))
    gc.disable()
    yield lambda: {
        type(each).__name__ for each in gc.get_objects() if isinstance(each, TRANSIENT) and id(each) not in known
    }
    gc.enable()


def refuses(scene):
    scene.network.channel.dataReceived(b"m2 NO [AUTHENTICATIONFAILED] no\r\n")


def makes_no_sense(scene):
    scene.network.channel.dataReceived(b"220 smtp.example ESMTP\r\n")


def goes(scene):
    scene.network.channel.connectionLost(ConnectionResetError("reset"))


def is_silent(scene):
    for _ in range(round(31 / RESOLUTION)):
        scene.clock.advance(RESOLUTION)


def cannot_be_reached(scene):
    scene.gates.fail("connect", ConnectionRefusedError("refused"))


def is_not_waited_for(scene):
    scene.running.cancel()
    scene.ended.pop().cleanFailure()  # as is done where sessions are run


@pytest.mark.parametrize(
    ("reached", "store"),
    [
        ("answer", refuses),
        ("answer", makes_no_sense),
        ("greeting", makes_no_sense),
        ("greeting", goes),
        ("answer", goes),
        ("TLS", is_silent),
        ("greeting", is_silent),
        ("answer", is_silent),
        ("connect", cannot_be_reached),
        ("connect", is_not_waited_for),
        ("TLS", is_not_waited_for),
        ("greeting", is_not_waited_for),
        ("answer", is_not_waited_for),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_nothing_is_left_of_an_attempt_when_the_store(reached, store, alive):
    scene = WholeLogin()
    for step in STEPS[: STEPS.index(reached)]:
        scene.pass_step(step)
    assert "Credentials" in alive()
    store(scene)
    scene.network.channel = None
    assert b"a NO" in scene.channel.said() or scene.running.called
    assert alive() == set()


@pytest.mark.parametrize("ending", ["given up", "refused", "gone"])
def test_nothing_is_left_of_an_exchange_that_ends(ending, alive):
    scene = WholeLogin(b"a AUTHENTICATE SCRAM-SHA-1 biwsbj1BbGljZSxyPXg=\r\n")
    for step in STEPS[: STEPS.index("capabilities")]:
        scene.pass_step(step)
    scene.network.channel.dataReceived(b"* CAPABILITY IMAP4rev1 SASL-IR AUTH=SCRAM-SHA-1\r\nm1 OK\r\n+ cj14eQ==\r\n")
    assert scene.channel.said() == b"+ cj14eQ==\r\n"
    if ending == "given up":
        scene.channel.say(b"*\r\n")
    elif ending == "refused":
        scene.channel.say(b"Yz1iaXdz\r\n")
        scene.network.channel.dataReceived(b"m2 NO [AUTHENTICATIONFAILED] no\r\n")
    else:
        scene.running.cancel()
        scene.ended.pop().cleanFailure()
    scene.network.channel = None
    assert alive() == set()


def test_nothing_is_left_of_an_attempt_that_two_stores_refuse(alive):
    scene = WholeLogin()
    scene.authenticator.moved = Account("alice", "alice", "store1")
    before = STEPS[: STEPS.index("answer")]
    for step in before:
        scene.pass_step(step)
    refuses(scene)
    for step in ("reconsider", *before[before.index("admit") :]):
        scene.pass_step(step)
    refuses(scene)
    scene.network.channel = None
    assert b"a NO" in scene.channel.said()
    assert alive() == set()


def test_only_the_connection_is_left_of_an_attempt_that_succeeds(alive):
    scene = WholeLogin()
    for step in STEPS:
        scene.pass_step(step)
    assert alive() == {"Relayed", "Channel", "Client"}
    scene.network.channel = None
    scene.relays.taken.clear()
    assert alive() == set()
