"""Accepting connections, a few at a time, no more than this worker's part, and only while there are descriptors."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from zope.interface import implementer

from mmp.interfaces import Log
from mmp.model import Endpoint
from mmp.net.loop import Loop
from mmp.net.stream import endpoint_of
from mmp.net.wheel import Deadline

BREATH = 0.002
"""Seconds that a worker with more than its part leaves to the others; then it takes one, lest they all be stuck."""
PAUSE = 1.0
"""Seconds without accepting once descriptors have run out."""
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@implementer(IReadDescriptor)
class Port:
    """A listening socket, shared with other workers; hands each accepted connection to ``arrive``."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        arrive: Callable[[socket.socket, Endpoint], None],
        log: Log,
        exceeds: Callable[[], bool] = lambda: False,
    ) -> None:
        """``exceeds`` says whether this worker has more than its part of the sessions."""
        self._loop = loop
        self._socket = sock
        self._kind = int(sock.family), int(sock.type)
        self._arrive = arrive
        self._log = log
        self._exceeds = exceeds
        self._pause: Deadline | None = None
        self._breath: IDelayedCall | None = None
        self._told = -float("inf")
        exceeds()  # so that the others reckon with this worker before its first connection
        loop.reactor.addReader(self)

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Accept what is waiting, a few at a time, and one however many have come to other listeners in this turn."""
        may_go_on = True
        self._loop.accepts.take()
        while may_go_on:
            if self._exceeds():
                self._loop.reactor.removeReader(self)
                self._breath = self._loop.reactor.callLater(BREATH, self._breathed)
                return
            may_go_on = self._accept() and self._loop.accepts.take()

    def _breathed(self) -> None:
        self._breath = None
        self._loop.reactor.addReader(self)
        self._accept()

    def _accept(self) -> bool:
        """Accept one, unless it is gone; False if there is none, or nothing to accept it with."""
        try:
            # Half of what ``accept`` costs is two members of enums, made anew each time by functions in Python.
            descriptor, address = self._socket._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - see above
        except OSError as error:
            if error.errno in EXHAUSTED:
                self._wait(error)
            return error.errno == errno.ECONNABORTED
        accepted = socket.socket(*self._kind, fileno=descriptor)
        accepted.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self._arrive(accepted, endpoint_of(address))
        return True

    def _wait(self, error: OSError) -> None:
        """Leave the rest in the kernel's queue for a while; say so once a minute."""
        self._loop.reactor.removeReader(self)
        self._pause = Deadline(self._loop.wheel, PAUSE, self._go_on)
        now = self._loop.wheel.seconds()
        if now - self._told >= 60:  # noqa: PLR2004 - a minute
            self._told = now
            self._log.event("accept", "error", result="paused", reason=error.strerror)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.reactor.addReader(self)

    def close(self) -> None:
        """Accept no more; the socket is closed in this process."""
        if self._pause is not None:
            self._pause.cancel()
        if self._breath is not None:
            self._breath.cancel()
            self._breath = None
        self._loop.reactor.removeReader(self)
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """Return a name for the log."""
        return "port"

    def connectionLost(self, reason: object) -> None:  # noqa: ARG002, N802 - Twisted's name
        """The reactor found the descriptor broken."""
        self.close()
