"""A worker, of which the test is the supervisor, the client and the store."""

import math
import os
import socket
import time

import pytest

from mmp.config.load import load
from mmp.net.share import Shares
from mmp.shared import link as wire
from mmp.shared.link import PACKET, Kind, frame, frames
from mmp.worker import Inheritance, Worker
from tests.net.turning import Peer, Turning

CONFIGURATION = """
shutdown_grace = "20s"
[[listener]]
address = "127.0.0.1"
tls = "none"
[login]
restrict_plain_passwords = false
plaintext_min_cipher = 0
[directory]
kind = "file"
[directory.file]
path = "users.toml"
[backend.imap]
port = {port}
"""


class Scene:
    def __init__(self, folder, monkeypatch):
        self.store = socket.create_server(("127.0.0.1", 0))
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.setblocking(False)
        (folder / "users.toml").write_text('[users."alice"]\nmailHost = "127.0.0.1"\n')
        (folder / "mmp.toml").write_text(CONFIGURATION.format(port=self.store.getsockname()[1]))
        monkeypatch.setattr("mmp.worker.globalLogBeginner.beginLoggingTo", lambda *_, **__: None)
        self.turning = Turning()
        self.skipped = 0.0
        self.turning.reactor.seconds = lambda: time.monotonic() + self.skipped
        self.stopped = []
        self.turning.reactor.stop = lambda: self.stopped.append(1)
        ours, self.link = wire.pair()
        self.link.setblocking(False)
        self.log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.written = folder / "log"
        loaded = load(str(folder / "mmp.toml"))
        self.worker = Worker(Inheritance(loaded, {}, Shares().of(0)), self.turning.reactor, ours)
        self.heard = []
        self.peers = []

    def say(self, kind, payload=b"", descriptors=()):
        socket.send_fds(self.link, [frame(kind, payload)], descriptors)

    def hear(self, kind):
        """Turn until the worker has said this; return its payload."""

        def said():
            try:
                self.heard += frames(self.link.recv(PACKET))
            except BlockingIOError:
                pass
            return kind in dict(self.heard)

        self.turning.until(said)
        return dict(self.heard)[kind]

    def begin(self):
        """Have it serve."""
        self.say(Kind.LOG, descriptors=[self.log])
        self.say(Kind.LISTEN, wire.NUMBER.pack(0), [self.listening.fileno()])
        self.say(Kind.SERVE)
        self.hear(Kind.SERVING)
        return self

    def client(self):
        """Return a client that has been greeted."""
        peer = self.peer(socket.create_connection(self.listening.getsockname()))
        assert peer.receive(5) == b"* OK "
        return peer

    def peer(self, sock):
        sock.setblocking(False)
        self.peers.append(Peer(self.turning, sock))
        return self.peers[-1]

    def log_in(self, client):
        """Log a client in; return the store's end."""
        client.send(b"a LOGIN alice secret\r\n")
        self.turning.turn()
        store = self.peer(self.store.accept()[0])
        store.send(b"* OK [CAPABILITY IMAP4rev1] ready\r\n")
        self.until_said(store, b"LOGIN")
        store.send(b"m1 OK [CAPABILITY IMAP4rev1] in\r\n")
        self.until_said(client, b"a OK")
        return store

    @staticmethod
    def until_said(peer, words):
        got = b""
        while words not in got:
            more = peer.attempt(peer.sock.recv, 4096)
            assert more, got
            got += more

    def pass_time(self, seconds):
        self.skipped += seconds
        for _ in range(5):
            self.turning.turn()

    def until_stopped(self):
        """Let the little time pass at which it looks whether it is empty."""

        def stopped():
            self.skipped += 0.25
            return self.stopped

        self.turning.until(stopped)

    def listens(self):
        return any(port.fileno() != -1 for port in self.worker._ports)

    def close(self):
        self.turning.close()
        for peer in self.peers:
            peer.close()
        for sock in (self.store, self.listening, self.link):
            sock.close()
        os.close(self.log)
        self.worker._log._appender._close()


@pytest.fixture
def scene(tmp_path, monkeypatch):
    made = Scene(tmp_path, monkeypatch)
    yield made
    made.close()


def seconds(value):
    return wire.SECONDS.pack(value)


def test_it_says_its_version_first(scene):
    assert scene.hear(Kind.HELLO) == wire.NUMBER.pack(wire.VERSION)
    assert scene.heard[0][0] is Kind.HELLO


def test_it_serves_on_what_it_is_given_and_logs_where_it_is_told(scene):
    client = scene.begin().client()
    store = scene.log_in(client)
    client.send(b"b NOOP\r\n")
    scene.until_said(store, b"b NOOP")
    assert "login result=ok" in scene.written.read_text()


def test_it_answers_how_many_sessions_it_has(scene):
    scene.begin()
    scene.log_in(scene.client())
    scene.client()
    scene.client()
    scene.say(Kind.PING)
    assert wire.TWO_NUMBERS.unpack(scene.hear(Kind.PONG)) == (2, 1)


def test_when_replaced_it_listens_no_more_and_ends_when_its_last_session_has(scene):
    visitor, logged_in = scene.begin().client(), scene.client()
    scene.log_in(logged_in)
    scene.say(Kind.RETIRE, seconds(math.inf))
    scene.turning.until(lambda: not scene.listens())
    scene.pass_time(1)
    scene.log_in(visitor)  # whoever had come may still log in
    for peer in scene.peers:
        scene.pass_time(1)
        assert scene.stopped == []
        peer.close()
    scene.until_stopped()


def test_when_replaced_for_so_many_seconds_it_ends_all_sessions_then_also_those_before_login(scene):
    visitor, logged_in = scene.begin().client(), scene.client()
    store = scene.log_in(logged_in)
    scene.say(Kind.RETIRE, seconds(15.0))
    scene.turning.until(lambda: not scene.listens())
    scene.pass_time(14)
    assert scene.stopped == []
    scene.pass_time(2)
    assert b"* BYE [UNAVAILABLE]" in visitor.rest()
    assert logged_in.rest() == b""
    assert store.rest() == b""
    for peer in (visitor, logged_in, store):
        peer.close()
    scene.until_stopped()


def test_a_drain_sends_visitors_away_and_lets_sessions_go_on(scene):
    visitor, logged_in = scene.begin().client(), scene.client()
    store = scene.log_in(logged_in)
    scene.say(Kind.DRAIN, seconds(15.0))
    assert b"* BYE [UNAVAILABLE]" in visitor.rest()
    visitor.close()
    logged_in.send(b"b NOOP\r\n")
    scene.until_said(store, b"b NOOP")
    assert scene.stopped == []
    scene.pass_time(16)
    assert logged_in.rest() == b""
    logged_in.close()
    store.close()
    scene.until_stopped()


def test_a_drain_without_grace_ends_all_sessions_at_once(scene):
    logged_in = scene.begin().client()
    store = scene.log_in(logged_in)
    scene.say(Kind.DRAIN, seconds(0.0))
    scene.turning.until(lambda: not scene.listens())
    scene.pass_time(0.5)
    assert logged_in.rest() == b""
    for peer in (logged_in, store):
        peer.close()
    scene.until_stopped()


def test_a_worker_without_sessions_ends_at_once(scene):
    scene.begin().say(Kind.DRAIN, seconds(math.inf))
    scene.until_stopped()


@pytest.mark.parametrize("replaced", [False, True])
def test_without_its_supervisor_it_ends_after_the_grace_even_if_it_was_to_live_on(scene, replaced):
    logged_in = scene.begin().client()
    store = scene.log_in(logged_in)
    if replaced:
        scene.say(Kind.RETIRE, seconds(math.inf))
        scene.turning.until(lambda: not scene.listens())
    scene.link.close()
    scene.turning.until(lambda: "the supervisor is gone" in scene.written.read_text())
    assert not scene.listens()
    scene.pass_time(21)
    assert logged_in.rest() == b""
    for peer in (logged_in, store):
        peer.close()
    scene.until_stopped()


def test_the_end_of_the_loop_is_not_taken_for_the_supervisors(scene):
    scene.begin().say(Kind.DRAIN, seconds(5.0))
    scene.until_stopped()
    assert scene.worker._link not in scene.turning.reactor.getReaders()
    assert not scene.worker._link.closed
