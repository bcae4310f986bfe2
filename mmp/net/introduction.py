"""The PROXY header at the beginning of an accepted connection: read to its last octet and no further."""

from __future__ import annotations

import socket
from collections.abc import Callable

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from mmp.errors import RemoteProtocolError
from mmp.model import Refusal
from mmp.net.loop import Loop
from mmp.wire.proxy_header import LIMIT, Header, parse, size


@implementer(IReadDescriptor)
class Introduction:
    """Waits for the header; then calls ``introduced`` or, having closed the connection, ``failed``.

    What is behind the header stays in the socket: if it is a TLS handshake, OpenSSL has to find it there.
    """

    __slots__ = ("_deadline", "_failed", "_introduced", "_loop", "_received", "due", "socket", "tick")

    def __init__(
        self,
        loop: Loop,
        accepted: socket.socket,
        deadline: float,
        introduced: Callable[[Introduction, Header | None], None],
        failed: Callable[[Introduction, str], None],
    ) -> None:
        """``introduced`` gets None if the addresses of the connection itself are the ones that count.

        ``deadline`` is in seconds.
        """
        self.socket = accepted
        self._loop = loop
        self._deadline = deadline
        self._introduced = introduced
        self._failed = failed
        self._received = b""
        self.due = self.tick = 0

    def run(self) -> None:
        """Begin."""
        self._loop.wheel.add(self, self._deadline)
        self._loop.reactor.addReader(self)

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Take what there is of the header, and go on once that is all of it."""
        try:
            if not self._take():
                return
            header = parse(self._received)
        except BlockingIOError:
            return
        except (OSError, RemoteProtocolError) as error:
            self._fail(str(error))
            return
        self._leave()
        self._introduced(self, header)

    def _take(self) -> bool:
        """Take from the socket what belongs to the header, and say whether that was the rest of it.

        Peeking again at octets that were left there would not wait until there are more of them.
        """
        waiting = self.socket.recv(LIMIT, socket.MSG_PEEK)
        if not waiting:
            raise ConnectionError("closed in the middle of its PROXY header" if self._received else "no PROXY header")
        whole = size(self._received + waiting)
        missing = LIMIT if whole is None else whole - len(self._received)
        self._received += self.socket.recv(min(missing, len(waiting)))
        return len(self._received) == whole

    def expired(self) -> None:
        """The header took too long."""
        self._fail("no whole PROXY header in time")

    def turn_out(self, _refusal: Refusal, why: str) -> None:
        """End it from our side."""
        self._fail(why)

    def _fail(self, why: str) -> None:
        """Close without a word: nobody has been greeted yet."""
        self._leave()
        self.socket.close()
        self._failed(self, why)

    def _leave(self) -> None:
        self._loop.wheel.discard(self)
        self._loop.reactor.removeReader(self)

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self.socket.fileno()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """Return a name for the log."""
        return "introduction"

    def connectionLost(self, reason: object) -> None:  # noqa: ARG002, N802 - Twisted's name
        """The reactor found the descriptor broken."""
        self._fail("the connection is broken")
