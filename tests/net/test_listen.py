"""Accepting, and the watch over sessions that no relay owns yet: over loopback, with real cores."""

import errno
import gc
import itertools
import socket

import pytest
from twisted.internet.defer import Deferred

from mmp.errors import Refused
from mmp.model import Offer, Refusal, Service
from mmp.net.listen import Arrivals, House, Port, Reception
from mmp.net.relay import Relays
from mmp.observe.accounting import Accounting
from mmp.wire.imap.server import Server
from tests import fakes
from tests.net.turning import Peer

LOGIN = b"a LOGIN alice s3cret-of-alice\r\n"


class Scene:
    """A listener whose logins end as the test says."""

    def __init__(self, turning, deadline=60.0):
        self.turning = turning
        self.log = fakes.Log()
        self.attempts = []
        relays = Relays(turning.loop, {Service.IMAP: 1800.0}, lambda *_: None)
        accounting = Accounting(self.log, turning.reactor.seconds)
        ids = map(str, itertools.count())
        self.arrivals = Arrivals(House(turning.loop, self.log, accounting, relays, ids))
        self.reception = Reception(
            service=Service.IMAP,
            implicit_tls=False,
            start_tls=None,
            offer=lambda _: Offer((), plaintext=True, starttls=False),
            make_core=lambda offered: Server(offer=offered, hostname="proxy.example"),
            log_in=self.log_in,
            deadline=deadline,
            max_failures=3,
        )
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.listening.setblocking(False)
        self.address = self.listening.getsockname()
        self.port = Port(turning.loop, self.listening, self.receive, self.log)

    def receive(self, accepted, address):
        self.arrivals.receive(self.reception, accepted, address)

    async def log_in(self, record, credentials):
        attempt = Deferred(lambda _: self.attempts.append("cancelled"))
        self.attempts.append(attempt)
        return await attempt

    def client(self):
        connection = socket.create_connection(self.address)
        connection.setblocking(False)
        peer = Peer(self.turning, connection)
        assert peer.receive(5) == b"* OK "
        return peer

    def closed(self, count=1):
        """Turn until so many sessions have ended; return their records."""
        self.turning.until(lambda: len(self.log.named("closed")) >= count)
        assert len(self.log.named("closed")) == count
        assert len(self.arrivals) == 0
        return self.log.named("closed")


@pytest.fixture
def scene(turning):
    made = Scene(turning)
    yield made
    made.port.close()


def test_a_client_that_goes_during_its_login_cancels_it(scene):
    peer = scene.client()
    peer.send(LOGIN)
    scene.turning.until(lambda: scene.attempts)
    peer.close()
    (closed,) = scene.closed()
    assert scene.attempts[1:] == ["cancelled"]
    assert closed["who"] == "client"


def test_the_deadline_ends_a_session_with_a_goodbye(turning):
    scene = Scene(turning, deadline=0.25)
    peer = scene.client()
    assert b"* BYE" in peer.rest()
    peer.close()
    (closed,) = scene.closed()
    assert (closed["who"], closed["why"]) == ("proxy", "login deadline")
    scene.port.close()


def test_a_drain_says_goodbye_to_those_who_are_not_logged_in(scene):
    peers = [scene.client() for _ in range(3)]
    peers[0].send(LOGIN)
    scene.turning.until(lambda: scene.attempts)
    scene.arrivals.turn_out(Refusal.SHUTTING_DOWN, "shutting down")
    said = [peer.rest() for peer in peers]
    assert all(b"* BYE [UNAVAILABLE]" in each for each in said)
    assert b"a NO [UNAVAILABLE]" in said[0]
    assert [record["why"] for record in scene.closed(3)] == ["shutting down"] * 3


def test_what_nobody_expected_is_told_as_a_bug_of_ours_and_ends_the_session(scene):
    peer = scene.client()
    peer.send(LOGIN)
    scene.turning.until(lambda: scene.attempts)
    scene.attempts[0].errback(ZeroDivisionError("s3cret-of-alice"))
    assert b"a NO [SERVERBUG]" in peer.rest()
    (closed,) = scene.closed()
    assert (closed["who"], closed["why"]) == ("proxy", "internal error")
    assert "s3cret" not in str(scene.log.events)


def test_a_refusal_is_no_such_thing(scene):
    peer = scene.client()
    peer.send(LOGIN)
    scene.turning.until(lambda: scene.attempts)
    scene.attempts[0].errback(Refused(Refusal.BAD_CREDENTIALS, "no"))
    while b"a NO [AUTHENTICATIONFAILED]" not in peer.attempt(peer.sock.recv, 4096):
        pass
    peer.close()
    scene.closed()


def test_when_descriptors_run_out_accepting_pauses_and_goes_on_by_itself(scene, monkeypatch):
    lasting = scene.client()
    failing = [True]
    real = scene.port._socket

    class Exhausted:
        def accept(self):
            if failing:
                raise OSError(errno.EMFILE, "Too many open files")
            return real.accept()

        def __getattr__(self, name):
            return getattr(real, name)

    monkeypatch.setattr(scene.port, "_socket", Exhausted())
    waiting = socket.create_connection(scene.address)
    waiting.setblocking(False)
    scene.turning.until(lambda: scene.log.named("accept"))
    lasting.send(b"b NOOP\r\n")
    while b"b OK" not in lasting.attempt(lasting.sock.recv, 4096):
        pass
    failing.clear()
    peer = Peer(scene.turning, waiting)
    assert peer.receive(5) == b"* OK "
    assert len(scene.log.named("accept")) == 1
    peer.close()
    lasting.close()


def test_thousands_of_connections_at_once_are_all_greeted(scene):
    clients = [socket.create_connection(scene.address) for _ in range(2000)]
    scene.turning.until(lambda: len(scene.arrivals) == 2000, seconds=60)
    for client in clients:
        assert client.recv(5) == b"* OK "
        client.close()
    scene.turning.until(lambda: len(scene.log.named("closed")) == 2000, seconds=60)
    assert len(scene.arrivals) == 0


def parts_of_sessions():
    """Return what is alive of sessions, of this test or of those before it."""
    names = {"Arrival", "Channel", "Stream", "Session"}
    return [each for each in gc.get_objects() if type(each).__name__ in names and type(each).__module__[:4] == "mmp."]


def test_a_session_that_has_ended_leaves_nothing_to_the_garbage_collector(scene):
    gc.collect()
    before = len(parts_of_sessions())
    gc.disable()
    try:
        peer = scene.client()
        assert len(parts_of_sessions()) > before
        peer.send(b"a LOGOUT\r\n")
        peer.rest()
        peer.close()
        scene.closed()
        scene.turning.until(lambda: len(scene.turning.reactor.getReaders()) <= 2)
        assert len(parts_of_sessions()) == before
    finally:
        gc.enable()
