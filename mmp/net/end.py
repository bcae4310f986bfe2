"""One socket of a relay: what it receives goes into the other at once."""

from __future__ import annotations

import enum
import socket
from typing import TYPE_CHECKING

from mmp.net.loop import READ_SIZE
from mmp.net.splice import Pipe
from mmp.net.tls_socket import TLSSocket, WantRead, WantWrite

if TYPE_CHECKING:
    from mmp.net.relay import Relay


class Sink(enum.Enum):
    """How far the writing side of an end is."""

    OPEN = enum.auto()
    FINISHING = enum.auto()
    """Behind what is kept, the end will be said."""
    FINISHED = enum.auto()
    """The end was said: close alert, FIN."""


OPEN, FINISHING, FINISHED = Sink
"""By themselves, as in ``mmp.net.stream``."""


class End:
    """Bytes are kept only while the other end is full, and then nothing more is read here."""

    __slots__ = (
        "_bulk",
        "_held",
        "_owing",
        "_pipe",
        "_queue",
        "_read_waits",
        "_relay",
        "_sink",
        "closed",
        "ended",
        "other",
        "received",
        "socket",
    )

    other: End

    def __init__(self, relay: Relay, sock: socket.socket | TLSSocket, unsent: bytearray) -> None:
        self._relay = relay
        self.socket = sock
        self._queue = unsent
        self._pipe: Pipe | None = None
        """With bytes that this end could not send yet; then the queue is empty."""
        self._bulk = False
        """Whether what is received here comes so fast that the kernel had better move it."""
        self._read_waits = False
        """Whether TLS has to send something before it can go on reading (RFC 8446, 4.6.3)."""
        self.ended = False
        """Whether the socket has no more for us."""
        self._held = False
        """Whether the guard waits for something, and more of this end would only pile up."""
        self._owing = False
        """Whether a guard's own answers are among what is kept."""
        self._sink = OPEN
        self.received = 0
        self.closed = False
        """Whether the socket is closed."""

    def start(self) -> None:
        """Write what is left over from the login; the other end reads on once that is done."""
        if self._queue:
            self._relay.loop.reactor.addWriter(self)
            self._relay.loop.reactor.removeReader(self.other)

    # Reading

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Pass on what there is to read."""
        relay = self._relay
        if self._bulk and not relay.discarding:
            return self._move()
        loop = relay.loop
        try:
            got = self.socket.recv_into(loop.buffer)
        except WantWrite:
            return self._await_room()
        except BlockingIOError:
            return self._go_on_writing()
        except OSError as error:
            return relay.broken(self, str(error))
        if not got:
            return self._end()
        if self._queue:
            self._go_on_writing()
        if relay.discarding:
            return None
        self.received += got
        relay.due = loop.wheel.now + relay.patience
        if relay.guard is not None:
            return relay.show(self, relay.guard, loop.buffer[:got].tobytes())
        if got == READ_SIZE and type(self.socket) is socket.socket and type(self.other.socket) is socket.socket:
            self._bulk = True
        return self.other.take(loop.buffer[:got])

    def _await_room(self) -> None:
        """Ask again once there is room: before, it would only turn in circles."""
        self._read_waits = True
        self._relay.loop.reactor.removeReader(self)
        self._relay.loop.reactor.addWriter(self)

    def _go_on_reading(self) -> bool:
        """Read, now that there is room; False if that waits again, or ended everything."""
        self._read_waits = False
        if not self._may_read():
            return True
        self._relay.loop.reactor.addReader(self)
        self.doRead()
        return not (self._read_waits or self.closed)

    def _go_on_writing(self) -> None:
        """A write may have been waiting for what was just read, even if that was no data."""
        if self._queue and type(self.socket) is TLSSocket:
            self._relay.loop.reactor.addWriter(self)

    def _move(self) -> None:
        """Pass on by splice: a third of the CPU of copying, once a read fills the buffer, until one does not."""
        relay = self._relay
        pipe = relay.loop.pipes.lend()
        if pipe is None:
            self._bulk = False
            return self.doRead()
        try:
            got = pipe.fill(self.socket.fileno())
        except BlockingIOError:
            return relay.loop.pipes.take_back(pipe)
        except OSError as error:
            relay.loop.pipes.take_back(pipe)
            return relay.broken(self, str(error))
        self._bulk = got >= READ_SIZE
        if not got:
            relay.loop.pipes.take_back(pipe)
            return self._end()
        self.received += got
        relay.due = relay.loop.wheel.now + relay.patience
        return self.other.take_pipe(pipe)

    def hold(self, held: bool) -> None:  # noqa: FBT001 - the one thing that it sets, and called for every chunk
        """Read no more while this is so."""
        if held != self._held:
            self._held = held
            if held:
                self._relay.loop.reactor.removeReader(self)
            else:
                self.read_on()

    def read_on(self) -> None:
        """Read, unless all has been, TLS waits for room first, or what would come has no room."""
        if not (self.ended or self._read_waits or self.closed) and self._may_read():
            self._relay.loop.reactor.addReader(self)

    def _may_read(self) -> bool:
        """Tell whether what would come has room, or needs none since it is dropped."""
        return self._relay.discarding or not (self._held or self._owing or self.other._queue)  # noqa: SLF001 - its own kind

    # Writing

    def take(self, octets: memoryview) -> None:
        """Send what the socket accepts now; keep the rest and stop the source."""
        sent = 0
        if not self._queue:
            try:
                sent = self.socket.send(octets)
            except BlockingIOError:  # doWrite will find out for what it has to wait
                pass
            except OSError as error:
                return self._relay.broken(self, str(error))
        if sent < len(octets):
            self._queue += octets[sent:]
            self._relay.loop.reactor.addWriter(self)
            self._relay.loop.reactor.removeReader(self.other)
        return None

    def answer(self, octets: memoryview) -> None:
        """Send it, and read no more of who does not read that."""
        self.take(octets)
        if self._queue:
            self._owing = True
            self._relay.loop.reactor.removeReader(self)

    def take_pipe(self, pipe: Pipe) -> None:
        """Send what the socket accepts now of what is in the pipe; keep it with the rest and stop the source."""
        loop = self._relay.loop
        try:
            pipe.drain(self.socket.fileno())
        except BlockingIOError:
            pass
        except OSError as error:
            loop.pipes.take_back(pipe)
            return self._relay.broken(self, str(error))
        if not pipe.held:
            return loop.pipes.take_back(pipe)
        self._pipe = pipe
        loop.reactor.addWriter(self)
        return loop.reactor.removeReader(self.other)

    def doWrite(self) -> None:  # noqa: N802 - Twisted's name
        """Write what is kept; once it is gone, let the source go on, or say the end."""
        if self._read_waits and not self._go_on_reading():
            return None
        relay = self._relay
        reactor = relay.loop.reactor
        try:
            if not self._flush():
                return None
            if self._sink is FINISHING:
                self._say_end()
        except WantRead:
            return self._await_words()
        except BlockingIOError:
            return reactor.addWriter(self)  # the end is said without waiting for the loop, if nothing is kept
        except OSError as error:
            return relay.broken(self, str(error))
        reactor.removeWriter(self)
        if self._sink is not OPEN:
            return self._close_if_done()
        return self._let_go_on()

    def _flush(self) -> bool:
        """Write what the socket takes of what is kept, and return whether that was all of it."""
        relay = self._relay
        if self._queue:
            del self._queue[: self.socket.send(self._queue)]
            relay.due = relay.loop.wheel.now + relay.patience
        elif self._pipe is not None:
            self._pipe.drain(self.socket.fileno())
            relay.due = relay.loop.wheel.now + relay.patience
            if self._pipe.held:
                return False
            self._give_back_pipe()
        return not self._queue

    def _await_words(self) -> None:
        """Write on once TLS has read what it must. More may come with it for the other end: not while that is full."""
        self._relay.loop.reactor.removeWriter(self)
        if not (self.other._queue or self._held):  # noqa: SLF001 - its own kind
            self._relay.loop.reactor.addReader(self)

    def _let_go_on(self) -> None:
        """Read the source again, and here what has waited for our own answers to be taken."""
        self.other.read_on()
        if self._owing:
            self._owing = False
            self.read_on()

    def _give_back_pipe(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            self._relay.loop.pipes.take_back(pipe)

    # Ending

    def _end(self) -> None:
        """The socket has no more for us."""
        self.ended = True
        self._relay.ending(self, "closed")
        self.other.finish()
        if self._sink is FINISHED:
            self._close_if_done()
        if not self.closed:  # else it is forgotten already, which is cheaper
            self._relay.loop.reactor.removeReader(self)

    def finish(self) -> None:
        """Say, behind what is kept, that no more will come: close alert, then FIN."""
        if self._sink is OPEN and not self.closed:
            self._sink = FINISHING
            if self._queue or self._pipe is not None:
                self._relay.loop.reactor.addWriter(self)
            elif self._read_waits:
                self.doWrite()
            else:
                self._finish_now()

    def _finish_now(self) -> None:
        try:
            self._say_end()
        except BlockingIOError:  # doWrite will find out for what it has to wait
            self.doWrite()
        except OSError as error:
            self._relay.broken(self, str(error))
        else:
            self._close_if_done()

    def _say_end(self) -> None:
        if not self.ended:
            self.socket.shutdown(socket.SHUT_WR)
        elif isinstance(self.socket, TLSSocket):
            self.socket.say_end()  # the rest is said by closing
        self._sink = FINISHED

    def _close_if_done(self) -> None:
        if self.ended and self._sink is FINISHED:
            self.close()
            self._relay.closed()

    def close(self) -> None:
        """Close the socket, without a word."""
        self.closed = True
        self._relay.loop.reactor.forget(self)
        self._queue = bytearray()
        if self._pipe is not None:
            self._give_back_pipe()
        self.socket.close()

    # What Twisted's reactor asks for

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self.socket.fileno()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """Return a name for the log."""
        return "relay"

    def connectionLost(self, reason: object) -> None:  # noqa: N802 - Twisted's name
        """The reactor found the descriptor broken."""
        self._relay.broken(self, str(reason))
