"""The relay, between real sockets: every pairing of clear and TLS."""

import gc
import itertools
import os
import socket
import ssl

import pytest
from twisted.internet.defer import Deferred

from mmp.model import Client, Endpoint, Service
from mmp.net.channel import Channel
from mmp.net.stream import Stream
from mmp.net.takeover import Relays
from mmp.session.login import Relayed
from mmp.session.record import Record
from mmp.wire.events import LoggedIn
from tests.net.turning import Peer, Told, client_context, client_tls, connected, server_context, server_tls
from tests.running import awaited

PAIRINGS = list(itertools.product([False, True], repeat=2))
MEGABYTES = os.urandom(1 << 20) * 5
PLENTY = MEGABYTES * 8
"""More than all the buffers of the kernel on the way."""


class Silent:
    """A core that nothing is expected of any more."""

    buffered = 0

    def receive_data(self, octets):
        pass


class Slot:
    def __init__(self):
        self.closed = 0

    def close(self):
        self.closed += 1


class Store:
    name = "store"

    def __init__(self, channel, trailing, capabilities):
        self.channel = channel
        self.logged_in = LoggedIn(capabilities, b"", trailing)


class Scene:
    """A client and a store with a relay between them."""

    def __init__(self, turning, *, client_tls_on=False, store_tls_on=False, idle=1800.0):
        self.turning = turning
        self.ended = []
        self.slot = Slot()
        self.capabilities = ()
        self.relays = Relays(turning.loop, {Service.IMAP: idle}, lambda *ended: self.ended.append(ended))
        self.client_channel, self.client = self.connection(client_tls_on, toward_client=True)
        self.store_channel, self.store = self.connection(store_tls_on, toward_client=False)

    def connection(self, tls_on, *, toward_client):
        ours, theirs = connected()
        channel = Channel(Silent(), None)
        channel.stream = Stream(self.turning.loop, ours, channel)
        peer = Peer(self.turning, theirs)
        if tls_on and toward_client:
            shaken = awaited(server_tls().start(channel.stream))
            peer.start_tls(client_context())
            self.turning.outcome(shaken)
        elif tls_on:
            shaken = Deferred.fromCoroutine(client_tls().start(channel.stream, "localhost"))
            peer.start_tls(server_context(), server_side=True)
            self.turning.outcome(shaken)
        return channel, peer

    def join(self, from_client=b"", from_store=b""):
        record = Record(Client("s1", Service.IMAP, Endpoint("c", 1), Endpoint("s", 2)), 0.0)
        relayed = Relayed(Store(self.store_channel, from_store, self.capabilities), self.slot)
        self.relays.take_over(self.client_channel, relayed, from_client, record)
        return self

    def over(self):
        self.turning.until(lambda: self.ended)
        assert len(self.ended) == 1
        assert self.slot.closed == 1
        assert len(self.relays) == 0
        record, who, why = self.ended[0]
        return record, who, why

    def close(self):
        self.client.close()
        self.store.close()


@pytest.fixture
def scene(turning):
    made = []

    def make(**options):
        made.append(Scene(turning, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(params=PAIRINGS, ids=["clear-clear", "clear-tls", "tls-clear", "tls-tls"])
def joined(request, scene):
    return scene(client_tls_on=request.param[0], store_tls_on=request.param[1]).join()


def test_every_octet_arrives_in_order_both_ways_at_once(joined):
    sent, got = [0, 0], [bytearray(), bytearray()]
    ends = (joined.client, joined.store)
    while min(map(len, got)) < len(MEGABYTES):
        for side, end in enumerate(ends):
            if sent[side] < len(MEGABYTES):
                sent[side] += end.now(end.sock.send, MEGABYTES[sent[side] : sent[side] + 100_000]) or 0
            got[side] += end.now(end.sock.recv, 65536) or b""
        joined.turning.turn()
    assert got == [MEGABYTES, MEGABYTES]


def test_left_over_bytes_of_the_login_come_first(scene):
    joined = scene().join(from_client=b"b SELECT INBOX\r\n", from_store=b"* 3 EXISTS\r\n")
    joined.client.send(b"c NOOP\r\n")
    joined.store.send(b"b OK\r\n")
    assert joined.store.receive(24) == b"b SELECT INBOX\r\nc NOOP\r\n"
    assert joined.client.receive(18) == b"* 3 EXISTS\r\nb OK\r\n"


def test_left_over_bytes_too_many_for_the_socket_come_first_too(scene):
    joined = scene().join(from_store=MEGABYTES)
    joined.store.send(b"end")
    assert joined.client.receive(len(MEGABYTES) + 3) == MEGABYTES + b"end"


def fill(end):
    """Send until nothing more is taken; return how much was."""
    taken = blocked = 0
    while blocked < 10:
        if (sent := end.now(end.sock.send, PLENTY[taken : taken + 65536])) is None:
            blocked += 1
            end.turning.turn()
        else:
            taken += sent
            blocked = 0
    return taken


def test_a_reader_that_stops_stops_the_source_and_memory_stays_flat(joined):
    """What is taken from the source is bounded by the kernel's buffers and one read."""
    taken = fill(joined.store)
    relay = next(iter(joined.relays._running))
    assert taken < len(PLENTY)
    assert len(relay.client._queue) <= 2 * 65536
    assert relay.backend not in joined.turning.reactor.getReaders()
    assert joined.client.receive(taken) == PLENTY[:taken]
    joined.turning.until(lambda: relay.backend in joined.turning.reactor.getReaders())


def test_the_store_closing_ends_the_client_in_order(joined):
    joined.store.send(b"* BYE\r\n")
    if isinstance(joined.store.sock, ssl.SSLSocket):
        joined.store.now(joined.store.sock.unwrap)
    else:
        joined.store.sock.shutdown(socket.SHUT_WR)
    assert joined.client.rest() == b"* BYE\r\n"  # under TLS, an end without alert would raise
    joined.client.close()
    _, who, why = joined.over()
    assert (who, why) == ("backend", "closed")


def test_the_client_closing_ends_the_store(joined):
    joined.client.send(b"x LOGOUT\r\n")
    assert joined.store.receive(10) == b"x LOGOUT\r\n"
    joined.client.close()
    assert joined.store.rest() == b""
    joined.store.close()
    record, who, _ = joined.over()
    assert who == "client"
    assert (record.bytes_in, record.bytes_out) == (10, 0)


def test_a_client_that_half_closes_still_gets_the_answer(scene):
    joined = scene().join()
    joined.client.send(b"x LOGOUT\r\n")
    joined.client.sock.shutdown(socket.SHUT_WR)
    assert joined.store.rest() == b"x LOGOUT\r\n"
    joined.store.send(MEGABYTES)
    joined.store.close()
    assert joined.client.rest() == MEGABYTES
    _, who, why = joined.over()
    assert (who, why) == ("client", "closed")


def test_a_reset_by_the_store_gives_the_client_what_was_kept_and_an_end(scene):
    joined = scene(client_tls_on=True).join()
    joined.store.send(b"last words")
    assert joined.client.receive(10) == b"last words"
    joined.store.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    joined.store.close()
    assert joined.client.rest() == b""
    joined.client.send(b"still talking" * 1000)
    joined.client.close()
    _, who, why = joined.over()
    assert who == "backend"
    assert "reset" in why


def test_an_idle_session_is_ended_in_order(joined):
    relay = next(iter(joined.relays._running))
    relay.expired()
    assert joined.client.rest() == b""
    assert joined.store.rest() == b""
    joined.close()
    _, who, why = joined.over()
    assert (who, why) == ("proxy", "idle timeout")


def test_traffic_puts_the_idle_timeout_off(scene):
    joined = scene(idle=100.0).join()
    relay = next(iter(joined.relays._running))
    relay.due = 0
    joined.client.send(b"a")
    joined.store.receive(1)
    assert relay.due >= relay.loop.wheel.now + relay.patience - 8


def test_an_end_that_does_not_close_is_cut_off(joined):
    joined.store.close()
    joined.turning.until(lambda: next(iter(joined.relays._running)).why)
    next(iter(joined.relays._running)).expired()
    assert len(joined.ended) == 1


def test_a_client_that_never_reads_does_not_hold_a_closed_session_for_ever(scene):
    joined = scene().join()
    fill(joined.store)
    joined.relays.close_all("shutting down")
    for _ in range(20):
        joined.turning.turn()
    assert joined.ended == []
    next(iter(joined.relays._running)).expired()
    _, who, why = joined.over()
    assert (who, why) == ("proxy", "shutting down")
    with pytest.raises(ConnectionResetError):  # what it has not read must not look like the whole
        while joined.client.sock.recv(65536):
            pass


def test_taking_over_a_lost_connection_takes_nothing(scene):
    for channel in ("client_channel", "store_channel"):
        lost = scene()
        getattr(lost, channel).abort()
        with pytest.raises(ConnectionError):
            lost.join()
        assert len(lost.relays) == 0
        assert lost.slot.closed == 0  # it stays the login's


def test_nothing_of_a_session_is_left_to_the_garbage_collector(scene):
    gc.collect()
    gc.disable()
    try:
        others = set(map(id, parts()))
        joined = scene().join()
        assert len(joined.relays._running) == 1
        before = set(map(id, parts())) - others
        joined.client.close()
        joined.store.rest()
        joined.store.close()
        joined.over()
        assert len(before) == 3
        assert [each for each in parts() if id(each) in before] == []
    finally:
        gc.enable()


def parts():
    """Return all relays and their ends."""
    return [each for each in gc.get_objects() if type(each).__name__ in ("Relay", "End")]


def test_a_receiver_told_of_nothing_after_the_hand_over(scene):
    told = Told()
    joined = scene()
    joined.client_channel.on_loss(told.lost.append)
    joined.join()
    joined.client.close()
    joined.store.close()
    joined.over()
    assert told.lost == []
