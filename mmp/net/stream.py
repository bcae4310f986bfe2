"""The one transport: a non-blocking TCP connection, in clear or with TLS on the socket."""

from __future__ import annotations

import enum
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from OpenSSL import SSL
from twisted.internet.interfaces import IPushProducer, IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from mmp.interfaces import Receiver
from mmp.model import Endpoint, Security
from mmp.net.loop import Loop
from mmp.net.tls_socket import TLSSocket, WantRead, WantWrite, security_of

LEFT = "closed by the other end"
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER for a close that throws away what is unsent and says so: no end that could be taken for a proper one."""
_THIS_MACHINE = Endpoint("127.0.0.1", 0)
LINGER = 5.0
"""Seconds that a closed stream waits for the other end's FIN, so that a reset does not destroy our last words."""


class Phase(enum.Enum):
    """Where a stream is in its life."""

    OPEN = enum.auto()
    SHAKING = enum.auto()
    """A TLS handshake is going on, or the words in clear before it are still being written."""
    CLOSING = enum.auto()
    """Closed from our side; the rest of the queue is being written."""
    ENDING = enum.auto()
    """The same, and the other end has closed too: there is no need to linger."""
    LINGERING = enum.auto()
    """FIN sent; what still arrives is thrown away until the other end's FIN."""
    CLOSED = enum.auto()


OPEN, SHAKING, CLOSING, ENDING, LINGERING, CLOSED = Phase
"""By themselves: to find one in its class takes Python 3.11 half a microsecond, twenty times a login."""

Successor = TypeVar("Successor")


@implementer(IReadWriteDescriptor, IPushProducer)
class Stream:
    """A connection. The receiver hears ``dataReceived`` and, once, ``connectionLost``, never inside a call it made.

    Nothing but slots and the socket: no timer of its own, no buffer while there is nothing to send.
    """

    __slots__ = (
        "_connection",
        "_failed",
        "_loop",
        "_phase",
        "_queue",
        "_read_waits",
        "_shaken",
        "due",
        "fileno",
        "receiver",
        "socket",
        "tick",
    )
    _connection: SSL.Connection

    def __init__(self, loop: Loop, plain: socket.socket, receiver: Receiver) -> None:
        self._loop = loop
        self.socket: socket.socket | TLSSocket = plain
        self.fileno = plain.fileno
        """Returns the descriptor, with TLS on it or not; -1 once closed."""
        self.receiver: Receiver | None = receiver
        self._queue = bytearray()
        self._phase = OPEN
        self._read_waits = False
        self._shaken: Callable[[Security], object] | None = None
        self._failed: Callable[[ConnectionError], object] | None = None
        self.due = self.tick = 0
        loop.reactor.addReader(self)

    # Writing

    def write(self, octets: bytes | bytearray | memoryview) -> None:
        """Send what the socket takes and queue the rest. A failure is reported later, by the loop.

        Dropped once closing has begun, and during a handshake, when nothing can be said.
        """
        if self._phase is OPEN and not self._queue and octets:
            try:
                sent = self.socket.send(octets)
            except OSError:  # not now, or not at all: doWrite will find out which
                sent = 0
            if sent == len(octets):
                return
            octets = memoryview(octets)[sent:]
        elif self._phase is not OPEN or not octets:
            return
        self._queue += octets
        self._loop.reactor.addWriter(self)

    @property
    def unsent(self) -> int:
        """How many bytes wait to be written."""
        return len(self._queue)

    def doWrite(self) -> None:  # noqa: N802 - Twisted's name
        """Write what is queued; then finish closing, if that is what it was for."""
        if self._phase is SHAKING:
            return self._shake_in_turn()
        if self._read_waits and not self._go_on_reading():
            return None
        try:
            if self._queue:
                sent = self.socket.send(self._queue)
                del self._queue[:sent]
                if self._queue:
                    return None
            if self._phase in (CLOSING, ENDING):
                return self._say_end()
        except WantRead:
            self._loop.reactor.removeWriter(self)
            return None
        except BlockingIOError:
            return None
        except OSError as error:
            return self._lose(error)
        self._loop.reactor.removeWriter(self)
        return None

    # Reading

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Read once and hand it to the receiver."""
        if self._phase is SHAKING:
            return self._shake_in_turn()
        try:
            got = self.socket.recv_into(self._loop.buffer)
        except WantWrite:
            return self._await_room()
        except BlockingIOError:
            return self._go_on_writing()
        except OSError as error:
            return self._lose(error)
        if self._queue or self._phase is not OPEN:
            self._go_on_writing()
        if not got:
            return self._ended()
        if self._phase is OPEN and self.receiver is not None:
            self.receiver.dataReceived(self._loop.buffer[:got].tobytes())
        return None

    def _await_room(self) -> None:
        """Let reading wait until TLS can send what it must (RFC 8446, 4.6.3); to ask again before is a busy loop."""
        self._read_waits = True
        self._loop.reactor.removeReader(self)
        self._loop.reactor.addWriter(self)

    def _go_on_reading(self) -> bool:
        """Read, now that there is room; False if it waits again, or found the end."""
        self._read_waits = False
        self._loop.reactor.addReader(self)
        self.doRead()
        return not self._read_waits and self._phase is not CLOSED

    def _go_on_writing(self) -> None:
        """A write may have been waiting for what was just read, even if that was no data."""
        if (self._queue or self._phase is CLOSING) and isinstance(self.socket, TLSSocket):
            self._loop.reactor.addWriter(self)

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Read no more until told so; a FIN goes unnoticed meanwhile."""
        if self._phase is OPEN:
            self._read_waits = False
            self._loop.reactor.removeReader(self)

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Read again."""
        if self._phase is OPEN:
            self._loop.reactor.addReader(self)

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Close."""
        self.loseConnection()

    # TLS

    def start_tls(
        self,
        connection: SSL.Connection,
        shaken: Callable[[Security], object],
        failed: Callable[[ConnectionError], object],
        *,
        speak_first: bool,
    ) -> None:
        """Begin a handshake behind what is queued already; ``connection`` is made on ``self.socket``.

        The client side of TLS speaks first. One of the calls is made at the end, later. ConnectionError if this stream
        is no more to be used.
        """
        if self._phase is not OPEN:
            raise ConnectionError("connection lost")
        self._phase = SHAKING
        self._shaken, self._failed = shaken, failed
        self._connection = connection
        self._loop.reactor.addReader(self)
        if speak_first:
            self._loop.reactor.addWriter(self)

    def _shake_in_turn(self) -> None:
        if self._loop.handshakes.may_go_on(self):
            self.shake()

    def shake(self) -> None:
        """Go on with the handshake, as far as that does not have to wait."""
        reactor = self._loop.reactor
        try:
            if isinstance(self.socket, socket.socket):
                while self._queue:  # the last words in clear, such as the agreement to STARTTLS, go first
                    del self._queue[: self.socket.send(self._queue)]
                self.socket = TLSSocket(self.socket, self._connection)
                del self._connection
            connection = self.socket.do_handshake()
        except WantRead:
            reactor.removeWriter(self)
            reactor.addReader(self)
        except BlockingIOError:
            reactor.removeReader(self)  # what came meanwhile would only wake us in vain
            reactor.addWriter(self)
        except OSError as error:
            self._lose(error)
        else:
            reactor.removeWriter(self)
            reactor.addReader(self)
            self._phase = OPEN
            shaken, self._shaken, self._failed = self._shaken, None, None
            if shaken is not None:
                shaken(security_of(connection))

    def give_up_shaking(self) -> None:
        """Abort; nobody wants to be told how the handshake ended."""
        self._shaken = self._failed = None
        self.abortConnection()

    # Ending

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Flush, then close in order: close alert, FIN, the other end's FIN; each step within the linger time."""
        if self._phase is SHAKING:
            self.abortConnection()
        elif self._phase is OPEN:
            self._phase = CLOSING
            self._loop.wheel.add(self, LINGER)
            self._loop.reactor.addReader(self)  # to see the end, even if reading was paused
            self._loop.reactor.addWriter(self)  # the receiver must not hear of the loss before we return

    @property
    def closing(self) -> bool:
        """Whether it has been told to close, and has not got there."""
        return self._phase in (CLOSING, ENDING, LINGERING)

    def _ended(self) -> None:
        """The other end has no more to say."""
        if self._phase is CLOSING:
            self._phase = ENDING
            return self._loop.reactor.removeReader(self)
        if self._phase is OPEN and isinstance(self.socket, TLSSocket):
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)  # our close alert (RFC 8446, 6.1)
        return self._lose(ConnectionAbortedError(LEFT if not self._queue else f"{LEFT} before it had heard all"))

    def _say_end(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)
        if self._phase is ENDING:
            return self._lose(ConnectionAbortedError("closed by both ends"))
        self._phase = LINGERING
        return self._loop.reactor.removeWriter(self)

    def expired(self) -> None:
        """The other end took too long to let us close."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._lose(ConnectionAbortedError("not closed in time"))

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Reset the connection; the receiver hears of it from the loop's next turn at the earliest."""
        if self._phase is not CLOSED:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._release()
            self._loop.reactor.callLater(0, self._tell, ConnectionAbortedError("aborted"))

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802 - Twisted's name
        """The reactor found the descriptor broken."""
        known = isinstance(reason.value, OSError)  # the words of anything else may quote what was received
        self._lose(reason.value if known and reason.value else ConnectionError("unexpected error"))

    def _lose(self, error: BaseException) -> None:
        if self._phase is not CLOSED:
            self._release()
            self._tell(error)

    def _release(self) -> None:
        self._loop.reactor.forget(self)
        self._loop.wheel.discard(self)
        self._phase = CLOSED
        self._queue = bytearray()
        self.socket.close()

    def _tell(self, error: BaseException) -> None:
        failed, self._shaken, self._failed = self._failed, None, None
        if failed is not None:
            failed(error if isinstance(error, ConnectionError) else ConnectionError(str(error)))
        receiver, self.receiver = self.receiver, None  # no cycle stays behind
        if receiver is not None:
            receiver.connectionLost(error)

    @property
    def open(self) -> bool:
        """Whether it can be written to and handed over."""
        return self._phase is OPEN

    def hand_over(self, make: Callable[[socket.socket | TLSSocket, bytearray], Successor]) -> Successor:
        """Give the socket and the unsent bytes to what ``make`` makes of them; this stream is dead then, and silent.

        The successor is watched for data to read from now on. The stream must be open.
        """
        successor = make(self.socket, self._queue)
        self._loop.reactor.replace(self, successor)
        self._phase = CLOSED
        self.receiver = None
        return successor

    # What Twisted's reactor asks for

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """Return a name for the log."""
        return "stream"


def endpoint_of(address: tuple[Any, ...] | str | bytes) -> Endpoint:
    """Return a socket address as an endpoint; an IPv4 client on an IPv6 socket is shown as IPv4.

    Whoever comes over a Unix socket is on this machine, and so are we.
    """
    if not isinstance(address, tuple):
        return _THIS_MACHINE
    host, port, *_ = address
    return Endpoint(host.removeprefix("::ffff:") if "." in host else host, port)
