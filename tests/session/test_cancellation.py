"""The client goes away while something is awaited: whatever had been taken is given back."""

import types

import pytest
from twisted.internet.defer import CancelledError

from mmp.model import Account
from mmp.session.login import Login
from mmp.session.record import Record
from mmp.session.session import Session
from mmp.session.throttled import Throttled
from mmp.wire.imap.server import Server
from tests import fakes
from tests.session.scene import LOGIN, STEPS, Scene, client, offer


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
    assert scene.throttle.outcomes == []
    assert scene.throttle.closed == (1 if reached else 0)


@pytest.mark.parametrize("words", [b"", b"s STARTTLS\r\n"], ids=["before a command", "in the handshake"])
def test_a_client_that_goes_before_its_login_leaves_nothing_waiting(words):
    scene = Scene(clear=True)
    if words:
        scene.channel.say(words)
    assert set(scene.gates.waiting) == {"handshake" if words else "more"}
    scene.running.cancel()
    assert isinstance(scene.outcome(), CancelledError)
    assert scene.gates.waiting == {}


@types.coroutine
def here():
    """Give control to whoever drives the coroutine, as every await in the end does."""
    yield here


class Steps:
    """Parts of a login of which each gives control once, and then goes on."""

    def __init__(self):
        self.lease = fakes.Slot()

    async def hold(self, client, credentials):
        await here()
        return self

    async def locate(self, client, credentials, ask):
        await here()
        return Account("alice", "alice", "store1")

    async def admit(self, client, account):
        await here()
        return self.lease

    async def connect(self, client, account, credentials, ask):
        await here()
        return fakes.Backend()

    def succeeded(self):
        pass

    def close(self):
        pass


def test_nothing_is_awaited_between_the_stores_yes_and_the_hand_over():
    """Driven by hand: as soon as the store's yes is in, the coroutine runs to its end, whatever the parts."""
    parts, relays, core = (
        Steps(),
        fakes.Relays(),
        Server(offer=offer(fakes.TLS), hostname="proxy.example", timestamp=b"<1.2@mail.example.com>"),
    )
    core.receive_data(LOGIN)
    running = Session(
        record=Record(client(), 0.0),
        channel=fakes.Channel(fakes.Gates(), core),
        core=core,
        implicit_tls=False,
        offer=offer,
        log_in=Throttled(parts, Login(parts, parts, parts)),
        relays=relays,
        log=fakes.Log(),
        max_failures=3,
    ).run()
    for _ in STEPS:
        assert running.send(None) is here
        assert relays.taken == []
    with pytest.raises(StopIteration):
        running.send(None)
    assert len(relays.taken) == 1
    assert parts.lease.closed == 0
