"""What a client can do to a relay below the octets: records of its own making, over a socket that fills up."""

import pytest

from mmp.model import Client, Endpoint, Service
from mmp.net.channel import Channel
from mmp.net.stream import Stream
from mmp.net.takeover import Relays
from mmp.net.tls_socket import TLSSocket, WantRead, WantWrite
from mmp.session.login import Relayed
from mmp.session.record import Record
from tests.net.records import HANDSHAKE, KEY_UPDATE_REQUESTED, shake_hands
from tests.net.test_relay import Silent, Slot, Store
from tests.net.test_tls_records import QUIET_TURNS, narrow
from tests.net.turning import Peer, connected, server_tls
from tests.running import awaited


class Joined:
    """A client that seals its own records, relayed to a store in clear."""

    def __init__(self, turning, ends):
        self.turning, self.ended = turning, []
        client, self.client = self._channel(ends)
        shaken = awaited(server_tls().start(client.stream))
        self.sealer, self.raw = shake_hands(self.client)
        turning.outcome(shaken)
        store, self.store = self._channel(connected())
        relays = Relays(turning.loop, {Service.IMAP: 1800.0}, lambda *ended: self.ended.append(ended))
        record = Record(Client("s1", Service.IMAP, Endpoint("c", 1), Endpoint("s", 2)), 0.0)
        relays.take_over(client, Relayed(Store(store, b"", ()), Slot()), b"", record)
        (self.relay,) = relays._running

    def _channel(self, ends):
        ours, theirs = ends
        channel = Channel(Silent(), None)
        channel.stream = Stream(self.turning.loop, ours, channel)
        return channel, Peer(self.turning, theirs)

    def ask_for_keys_until_full(self):
        """Ask for new keys, and read none of the answers, until no more is taken; return what was not."""
        unsent = self.sealer.key_update()
        while self.raw.now(self.raw.sock.send, unsent):
            unsent = self.sealer.key_update()
            if not self.relay.client._read_waits:
                self.turning.turn()
        return unsent

    def close(self):
        for each in (self.client, self.raw, self.store):
            each.close()


@pytest.fixture
def joined(turning):
    made = []

    def make(ends=narrow):
        made.append(Joined(turning, ends()))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def reads(monkeypatch):
    """Counts the reads under TLS."""
    counted = []
    original = TLSSocket.recv_into
    monkeypatch.setattr(TLSSocket, "recv_into", lambda self, buffer: (counted.append(self), original(self, buffer))[1])
    return counted


@pytest.mark.parametrize("winding_down", [False, True], ids=["relaying", "winding down"])
def test_who_asks_for_keys_and_never_reads_makes_the_relay_wait_and_not_turn_in_circles(
    turning, joined, reads, winding_down
):
    it = joined()
    it.ask_for_keys_until_full()
    if winding_down:
        it.relay.close("shutting down")
    turning.turn()
    before = len(reads)
    for _ in range(QUIET_TURNS):
        turning.turn()
    assert len(reads) == before
    assert it.ended == []


def test_a_client_that_reads_its_new_keys_at_last_is_heard_again(turning, joined):
    it = joined()
    unsent = it.ask_for_keys_until_full()
    while it.relay.client in turning.reactor.getWriters():
        it.raw.now(it.raw.sock.recv, 65536)
        turning.turn()
    it.raw.send(unsent + it.sealer.record(b"after all"))
    assert it.store.receive(9) == b"after all"


def test_a_close_alert_that_finds_no_room_is_said_when_there_is_some(turning, joined, monkeypatch):
    it = joined(connected)
    original, refused = TLSSocket.say_end, []

    def full_once(self):
        if not refused:
            refused.append(self)
            raise WantWrite
        original(self)

    monkeypatch.setattr(TLSSocket, "say_end", full_once)
    it.store.send(b"* BYE\r\n")
    it.store.close()
    assert it.client.rest() == b"* BYE\r\n"  # an end without alert would raise
    assert refused


def test_what_waits_until_a_handshake_message_is_whole_is_written_then_though_no_data_follows(turning, joined):
    it = joined(connected)
    it.raw.send(it.sealer.record(KEY_UPDATE_REQUESTED[:4], HANDSHAKE))
    turning.turn()
    it.store.send(b"* 1 EXISTS\r\n")
    for _ in range(QUIET_TURNS):
        turning.turn()
    assert it.relay.client not in turning.reactor.getWriters()
    it.raw.send(it.sealer.record(KEY_UPDATE_REQUESTED[4:], HANDSHAKE))
    it.sealer.next_key()
    assert it.client.receive(12) == b"* 1 EXISTS\r\n"


def test_a_write_that_waits_for_a_read_lets_no_more_in_than_the_other_end_takes(turning, joined, monkeypatch):
    def never(_self, _octets):
        raise WantRead

    it = joined(connected)
    readers = turning.reactor.getReaders
    while it.relay.client in readers():
        it.raw.send(it.sealer.record(bytes(16384)))
        turning.turn()
    with monkeypatch.context() as patched:
        patched.setattr(TLSSocket, "send", never)
        it.store.send(b"* 1 EXISTS\r\n")
        for _ in range(QUIET_TURNS):
            turning.turn()
        assert it.relay.client not in readers()
    while it.relay.client not in readers():
        it.store.now(it.store.sock.recv, 65536)
        turning.turn()
    it.raw.send(it.sealer.record(b"more"))
    assert it.client.receive(12) == b"* 1 EXISTS\r\n"
