"""What the other end can do to TLS below the octets: records of its own making, over a socket that fills up."""

import socket
import ssl

import pytest
from twisted.internet.defer import Deferred

from mmp.net.stream import Stream
from mmp.net.tls_socket import TLSSocket
from tests.net.records import ALERT, CLOSE_NOTIFY, HANDSHAKE, KEY_UPDATE_REQUESTED, TICKET, shake_hands
from tests.net.turning import Peer, Told, client_context, client_tls, connected, server_context, server_tls
from tests.running import awaited

QUIET_TURNS = 20


def narrow():
    """Return two connected ends, of which ours takes only a few kB that the other has not read."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return ours, theirs


class Under:
    """A stream under TLS 1.3 and the client that seals its own records."""

    def __init__(self, turning, ends, tls=None):
        ours, theirs = ends
        self.turning, self.told = turning, Told()
        self._unsent = b""
        self.stream, self.peer = Stream(turning.loop, ours, self.told), Peer(turning, theirs)
        shaken = awaited((tls or server_tls()).start(self.stream))
        self.sealer, self.raw = shake_hands(self.peer)
        turning.outcome(shaken)

    def send(self, *records):
        unsent, self._unsent = self._unsent, b""
        self.raw.send(unsent + b"".join(records))

    def ask_for_keys_until_full(self):
        """Ask for new keys, and read none of the answers, until we take no more."""
        self._unsent = self.sealer.key_update()
        while self.raw.now(self.raw.sock.send, self._unsent):
            self._unsent = self.sealer.key_update()
            if self.stream in self.turning.reactor.getReaders():
                self.turning.turn()

    def close(self):
        self.peer.close()
        self.raw.close()


@pytest.fixture
def under(turning):
    made = []

    def make(ends=connected, **options):
        made.append(Under(turning, ends(), **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def calls(monkeypatch):
    """Counts the calls of a method."""

    def count(owner, name):
        counted = []
        original = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *arguments: (counted.append(name), original(*arguments))[1])
        return counted

    return count


def turns_in_vain(turning, counted):
    """Return how often something was called while nothing could have come of it."""
    before = len(counted)
    for _ in range(QUIET_TURNS):
        turning.turn()
    return len(counted) - before


def test_records_of_one_byte_arrive_one_by_one(turning, under):
    it = under()
    octets = bytes(range(256)) * 8
    it.send(*(it.sealer.record(octets[at : at + 1]) for at in range(len(octets))))
    turning.until(lambda: it.told.octets == octets)


def test_empty_records_are_passed_over(turning, under):
    it = under()
    it.send(*(it.sealer.record(b"") for _ in range(20)), it.sealer.record(b"hello"))
    turning.until(lambda: it.told.octets == b"hello")


def test_a_new_key_is_answered_with_one_and_both_ways_go_on(turning, under):
    it = under()
    for number in range(100):
        it.send(it.sealer.key_update(), it.sealer.record(b"."))
        turning.until(lambda number=number: it.told.octets == b"." * (number + 1))
        it.stream.write(b"!")
        assert it.peer.receive(1) == b"!"


def test_who_asks_for_keys_and_never_reads_makes_us_wait_and_not_turn_in_circles(turning, under, calls):
    it = under(narrow)
    reads = calls(TLSSocket, "recv_into")
    it.ask_for_keys_until_full()
    assert turns_in_vain(turning, reads) == 0
    assert it.told.lost == []
    drained = 0
    while it.stream in turning.reactor.getWriters():
        drained += len(it.raw.now(it.raw.sock.recv, 65536) or b"")
        turning.turn()
    assert drained
    it.send(it.sealer.record(b"after all"))
    turning.until(lambda: it.told.octets == b"after all")


def test_a_reader_that_waits_for_room_stays_paused_if_it_was_told_to(turning, under):
    it = under(narrow)
    it.ask_for_keys_until_full()
    it.stream.pauseProducing()
    while it.raw.now(it.raw.sock.recv, 65536):
        turning.turn()
    for _ in range(QUIET_TURNS):
        turning.turn()
    assert it.stream not in turning.reactor.getReaders()
    it.stream.resumeProducing()
    it.send(it.sealer.record(b"later"))
    while it.told.octets != b"later":
        it.raw.now(it.raw.sock.recv, 65536)
        turning.turn()


def test_who_asks_for_keys_and_never_reads_is_closed_all_the_same(turning, under):
    it = under(narrow)
    it.ask_for_keys_until_full()
    it.stream.loseConnection()
    for _ in range(QUIET_TURNS):
        turning.turn()
    it.stream.expired()
    assert len(it.told.lost) == 1


def test_a_key_asked_for_while_a_write_waits_harms_neither(turning, under):
    it = under(narrow)
    octets = bytes(range(256)) * 4000
    it.stream.write(octets)
    assert it.stream.unsent
    it.send(it.sealer.record(b"one"), it.sealer.key_update(), it.sealer.record(b"two"), it.sealer.record(b"three"))
    assert it.peer.receive(len(octets)) == octets
    turning.until(lambda: it.told.octets == b"onetwothree")


def test_a_second_key_asked_for_while_a_write_waits_is_more_than_openssl_bears_and_ends_the_connection(turning, under):
    it = under(narrow)
    it.stream.write(b"x" * 1_000_000)
    it.send(it.sealer.key_update(), it.sealer.key_update())
    turning.until(lambda: it.told.lost)
    assert isinstance(it.told.lost[0], ConnectionError)
    other = under()  # nothing stays in OpenSSL's queue of errors
    other.send(other.sealer.record(b"hello"))
    turning.until(lambda: other.told.octets == b"hello")


@pytest.mark.parametrize("behind", [b"", b"data"])
def test_a_write_waits_until_a_handshake_message_is_whole(turning, under, behind):
    it = under()
    it.send(it.sealer.record(KEY_UPDATE_REQUESTED[:4], HANDSHAKE))
    turning.turn()
    it.stream.write(b"wait")
    assert it.stream.unsent == 4
    for _ in range(QUIET_TURNS):
        turning.turn()
    assert it.stream not in turning.reactor.getWriters()
    it.send(it.sealer.record(KEY_UPDATE_REQUESTED[4:], HANDSHAKE))
    it.sealer.next_key()
    if behind:
        it.send(it.sealer.record(behind))
    assert it.peer.receive(4) == b"wait"
    turning.until(lambda: it.told.octets == behind)


def test_half_a_handshake_message_does_not_keep_a_stream_from_closing(turning, under):
    it = under()
    it.send(it.sealer.record(KEY_UPDATE_REQUESTED[:4], HANDSHAKE))
    turning.turn()
    it.stream.loseConnection()
    turning.until(lambda: it.told.lost)
    assert it.stream.fileno() == -1


@pytest.mark.parametrize("size", [3, 5, 20])
@pytest.mark.parametrize("end", ["reset", "closed"])
def test_a_connection_that_ends_within_a_record_is_lost_once_and_gives_nothing(turning, under, size, end):
    it = under()
    it.send(it.sealer.record(b"half of this")[:size])
    turning.turn()
    if end == "reset":
        it.raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    it.close()
    turning.until(lambda: it.told.lost)
    it.stream.write(b"too late")
    turning.turn()
    assert len(it.told.lost) == 1
    assert isinstance(it.told.lost[0], ConnectionError)
    assert it.told.octets == b""


def test_a_reset_while_a_write_waits_is_told_once(turning, under):
    it = under()
    it.stream.write(b"x" * 10_000_000)
    it.raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    it.close()
    turning.until(lambda: it.told.lost)
    turning.turn()
    assert len(it.told.lost) == 1


def test_what_is_written_in_parts_arrives_whole_both_ways_at_once(turning, under):
    it = under(narrow)
    octets = bytes(range(256)) * 2000
    for at in range(0, len(octets), 50_000):
        it.stream.write(octets[at : at + 50_000])
    back, sent = bytearray(), 0
    while len(back) < len(octets) or sent < len(octets):
        sent += it.peer.now(it.peer.sock.send, octets[sent : sent + 10_000]) or 0 if sent < len(octets) else 0
        back += it.peer.now(it.peer.sock.recv, 30_000) or b""
        turning.turn()
    assert back == octets
    turning.until(lambda: it.told.octets == octets)


def test_a_full_socket_does_not_make_a_handshake_turn_in_circles(turning, calls):
    ours, theirs = narrow()
    stream, peer = Stream(turning.loop, ours, Told()), Peer(turning, theirs)
    shaken = awaited(server_tls(*(f"host-{number}.example" for number in range(500))).start(stream))
    steps = calls(TLSSocket, "do_handshake")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    peer.send(outgoing.read())
    turning.until(lambda: stream in turning.reactor.getWriters())
    peer.send(b"\x14\x03\x03\x00\x01\x01")  # a middlebox's ChangeCipherSpec, which we have no ear for just now
    assert turns_in_vain(turning, steps) == 0

    def done():
        incoming.write(peer.now(peer.sock.recv, 65536) or b"")
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    turning.until(done)
    peer.send(outgoing.read().removeprefix(b"\x14\x03\x03\x00\x01\x01"))
    assert turning.outcome(shaken).encrypted
    peer.close()


def test_who_does_not_read_our_words_before_the_handshake_does_not_make_us_turn_in_circles(turning, calls):
    ours, theirs = narrow()
    stream, peer = Stream(turning.loop, ours, Told()), Peer(turning, theirs)
    stream.write(b"x" * 100_000)
    shaken = awaited(server_tls().start(stream))
    steps = calls(Stream, "shake")
    peer.send(b"\x16\x03\x01")
    turning.turn()
    assert turns_in_vain(turning, steps) == 0
    assert peer.receive(100_000) == b"x" * 100_000
    shaken.addErrback(lambda _: None)
    peer.close()
    turning.until(lambda: shaken.called)


def test_a_close_alert_is_answered_by_ours(turning, under):
    it = under()
    it.peer.attempt(it.peer.sock.unwrap)  # returns only once ours has come
    turning.until(lambda: it.told.lost)
    assert str(it.told.lost[0]) == "closed by the other end"


def test_when_both_close_at_once_what_is_queued_and_the_alert_still_arrive(turning, under):
    it = under(narrow)
    it.stream.write(b"x" * 100_000)
    it.stream.loseConnection()
    it.send(it.sealer.record(CLOSE_NOTIFY, ALERT))
    assert it.peer.rest() == b"x" * 100_000  # an end without alert would raise SSLEOFError
    turning.until(lambda: it.told.lost)
    assert len(it.told.lost) == 1
    assert it.stream.fileno() == -1


def test_an_end_before_all_was_heard_is_told_as_such(turning):
    ours, theirs = connected()
    told = Told()
    stream = Stream(turning.loop, ours, told)
    stream.write(b"x" * 10_000_000)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    theirs.close()
    stream.write(b"y")
    turning.until(lambda: told.lost)
    assert str(told.lost[0]) != "closed by the other end"


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "TLS"])
def test_an_abort_is_a_reset_that_nobody_takes_for_an_end(turning, under, encrypted):
    if encrypted:
        it = under()
        stream, sock = it.stream, it.raw.sock
    else:
        ours, sock = connected()
        stream = Stream(turning.loop, ours, Told())
    stream.write(b"half of a mes")
    stream.abortConnection()
    turning.turn()
    with pytest.raises(ConnectionResetError):
        while sock.recv(65536):
            pass
    sock.close()


class TestTowardAStore:
    @pytest.fixture
    def it(self, turning):
        ours, theirs = narrow()
        told = Told()
        stream, peer = Stream(turning.loop, ours, told), Peer(turning, theirs)
        shaken = Deferred.fromCoroutine(client_tls().start(stream, "localhost"))
        sealer, raw = shake_hands(peer, server_context(), server_side=True)
        turning.outcome(shaken)
        yield stream, told, peer, sealer, raw
        peer.close()
        raw.close()

    def test_a_flood_of_tickets_is_read_over(self, turning, it):
        stream, told, peer, sealer, raw = it
        for _ in range(100):
            raw.send(b"".join(sealer.record(TICKET * 3, HANDSHAKE) for _ in range(20)))
        raw.send(sealer.record(b"* OK hello"))
        turning.until(lambda: told.octets == b"* OK hello")
        stream.write(b"a NOOP")
        assert peer.receive(6) == b"a NOOP"

    def test_a_write_waits_until_a_ticket_is_whole(self, turning, it):
        stream, told, peer, sealer, raw = it
        raw.send(sealer.record(TICKET[:20], HANDSHAKE))
        turning.turn()
        stream.write(b"a NOOP")
        raw.send(sealer.record(TICKET[20:], HANDSHAKE))
        assert peer.receive(6) == b"a NOOP"
