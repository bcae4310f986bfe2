"""A listener on a loop that a test turns, its clock, and clients of it."""

import itertools
import socket
import ssl
import time

import attrs
import pytest
from twisted.internet.defer import Deferred

from mmp.model import Offer, Service
from mmp.net.listen import Arrivals, House, Reception
from mmp.net.port import Port
from mmp.net.takeover import Relays
from mmp.observe.accounting import Accounting
from mmp.wire.imap.server import Server
from tests import fakes
from tests.net.turning import Peer, client_context, server_tls

DEADLINE = 60
"""Seconds from accept to logged in, where the clock is turned."""
LOGIN = b"a LOGIN alice s3cret-of-alice\r\n"


class Scene:
    """A listener whose logins end as the test says."""

    def __init__(self, turning, deadline=60.0, capacity=10_000):
        self.turning = turning
        self.log = fakes.Log()
        self.attempts = []
        accounting = Accounting(self.log, turning.reactor.seconds)
        self.relays = Relays(turning.loop, {Service.IMAP: 1800.0}, accounting.close)
        ids = map(str, itertools.count())
        self.arrivals = Arrivals(House(turning.loop, self.log, accounting, self.relays, ids, capacity))
        self.reception = Reception(
            service=Service.IMAP,
            implicit_tls=False,
            start_tls=None,
            offer=lambda _: Offer((), plaintext=True, starttls=False),
            make_core=lambda offered: Server(
                offer=offered, hostname="proxy.example", timestamp=b"<1.2@mail.example.com>"
            ),
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

    async def log_in(self, record, credentials, ask):
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


class Clock:
    """The loop's time, which goes on by steps alone: how busy the machine is shall not count."""

    def __init__(self, scene):
        self.scene, self.skipped = scene, 0
        begun = time.monotonic()
        scene.turning.reactor.seconds = lambda: begun + self.skipped

    def tick(self):
        """Let a second pass, and everything happen that is due."""
        self.skipped += 1
        for _ in range(3):
            self.scene.turning.turn()


def under_tls(scene):
    scene.reception = attrs.evolve(scene.reception, implicit_tls=True, start_tls=server_tls().start)
    connection = socket.create_connection(scene.address)
    connection.setblocking(False)
    return Peer(scene.turning, connection)


def client_hello():
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client_context().wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()
