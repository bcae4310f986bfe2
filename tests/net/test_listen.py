"""Accepting, and the watch over sessions that no relay owns yet: over loopback, with real cores."""

import errno
import gc
import socket
import time

import pytest
from twisted.logger import capturedLogs

from mmp.errors import Refused
from mmp.model import Refusal
from mmp.net.channel import Channel
from mmp.net.stream import Stream
from mmp.observe.log import LineObserver
from mmp.session.login import Relayed
from tests import fakes
from tests.net.listener import LOGIN, Scene
from tests.net.turning import Peer, connected


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


def test_when_the_process_is_full_the_oldest_that_is_not_logged_in_goes(turning):
    scene = Scene(turning, capacity=3)
    oldest, *others = [scene.client() for _ in range(4)]
    assert b"* BYE" in oldest.rest()
    oldest.close()
    turning.until(lambda: scene.log.named("closed"))
    closed = scene.log.named("closed")[0]
    assert (closed["who"], closed["why"]) == ("proxy", "process full")
    for peer in others:
        peer.send(b"b NOOP\r\n")
        while b"b OK" not in peer.attempt(peer.sock.recv, 4096):
            pass
        peer.close()
    scene.closed(4)
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
    with capturedLogs() as logged:
        peer.send(LOGIN)
        scene.turning.until(lambda: scene.attempts)
        scene.attempts[0].errback(ZeroDivisionError("s3cret-of-alice"))
        said = peer.rest()
        (closed,) = scene.closed()
    assert b"a NO [SERVERBUG]" in said
    assert said.endswith(b"* BYE [SERVERBUG] Internal error\r\n")
    assert (closed["who"], closed["why"]) == ("proxy", "internal error")
    for event in logged:
        LineObserver(scene.log)(event)
    (unexpected,) = scene.log.named("unexpected")  # once
    assert unexpected["session"] == closed["session"]
    assert unexpected["error"] == "builtins.ZeroDivisionError"
    assert "session.py" in unexpected["traceback"]
    assert "s3cret" not in str(scene.log.events)
    peer.close()


def test_a_refusal_is_no_such_thing(scene):
    peer = scene.client()
    peer.send(LOGIN)
    scene.turning.until(lambda: scene.attempts)
    scene.attempts[0].errback(Refused(Refusal.BAD_CREDENTIALS, "no"))
    while b"a NO [AUTHENTICATIONFAILED]" not in peer.attempt(peer.sock.recv, 4096):
        pass
    peer.close()
    scene.closed()


class Failing:
    """A listening socket whose ``_accept`` fails as long as there are errors for it."""

    def __init__(self, real):
        self.real = real
        self.errors = []
        self.calls = 0

    def _accept(self):
        self.calls += 1
        if self.errors:
            raise self.errors[0] if self.errors[0].errno == errno.EMFILE else self.errors.pop(0)
        return self.real._accept()

    def __getattr__(self, name):
        return getattr(self.real, name)


@pytest.fixture
def failing(scene, monkeypatch):
    made = Failing(scene.port._socket)
    monkeypatch.setattr(scene.port, "_socket", made)
    return made


def test_when_descriptors_run_out_accepting_pauses_and_goes_on_by_itself(scene, failing):
    lasting = scene.client()
    failing.errors = [OSError(errno.EMFILE, "Too many open files")]
    waiting = socket.create_connection(scene.address)
    waiting.setblocking(False)
    scene.turning.until(lambda: scene.log.named("accept"))
    lasting.send(b"b NOOP\r\n")
    while b"b OK" not in lasting.attempt(lasting.sock.recv, 4096):
        pass
    assert scene.port not in scene.turning.reactor.getReaders()
    failing.errors.clear()
    peer = Peer(scene.turning, waiting)
    assert peer.receive(5) == b"* OK "
    peer.close()
    lasting.close()


def test_that_descriptors_have_run_out_is_said_once_a_minute(scene, failing):
    failing.errors = [OSError(errno.EMFILE, "Too many open files")]
    skipped = 0
    scene.turning.reactor.seconds = lambda: time.monotonic() + skipped
    with socket.create_connection(scene.address):
        for count in range(1, 10):
            scene.turning.until(lambda count=count: failing.calls == count)
            assert len(scene.log.named("accept")) == 1
            skipped += 5
        skipped += 20
        scene.turning.until(lambda: failing.calls == 10)
        assert len(scene.log.named("accept")) == 2
    scene.port.close()
    scene.turning.reactor.seconds = lambda: time.monotonic() + skipped + 60
    for _ in range(3):
        scene.turning.turn()
    assert scene.port not in scene.turning.reactor.getReaders()  # a pause does not outlive the port


def test_a_connection_that_is_gone_before_it_is_accepted_is_passed_over(scene, failing):
    failing.errors = [OSError(errno.ECONNABORTED, "Software caused connection abort")] * 3
    peer = scene.client()
    assert failing.errors == []
    assert scene.log.named("accept") == []
    peer.close()


def test_a_bug_at_one_connection_is_told_and_closes_neither_the_port_nor_other_sessions(scene):
    lasting = scene.client()
    make_core = scene.reception.make_core
    object.__setattr__(scene.reception, "make_core", lambda _: 1 / 0)
    with capturedLogs() as logged, socket.create_connection(scene.address) as unlucky:
        unlucky.setblocking(False)
        assert Peer(scene.turning, unlucky).rest() == b""
    assert [event["log_failure"].type for event in logged] == [ZeroDivisionError]
    object.__setattr__(scene.reception, "make_core", make_core)
    scene.client().close()
    lasting.send(b"x LOGOUT\r\n")
    assert b"x OK" in lasting.rest()
    lasting.close()
    scene.closed(2)


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


def log_out(scene, peer):
    peer.send(b"a LOGOUT\r\n")


def leave(scene, peer):
    peer.close()


def leave_during_the_login(scene, peer):
    peer.send(LOGIN)
    scene.turning.until(lambda: scene.attempts)
    peer.close()


def drain(scene, peer):
    scene.arrivals.turn_out(Refusal.SHUTTING_DOWN, "shutting down")


def drain_during_the_login(scene, peer):
    peer.send(LOGIN)
    scene.turning.until(lambda: scene.attempts)
    drain(scene, peer)


def talk_nonsense(scene, peer):
    peer.send(b"GET / HTTP/1.1\r\n\r\n")


def fail_too_often(scene, peer):
    for number in range(3):
        peer.send(LOGIN)
        scene.turning.until(lambda number=number: len(scene.attempts) > number)
        scene.attempts[number].errback(Refused(Refusal.BAD_CREDENTIALS, "no"))


@pytest.mark.parametrize(
    "end",
    [
        log_out,
        leave,
        leave_during_the_login,
        drain,
        drain_during_the_login,
        talk_nonsense,
        fail_too_often,
    ],
    ids=lambda end: end.__name__,
)
def test_a_session_that_has_ended_leaves_one_record_and_nothing_to_the_garbage_collector(scene, end, failures_cleaned):
    gc.collect()
    before = len(parts_of_sessions())
    gc.disable()
    try:
        peer = scene.client()
        assert len(parts_of_sessions()) > before
        end(scene, peer)
        scene.attempts.clear()
        if peer.sock.fileno() != -1:
            peer.rest()
            peer.close()
        scene.closed()
        scene.turning.until(lambda: len(scene.turning.reactor.getReaders()) <= 2)
        assert len(parts_of_sessions()) == before
    finally:
        gc.enable()
    assert scene.turning.loop.wheel._buckets == {}


def test_a_session_that_was_handed_over_leaves_only_the_relay_and_later_one_record(scene, failures_cleaned):
    gc.collect()
    before = len(parts_of_sessions())
    gc.disable()
    try:
        peer = scene.client()
        peer.send(LOGIN + b"b NOOP\r\n")
        scene.turning.until(lambda: scene.attempts)
        ours, theirs = connected()
        store = Channel(None, None)
        store.stream = Stream(scene.turning.loop, ours, store)
        slot = fakes.Slot()
        scene.attempts.pop().callback(Relayed(fakes.Backend(store, b"* 3 EXISTS\r\n"), slot))
        del store
        assert len(parts_of_sessions()) == before
    finally:
        gc.enable()
    assert (len(scene.arrivals), len(scene.relays)) == (0, 1)
    assert Peer(scene.turning, theirs).receive(8) == b"b NOOP\r\n"
    while b"* 3 EXISTS\r\n" not in peer.attempt(peer.sock.recv, 4096):
        pass
    assert scene.log.named("closed") == []
    peer.close()
    theirs.close()
    (closed,) = scene.closed()
    assert (closed["who"], slot.closed) == ("client", 1)
