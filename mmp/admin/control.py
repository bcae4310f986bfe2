"""The control socket: one request for each connection, a JSON object in a line; the answer is lines of JSON, too.

The answer's lines are lists, pages of what was asked for, and at its end an object: ``{"done": …}``, which holds what
else there is to tell, or ``{"error": "why"}``.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IAddress, IPushProducer, IReadDescriptor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.unix import Server
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mmp.handover import kept, taken
from mmp.net.local_socket import local_socket, remove

LONGEST = 65536
"""Octets of a request at most."""
PRIVILEGED = frozenset({0})
"""Users who may give orders to any proxy."""
OWNER = 0o600
"""The socket's mode."""
CREDENTIALS = struct.Struct("3i")
"""Process, user and group at the other end (unix(7), SO_PEERCRED)."""

Request = Mapping[str, Any]
Send = Callable[[bytes], Awaitable[None]]
"""Sends a page, a JSON list, and waits until there is room for the next."""
Serve = Callable[[Request, int, Send], Awaitable[Mapping[str, Any]]]
"""Does what is requested by a user of the system; sends pages meanwhile, and returns the end of the answer.

CommandError if it is not to be done.
"""


class CommandError(Exception):
    """A command is refused, with the reason as its text."""


@implementer(IReadDescriptor)
class Control:
    """Has the socket, where it is wanted to be."""

    def __init__(self, reactor: Any, serve: Serve) -> None:
        self._reactor = reactor
        self._conversations = _Conversations(serve)
        self._path = ""
        self._listening: socket.socket | None = None

    def open(self, path: str) -> None:
        """Listen at this path alone, nowhere if it is empty; OSError, and nothing has changed, if that cannot be."""
        if path == self._path:
            return
        listening = local_socket(path, OWNER) if path else None
        self.close()
        if listening is not None:
            self._listen(path, listening)

    def _listen(self, path: str, listening: socket.socket) -> None:
        self._path, self._listening = path, listening
        self._reactor.addReader(self)

    def state(self) -> tuple[str, int] | None:
        """Return path and descriptor, for ``restore``; it stays open in the next program."""
        return None if self._listening is None else (self._path, kept(self._listening.fileno()))

    def restore(self, state: tuple[str, int] | None) -> None:
        """Listen where ``state`` told."""
        if state is not None:
            path, descriptor = state
            self._listen(path, socket.socket(fileno=taken(descriptor)))

    def close(self) -> None:
        """Listen no more, and take the socket away."""
        if self._listening is not None:
            self._reactor.removeReader(self)
            remove(self._path)
            self._listening.close()
            self._path, self._listening = "", None

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Accept one connection."""
        if self._listening is not None:
            with suppress(OSError):  # it is gone already; or there is no descriptor for it, and it will be tried again
                connection, _ = self._listening.accept()
                with connection:
                    connection.setblocking(False)  # noqa: FBT003 - the standard library's signature
                    self._reactor.adoptStreamConnection(connection.fileno(), socket.AF_UNIX, self._conversations)

    def fileno(self) -> int:
        """Return the descriptor, -1 if there is none."""
        return -1 if self._listening is None else self._listening.fileno()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """Return a name for the log."""
        return "control"

    def connectionLost(self, reason: object) -> None:  # noqa: ARG002, N802 - Twisted's name
        """The reactor found the descriptor broken."""
        self.close()


class _Conversations(Factory):
    """Makes a conversation for each connection."""

    noisy = False

    def __init__(self, serve: Serve) -> None:
        self._serve = serve

    def buildProtocol(self, addr: IAddress | None) -> Protocol:  # noqa: ARG002, N802 - Twisted's name
        """Return one."""
        return _Conversation(self._serve)


@implementer(IPushProducer)
class _Conversation(Protocol):
    """One request and its answer, which goes on only as fast as it is read."""

    _log = Logger()
    transport: Server

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._received = b""
        self._user = -1
        self._running: Deferred[None] | None = None
        self._resumed: Deferred[None] | None = None

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Look who it is: the socket's mode keeps others out, and so do we, whatever has become of that."""
        connection: socket.socket = self.transport.socket
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        _, self._user, _ = CREDENTIALS.unpack(credentials)
        if self._user not in PRIVILEGED | {os.geteuid()}:
            self._end({"error": "only the proxy's own user and root may give orders"})

    def dataReceived(self, octets: bytes) -> None:  # noqa: N802 - Twisted's name
        """Begin once the request is whole."""
        if self._running is not None:
            return
        self._received += octets
        line, newline, _ = self._received.partition(b"\n")
        if newline:
            self._begin(line)
        elif len(self._received) > LONGEST:
            self._end({"error": "the request is too long"})

    def _begin(self, line: bytes) -> None:
        try:
            request = json.loads(line)
        except ValueError:
            request = None
        if not isinstance(request, dict):
            self._end({"error": "the request is no JSON object"})
            return
        self.transport.registerProducer(self, True)  # noqa: FBT003 - Twisted's
        self._running = Deferred.fromCoroutine(self._answer(request))
        self._running.addErrback(self._failed)

    async def _answer(self, request: Request) -> None:
        try:
            done = await self._serve(request, self._user, self._send)
        except CommandError as error:
            self._end({"error": str(error)})
        else:
            self._end({"done": done})

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):  # whoever asked is gone
            self._log.failure("unexpected error in answer to a command", failure)
            self._end({"error": "an internal error, see the log"})

    def _send(self, page: bytes) -> Deferred[None]:
        self._write(page)
        return succeed(None) if self._resumed is None else self._resumed

    def _end(self, last: Mapping[str, Any]) -> None:
        self._write(json.dumps(last, separators=(",", ":")).encode())
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _write(self, line: bytes) -> None:
        self.transport.write(line + b"\n")

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """There is no more room."""
        self._resumed = Deferred()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """There is room again."""
        if self._resumed is not None:
            resumed, self._resumed = self._resumed, None
            resumed.callback(None)

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Do nothing: the loss of the connection is told as well."""

    def connectionLost(self, reason: Failure | None = None) -> None:  # noqa: ARG002, N802 - Twisted's name
        """Whoever asked is gone: ask nobody on their behalf any more."""
        if self._running is not None:
            self._running.cancel()
