"""The client goes away at any await of a whole login, down to the store's answers: nothing is kept."""

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from mmp.model import TLSMode
from mmp.net.wheel import Wheel
from mmp.stores.dial import Dial, Route
from mmp.wire.imap.client import Client as IMAPClient
from tests import fakes
from tests.session.scene import LOGIN, SECRET, Scene

WORDS = {
    "greeting": b"* OK ready\r\n",
    "capabilities": b"* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\r\nm1 OK\r\n",
    "answer": b"m2 OK in\r\n",
    "capabilities after login": b"* CAPABILITY IMAP4rev1 IDLE\r\nm3 OK\r\n",
}
"""What the store says, in turn."""
STEPS = ("hold", "locate", "admit", "resolve", "connect", "TLS", *WORDS)


class Network:
    """Connects to a store of which the test plays every word; also what begins TLS there."""

    def __init__(self, gates):
        self.gates = gates
        self.streams = []

    async def open(self, _endpoint, channel, _arrived_at):
        await self.gates.at("resolve")
        await self.gates.at("connect")
        self.channel = channel
        channel.stream = fakes.Stream()
        self.streams.append(channel.stream)
        return "192.0.2.2"

    def start(self, stream, host):
        assert (stream, host) == (self.streams[-1], "store1")
        return self.gates.at("TLS")

    def remember(self, stream, host):
        assert (stream, host) == (self.streams[-1], "store1")


class WholeLogin(Scene):
    """A session that logs in through a real dialer."""

    def __init__(self, login=LOGIN):
        self.clock = Clock()
        self.wheel = Wheel(self.clock)
        super().__init__(dialer=self.dial)
        self.channel.said()
        self.channel.say(login)

    def dial(self, gates):
        self.network = Network(gates)
        route = Route(
            port=993,
            tls=TLSMode.IMPLICIT,
            client_tls=self.network,
            connect_timeout=10.0,
            login_timeout=30.0,
            max_connecting=4,
            tell_origin=True,
            make_core=lambda: IMAPClient(starttls=False),
        )
        return Dial(self.network, self.wheel, route, fakes.Log())

    def pass_step(self, step):
        if step in WORDS:
            self.network.channel.dataReceived(WORDS[step])
        else:
            self.gates.open(step)


@pytest.mark.parametrize("reached", STEPS)
def test_whatever_a_login_has_taken_is_given_back_where_it_is_cancelled(reached):
    scene = WholeLogin()
    for step in STEPS[: STEPS.index(reached)]:
        scene.pass_step(step)
    assert scene.ended == []
    scene.running.cancel()
    assert isinstance(scene.outcome(), CancelledError)
    granted = STEPS.index(reached) > STEPS.index("admit")
    connected = STEPS.index(reached) > STEPS.index("connect")
    assert [slot.closed for slot in scene.limits.granted] == [1] * granted
    assert [stream.aborted for stream in scene.network.streams] == [1] * connected
    assert scene.gates.waiting == {}
    assert scene.dialer._connecting == {}
    assert scene.wheel._buckets == {}
    assert scene.relays.taken == []
    assert scene.throttle.outcomes == []
    assert scene.channel.said() == b""
    assert [event for event, *_ in scene.log.events] == ["tls"]  # the handshake with the client, before the login


def test_the_relay_has_both_connections_before_the_stores_last_word_returns():
    scene = WholeLogin()
    for step in STEPS:
        assert scene.relays.taken == []
        scene.pass_step(step)
    ((_, relayed, _, record),) = scene.relays.taken
    assert relayed.backend.channel is scene.network.channel
    assert [stream.aborted for stream in scene.network.streams] == [0]
    assert [slot.closed for slot in scene.limits.granted] == [0]
    assert record.facts()["backend"] == "store1"
    assert scene.wheel._buckets == {}
    assert SECRET not in b"".join(stream.written for stream in scene.network.streams)  # it goes in base64
