"""Our end of one connection while a protocol core speaks on it."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

from mmp.model import Endpoint, Security
from mmp.net.running import Wait
from mmp.net.stream import Stream, endpoint_of

BUFFER = 131072
"""Bytes that a core may hold unconsumed; reading stops above it. As much as the largest command with its literals."""


class Core(Protocol):
    """What a channel needs of a core of either side."""

    @property
    def buffered(self) -> int:
        """How many received bytes are not yet consumed."""

    def receive_data(self, octets: bytes) -> None:
        """Buffer what came."""


class Channel:
    """Feeds a core from a stream and lets one coroutine wait for more; dropped when the relay takes over.

    Whoever makes the stream, with the channel as its receiver, sets ``stream``.
    """

    __slots__ = ("_core", "_fed", "_handshake", "_lost", "_most", "_on_loss", "_paused", "_waiting", "stream")

    def __init__(self, core: Core, handshake: Callable[[Stream], Awaitable[Security]]) -> None:
        """``handshake`` begins TLS on the stream, in the role and with the checks that this side needs."""
        self.stream: Stream | None = None
        self._core = core
        self._handshake = handshake
        self._waiting: Wait[None] | None = None
        self._on_loss: Callable[[BaseException], None] | None = None
        self._lost: BaseException | None = None
        self._fed = False
        self._paused = False
        self._most = 0
        """Bytes that the core can hold at most, which it is asked for once they are too many, and not for each read."""

    def on_loss(self, call: Callable[[BaseException], None] | None) -> None:
        """Have the loss of the connection told to ``call``, instead of to whoever waits for more."""
        self._on_loss = call

    def dataReceived(self, octets: bytes) -> None:  # noqa: N802 - Twisted's name
        """Feed the core and wake the coroutine."""
        self._core.receive_data(octets)
        self._most += len(octets)
        if self._most > BUFFER:
            self._ask_how_much()
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.done(None)
        else:
            self._fed = True

    def _ask_how_much(self) -> None:
        """Pause if the core has not consumed most of it."""
        self._most = self._core.buffered
        if self._most > BUFFER:
            self._paused = True
            self._open.pauseProducing()

    def connectionLost(self, reason: BaseException) -> None:  # noqa: N802 - Twisted's name
        """Tell whoever must know."""
        self._lost = reason
        if self._on_loss is not None:
            self._on_loss(reason)
        elif self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.fail(ConnectionError(str(reason)))

    def more(self) -> Wait[None]:
        """Wait until bytes were fed to the core since the last call; ConnectionError once the other end is gone."""
        waiting: Wait[None] = Wait(self._stop_waiting)
        if self._fed:
            self._fed = False
            waiting.done(None)
            return waiting
        if self._lost is not None:
            raise ConnectionError(str(self._lost))
        if self._paused:
            self._paused = False
            self._open.resumeProducing()
        self._waiting = waiting
        return waiting

    def _stop_waiting(self) -> None:
        self._waiting = None

    @property
    def _open(self) -> Stream:
        if self.stream is None:
            raise ConnectionError("not connected")
        return self.stream

    def ends(self) -> tuple[Endpoint, Endpoint]:
        """Return our address and the other end's, before there is TLS; OSError if the connection is gone."""
        plain = self._open.socket
        assert isinstance(plain, socket.socket)  # noqa: S101 - see above
        return endpoint_of(plain.getsockname()), endpoint_of(plain.getpeername())

    def write(self, octets: bytes) -> None:
        """Send or queue."""
        if self.stream is None:
            raise ConnectionError("not connected")
        self.stream.write(octets)

    def start_tls(self) -> Awaitable[Security]:
        """Do the handshake; ConnectionError if it fails."""
        return self._handshake(self._open)

    def close(self) -> None:
        """Flush, then close in order."""
        if self.stream is not None:
            self.stream.loseConnection()

    def abort(self) -> None:
        """Close at once."""
        if self.stream is not None:
            self.stream.abortConnection()
