"""Asks an HTTP server, over connections that are kept."""

from __future__ import annotations

from contextlib import suppress
from typing import Final, NoReturn
from urllib.parse import SplitResult

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime

from mmp.errors import RemoteProtocolError
from mmp.interfaces import Connector, Transport
from mmp.model import Endpoint
from mmp.wire.http import Response, ResponseReader

_PORTS: Final = {"http": 80, "https": 443}
_MOST_IDLE: Final = 8
_MOST_UNDER_WAY: Final = 256
"""Questions at a time; a server that has not answered so many will not answer more."""


def server_of(url: SplitResult) -> Endpoint:
    """Return where the server of an address listens."""
    return Endpoint(url.hostname or "", url.port or _PORTS[url.scheme])


class _Connection:
    """A connection with at most one question under way."""

    def __init__(self) -> None:
        self.lost = False
        self._reader = ResponseReader()
        self._answer: Deferred[Response] | None = None
        self._transport: Transport

    async def connect(self, connector: Connector, endpoint: Endpoint) -> None:
        self._transport = await connector.connect(endpoint, self)

    def ask(self, request: bytes) -> Deferred[Response]:
        if self.lost:
            return fail(ConnectionError("connection lost"))
        self._reader = ResponseReader()
        answer = self._answer = Deferred()
        self._transport.write(request)
        return answer

    def abort(self) -> None:
        if not self.lost:
            self.lost = True
            self._transport.abortConnection()

    def dataReceived(self, octets: bytes) -> None:  # noqa: N802 - Twisted's name
        if self._answer is None:  # nobody has asked
            self.abort()
            return
        try:
            response = self._reader.feed(octets)
        except RemoteProtocolError as error:
            self.abort()
            self._end(ConnectionError(str(error)))
            return
        if response is not None:
            self._end(response)

    def connectionLost(self, reason: BaseException) -> None:  # noqa: N802 - Twisted's name
        self.lost = True
        self._end(ConnectionError(f"connection lost: {reason}"))

    def _end(self, outcome: Response | ConnectionError) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.called:
            answer.callback(outcome) if isinstance(outcome, Response) else answer.errback(outcome)


@define(eq=False)
class HTTPClient:
    """One server, asked by as many as need it, each within ``timeout`` seconds."""

    endpoint: Endpoint
    connector: Connector
    clock: IReactorTime
    timeout: float
    _idle: list[_Connection] = field(factory=list, init=False)
    _under_way: int = field(default=0, init=False)

    async def ask(self, request: bytes) -> Response:
        """Return the answer; ConnectionError or TimeoutError if there is none.

        A request may reach the server twice, if it closes a kept connection without a word.
        """
        if self._under_way >= _MOST_UNDER_WAY:
            raise ConnectionError(f"{_MOST_UNDER_WAY} questions are not answered yet")
        self._under_way += 1
        try:
            return await Deferred.fromCoroutine(self._ask(request)).addTimeout(self.timeout, self.clock, self._late)
        finally:
            self._under_way -= 1

    async def reach(self) -> None:
        """Connect without a question; ConnectionError or TimeoutError."""
        connection = _Connection()
        connecting = Deferred.fromCoroutine(connection.connect(self.connector, self.endpoint))
        await connecting.addTimeout(self.timeout, self.clock, self._late)
        self._idle.append(connection)

    def _late(self, _: object, seconds: float) -> NoReturn:
        raise TimeoutError(f"no answer within {seconds:g} s")

    async def _ask(self, request: bytes) -> Response:
        while self._idle:
            with suppress(ConnectionError):
                return await self._ask_on(self._idle.pop(), request)
        connection = _Connection()
        await connection.connect(self.connector, self.endpoint)
        return await self._ask_on(connection, request)

    async def _ask_on(self, connection: _Connection, request: bytes) -> Response:
        try:
            response = await connection.ask(request)
        except BaseException:  # a cancellation too: what is answered late must not be taken for another's answer
            connection.abort()
            raise
        if response.reusable and not connection.lost and len(self._idle) < _MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.abort()
        return response
