"""An event loop that a test turns by hand, and connected sockets over loopback."""

import socket
import ssl
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from mmp.demo.certificates import Authority
from mmp.net.certificates import Chain
from mmp.net.loop import Loop
from mmp.net.reactor import LeanReactor
from mmp.net.tls import ClientTLS, FrontSettings, ServerTLS, front_ring
from mmp.net.wheel import Wheel

SETTINGS = FrontSettings("1.2", 3600.0)


class Turning:
    """A worker's loop without a worker."""

    def __init__(self):
        self.reactor = LeanReactor()
        self.loop = Loop(self.reactor, Wheel(self.reactor))

    def turn(self):
        self.reactor.runUntilCurrent()
        self.reactor.doIteration(0.01)

    def until(self, condition, seconds=20):
        """Turn until the condition holds; the limit only keeps a broken test from hanging."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not come to that"
            self.turn()

    def outcome(self, deferred):
        """Turn until the Deferred has fired and return its result, or raise its error."""
        results = []
        deferred.addBoth(results.append)
        self.until(lambda: results)
        if hasattr(results[0], "raiseException"):
            results[0].raiseException()
        return results[0]

    def close(self):
        self.loop.wheel.stop()
        for descriptor in self.reactor.removeAll():
            close = getattr(descriptor, "close", None) or getattr(descriptor, "abortConnection", None)
            if close is not None:
                close()
        self.reactor.runUntilCurrent()  # only now do connections of Twisted end, and their timers in its own reactor
        self.reactor._poller.close()


class Told:
    """A receiver that remembers."""

    def __init__(self):
        self.octets = b""
        self.lost = []

    def dataReceived(self, octets):  # noqa: N802 - Twisted's name
        self.octets += octets

    def connectionLost(self, reason):  # noqa: N802 - Twisted's name
        self.lost.append(reason)


def connected():
    """Return two ends of a TCP connection, the first non-blocking for us, the second non-blocking for the test."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    for end in (ours, theirs):
        end.setblocking(False)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours, theirs


AUTHORITY = Authority.make("Authority of the tests")


def server_tls(*names, ring=None):
    issued = AUTHORITY.issue(names or ("localhost",), days=1)
    chains = [Chain(issued.certificate, issued.key)]
    return ServerTLS(ring or front_ring(SETTINGS)[:1], SETTINGS, chains, period=lambda: 0)


def client_tls(**options):
    return ClientTLS(**{"ca": AUTHORITY.pem} | options)


def client_context():
    context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
    context.check_hostname = False
    return context


def server_context(*names):
    """A context of the standard library, to play the store with."""
    issued = AUTHORITY.issue(names or ("localhost",), days=1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder, "c.pem"), Path(folder, "k.pem")
        certificate.write_bytes(issued.certificate)
        key.write_bytes(issued.key)
        context.load_cert_chain(certificate, key)
    return context


class Peer:
    """The test's end of a connection, in clear or under the standard library's TLS; never blocks."""

    def __init__(self, turning, sock):
        self.turning = turning
        self.sock = sock

    def now(self, call, *arguments):
        """Return what the call does, or None if it would have to wait."""
        try:
            return call(*arguments)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def attempt(self, call, *arguments):
        """Turn the loop until the call does not ask to wait any more."""
        results = []

        def done():
            try:
                results.append(call(*arguments))
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            return True

        self.turning.until(done)
        return results[0]

    def start_tls(self, context, **options):
        self.sock = context.wrap_socket(self.sock, do_handshake_on_connect=False, suppress_ragged_eofs=False, **options)
        self.attempt(self.sock.do_handshake)

    def send(self, octets):
        view = memoryview(octets)
        while view:
            view = view[self.attempt(self.sock.send, view[:65536]) :]

    def receive(self, count):
        """Return exactly so many bytes."""
        got = bytearray()
        while len(got) < count:
            octets = self.attempt(self.sock.recv, min(65536, count - len(got)))
            assert octets, f"ended after {len(got)} of {count}"
            got += octets
        return bytes(got)

    def rest(self):
        """Return what comes until the end, or a reset."""
        got = b""
        with suppress(ConnectionResetError):
            while octets := self.attempt(self.sock.recv, 65536):
                got += octets
        return got

    def close(self):
        self.sock.close()
