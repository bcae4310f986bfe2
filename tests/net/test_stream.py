"""The transport, over loopback, in clear and with real TLS."""

import socket
import ssl

import pytest
from OpenSSL import SSL
from twisted.internet.defer import Deferred

from mmp.net.certificates import Chain
from mmp.net.stream import Stream
from mmp.net.tls import ServerTLS, front_ring
from tests.net.turning import (
    AUTHORITY,
    SETTINGS,
    Peer,
    Told,
    client_context,
    client_tls,
    connected,
    server_context,
    server_tls,
)
from tests.running import awaited


@pytest.fixture
def ends(turning):
    ours, theirs = connected()
    told = Told()
    stream = Stream(turning.loop, ours, told)
    peer = Peer(turning, theirs)
    yield stream, told, peer
    peer.close()


def accept_tls(turning, stream, peer, context=None, tls=None, **options):
    shaken = awaited((tls or server_tls()).start(stream))
    peer.start_tls(context or client_context(), **options)
    return turning.outcome(shaken)


class TestInClear:
    def test_bytes_go_both_ways(self, turning, ends):
        stream, told, peer = ends
        stream.write(b"hello")
        assert peer.receive(5) == b"hello"
        peer.send(b"goodbye")
        turning.until(lambda: told.octets == b"goodbye")

    def test_what_the_other_end_does_not_read_is_queued_and_arrives_whole(self, turning, ends):
        stream, _, peer = ends
        octets = bytes(range(256)) * 40000
        stream.write(octets)
        assert 0 < stream.unsent < len(octets)
        stream.write(b"end")
        assert peer.receive(len(octets) + 3) == octets + b"end"
        turning.until(lambda: stream.unsent == 0)

    def test_closing_flushes_and_waits_for_the_other_end(self, turning, ends):
        stream, told, peer = ends
        stream.write(b"x" * 5_000_000)
        stream.loseConnection()
        assert len(peer.rest()) == 5_000_000
        assert told.lost == []
        peer.close()
        turning.until(lambda: told.lost)

    def test_unread_input_does_not_destroy_the_last_words(self, turning, ends):
        stream, _, peer = ends
        stream.pauseProducing()
        peer.send(b"y" * 100_000)
        stream.write(b"* BYE")
        stream.loseConnection()
        assert peer.rest() == b"* BYE"

    def test_an_end_that_does_not_close_is_given_up(self, turning, ends):
        stream, told, _ = ends
        stream.loseConnection()
        stream.expired()
        assert len(told.lost) == 1
        assert stream.fileno() == -1

    def test_loss_is_told_once_and_not_from_inside_a_call(self, turning, ends):
        stream, told, peer = ends
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        for _ in range(5):
            stream.write(b"z" * 1000)
        assert told.lost == []
        turning.until(lambda: told.lost)
        stream.loseConnection()
        stream.abortConnection()
        stream.write(b"late")
        turning.turn()
        assert len(told.lost) == 1

    def test_abort_closes_at_once(self, turning, ends):
        stream, told, peer = ends
        stream.write(b"q" * 5_000_000)
        stream.abortConnection()
        assert stream.fileno() == -1
        assert told.lost == []
        turning.until(lambda: told.lost)
        assert len(told.lost) == 1
        assert len(peer.rest()) < 5_000_000

    def test_reading_pauses_and_resumes(self, turning, ends):
        stream, told, peer = ends
        stream.pauseProducing()
        peer.send(b"wait")
        for _ in range(5):
            turning.turn()
        assert told.octets == b""
        stream.resumeProducing()
        turning.until(lambda: told.octets == b"wait")

    def test_a_successor_gets_the_socket_the_unsent_bytes_and_what_is_to_be_read(self, turning, ends):
        stream, told, peer = ends
        stream.write(b"w" * 5_000_000)
        successor = stream.hand_over(Successor)
        assert 0 < len(successor.unsent) < 5_000_000
        assert stream not in turning.reactor.getReaders() + turning.reactor.getWriters()
        assert not stream.open
        peer.close()
        turning.until(lambda: successor.reads)
        assert told.lost == []

    def test_the_words_of_an_unexpected_error_are_not_passed_on(self, turning, ends):
        stream, told, peer = ends

        def choke(octets):
            raise ZeroDivisionError(octets)

        told.dataReceived = choke
        peer.send(b"s3cret")
        turning.until(lambda: told.lost)
        assert str(told.lost[0]) == "unexpected error"


class Successor:
    def __init__(self, sock, unsent):
        self.socket, self.unsent, self.reads = sock, unsent, 0

    def fileno(self):
        return self.socket.fileno()

    def doRead(self):  # noqa: N802 - Twisted's name
        self.reads += 1

    def close(self):
        self.socket.close()


class TestUnderTLS:
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_a_handshake_tells_what_was_negotiated(self, turning, ends, version):
        stream, told, peer = ends
        context = client_context()
        context.minimum_version = context.maximum_version = version
        security = accept_tls(turning, stream, peer, context)
        assert security.version == version.name.replace("_", ".")
        assert security.bits >= 128
        assert not security.resumed
        stream.write(b"hello")
        assert peer.receive(5) == b"hello"
        peer.send(b"goodbye" * 10_000)
        turning.until(lambda: told.octets == b"goodbye" * 10_000)

    def test_words_in_clear_go_out_before_the_handshake(self, turning, ends):
        stream, told, peer = ends
        stream.write(b"x" * 3_000_000)
        shaken = awaited(server_tls().start(stream))
        stream.write(b"never in clear")
        assert peer.receive(3_000_000) == b"x" * 3_000_000
        peer.start_tls(client_context())
        turning.outcome(shaken)
        stream.write(b"now")
        assert peer.receive(3) == b"now"

    def test_closing_sends_the_close_alert(self, turning, ends):
        stream, told, peer = ends
        accept_tls(turning, stream, peer)
        stream.write(b"v" * 3_000_000)
        stream.loseConnection()
        assert len(peer.rest()) == 3_000_000  # an end without alert would raise SSLEOFError
        peer.attempt(peer.sock.unwrap)
        peer.close()
        turning.until(lambda: told.lost)

    def test_an_end_without_alert_is_told(self, turning, ends):
        stream, told, peer = ends
        accept_tls(turning, stream, peer)
        peer.sock.shutdown(socket.SHUT_WR)
        turning.until(lambda: told.lost)
        assert "eof" in str(told.lost[0])

    def test_garbage_instead_of_a_handshake_is_a_clean_failure(self, turning, ends):
        stream, told, peer = ends
        shaken = awaited(server_tls().start(stream))
        peer.send(b"a LOGIN alice secret\r\n")
        with pytest.raises(ConnectionError, match="TLS handshake failed"):
            turning.outcome(shaken)
        assert len(told.lost) == 1

    def test_a_handshake_that_the_other_end_leaves_fails(self, turning, ends):
        stream, told, peer = ends
        shaken = awaited(server_tls().start(stream))
        peer.send(b"\x16\x03\x01")
        peer.close()
        with pytest.raises(ConnectionError):
            turning.outcome(shaken)
        assert len(told.lost) == 1

    def test_a_cancelled_handshake_closes_the_connection(self, turning, ends):
        stream, told, peer = ends
        shaken = awaited(server_tls().start(stream))
        failures = []
        shaken.addErrback(failures.append)
        shaken.cancel()
        turning.until(lambda: told.lost)
        assert len(failures) == 1
        assert peer.rest() == b""

    def test_a_handshake_in_single_bytes_succeeds(self, turning, ends):
        stream, told, peer = ends
        shaken = awaited(server_tls().start(stream))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = client_context().wrap_bio(incoming, outgoing)
        done = []

        def step():
            try:
                done.append(client.do_handshake())
            except ssl.SSLWantReadError:
                pass
            for octet in outgoing.read():
                peer.send(bytes([octet]))
                turning.turn()
            if not done:
                incoming.write(peer.attempt(peer.sock.recv, 65536))
            return done

        turning.until(step)
        assert turning.outcome(shaken).encrypted
        client.write(b"hello")
        for octet in outgoing.read():
            peer.send(bytes([octet]))
            turning.turn()
        turning.until(lambda: told.octets == b"hello")

    def test_a_broken_record_ends_the_connection(self, turning, ends):
        stream, told, peer = ends
        accept_tls(turning, stream, peer)
        raw = socket.socket(fileno=socket.dup(peer.sock.fileno()))
        raw.setblocking(False)
        Peer(turning, raw).send(b"\x17\x03\x03\x00\x20" + b"garbage!" * 4)
        turning.until(lambda: told.lost)
        assert told.octets == b""
        raw.close()

    def test_a_renegotiation_is_refused_and_the_session_goes_on(self, turning, ends):
        stream, told, peer = ends
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        shaken = awaited(server_tls().start(stream))
        client = SSL.Connection(context, peer.sock)
        client.set_connect_state()

        def attempt(call, *arguments):
            try:
                return call(*arguments) or True
            except (SSL.WantReadError, SSL.WantWriteError):
                return False

        turning.until(lambda: attempt(client.do_handshake))
        turning.outcome(shaken)
        assert client.renegotiate()
        attempt(client.do_handshake)
        for _ in range(10):
            turning.turn()
        with pytest.raises(SSL.Error, match="no renegotiation"):
            for _ in range(10):
                attempt(client.recv, 100)
                turning.turn()

    def test_sessions_are_resumed_in_contexts_of_the_same_ring(self, turning):
        ring = front_ring(SETTINGS)[:1]
        context = client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        session = None
        resumed = []
        for _ in range(2):
            ours, theirs = connected()
            stream, peer = Stream(turning.loop, ours, Told()), Peer(turning, theirs)
            security = accept_tls(turning, stream, peer, context, server_tls(ring=ring), session=session)
            resumed.append(security.resumed)
            session = peer.sock.session
            peer.close()
        assert resumed == [False, True]

    def test_the_certificate_is_chosen_by_the_name_asked_for(self, turning):
        issued = [AUTHORITY.issue(names, days=1) for names in (["one.example"], ["*.two.example", "two.example"])]
        chains = [Chain(each.certificate, each.key) for each in issued]
        tls = ServerTLS(front_ring(SETTINGS)[:1], SETTINGS, chains, period=lambda: 0)
        shown = {}
        for name in ("one.example", "mail.two.example", "TWO.example", "a.b.two.example", "other.example", None):
            ours, theirs = connected()
            stream, peer = Stream(turning.loop, ours, Told()), Peer(turning, theirs)
            accept_tls(turning, stream, peer, tls=tls, server_hostname=name)
            shown[name] = peer.sock.getpeercert()["subjectAltName"][0][1]
            peer.close()
        assert shown == {
            "one.example": "one.example",
            "mail.two.example": "*.two.example",
            "TWO.example": "*.two.example",
            "a.b.two.example": "one.example",
            "other.example": "one.example",
            None: "one.example",
        }


class TestTowardStores:
    def shake(self, turning, context, host, **options):
        ours, theirs = connected()
        told = Told()
        stream, peer = Stream(turning.loop, ours, told), Peer(turning, theirs)
        shaken = Deferred.fromCoroutine(client_tls(**options).start(stream, host))
        try:
            peer.start_tls(context, server_side=True)
        except OSError:
            pass
        try:
            return turning.outcome(shaken), stream, peer
        finally:
            peer.close()

    def test_a_certificate_with_the_right_name_is_accepted(self, turning):
        security, *_ = self.shake(turning, server_context("store.example"), "store.example")
        assert security.encrypted

    def test_an_address_in_the_certificate_counts_for_a_store_named_by_address(self, turning):
        security, *_ = self.shake(turning, server_context("127.0.0.1"), "127.0.0.1")
        assert security.encrypted

    def test_a_certificate_for_another_name_is_refused(self, turning):
        with pytest.raises(ConnectionError, match=r"not for store\.example"):
            self.shake(turning, server_context("other.example"), "store.example")

    def test_a_certificate_of_an_unknown_authority_is_refused(self, turning):
        with pytest.raises(ConnectionError, match="unable to get local issuer certificate"):
            self.shake(turning, server_context("store.example"), "store.example", ca=b"")

    def test_any_certificate_will_do_if_verification_is_off(self, turning):
        security, *_ = self.shake(turning, server_context("other.example"), "store.example", verify=False)
        assert security.encrypted
