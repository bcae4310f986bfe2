"""One connection to a directory server, with many operations under way on it at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mmp.directory.entry import Entry
from mmp.directory.ldap import requests, responses
from mmp.directory.ldap.policy import CHANGE_AFTER_RESET, SILENT, Policy, read_policy
from mmp.directory.ldap.responses import (
    Messages,
    Result,
    open_message,
    read_controls,
    read_entry,
    read_result,
    read_urls,
)
from mmp.errors import RemoteProtocolError
from mmp.interfaces import Connector, Transport
from mmp.model import Endpoint

_MOST_UNDER_WAY: Final = 32
"""Operations that the server has at a time; more wait here. OpenLDAP works at 16 (olcThreads), and closes a connection
with more than 100 (olcConnMaxPending)."""
_MOST_REFERENCES: Final = 32
"""Remembered of one search; nobody follows that many."""
_LAST_NUMBER: Final = 2**31 - 1

Heard = Callable[[int, bytes, int, int], None]
"""Takes a response within a search: its tag, the message, and where in that its content starts and stops."""


@frozen
class Answer:
    """How an operation ended, the entries found if it was a search, and what the password policy says to a bind."""

    result: Result
    entries: list[Entry]
    policy: Policy = SILENT
    references: list[tuple[str, ...]] = field(factory=list)
    """Where the search would have to go on, too; of each the URLs are alternatives."""


@define(eq=False)
class _Operation:
    """Something asked at a time; ``ending`` is the tag of the response that ends it."""

    octets: bytes = field(repr=False)
    ending: int
    asked: float
    done: Deferred[Answer]
    entries: list[Entry] = field(factory=list)
    references: list[tuple[str, ...]] = field(factory=list)


class Link:
    """A connection on which operations are numbered, and answers told apart by number (RFC 4511, 4.1.1.1).

    An operation fails with ConnectionError when the connection is lost, or given up since the server says nothing at
    all any more; and with TimeoutError when the server only says nothing to that one. To cancel it is to abandon it.
    """

    def __init__(self, clock: IReactorTime, timeout: float) -> None:
        """``timeout`` is how many seconds the server has for each answer."""
        self._clock = clock
        self._timeout = timeout
        self._messages = Messages()
        self._number = 0
        self._under_way: dict[int, _Operation] = {}
        self._waiting: deque[_Operation] = deque()
        self._following: dict[int, tuple[Heard, Deferred[Answer]]] = {}
        self._heard = 0.0
        self._check: IDelayedCall | None = None
        self._transport: Transport
        self._lost: str | None = "not connected"
        self._retiring = False
        self.warning = ""
        """What its owner should know of the account that it is bound as."""

    @property
    def usable(self) -> bool:
        """Whether operations may be asked."""
        return self._lost is None

    # Coming and going

    async def connect(self, connector: Connector, endpoint: Endpoint) -> None:
        """Connect; ConnectionError or TimeoutError."""
        self._transport = await connector.connect(endpoint, self)
        self._lost = None

    async def start_tls(self, connector: Connector, host: str) -> None:
        """Have TLS begun (RFC 4511, 4.14), before anything else is asked; ConnectionError, then the link is no use."""
        answer = await self.ask(requests.START_TLS, responses.EXTENDED_RESPONSE)
        if answer.result.code != responses.SUCCESS:
            raise ConnectionError(f"StartTLS refused: {answer.result}")
        await connector.start_tls(self._transport, host)

    async def bind(self, credentials: requests.Simple | requests.External) -> Policy:
        """Bind and return what the password policy says; ConnectionError, then the link is no use."""
        answer = await self.ask(credentials.operation(), responses.BIND_RESPONSE)
        policy = answer.policy
        if answer.result.code != responses.SUCCESS or policy.error == CHANGE_AFTER_RESET:  # then it may nothing else
            why = "; ".join(filter(None, (str(answer.result), str(policy))))
            raise ConnectionError(f"bind as {credentials.dn} refused: {why}")
        return policy

    def retire(self) -> None:
        """Close once nothing is under way; nobody asks anything more."""
        self._retiring = True
        if not self._under_way:
            self.close()

    def close(self) -> None:
        """Take leave of the server."""
        if self.usable:
            self._write(requests.UNBIND)
            self._transport.loseConnection()
            self._end("closed")

    def abort(self, why: str) -> None:
        """Drop the connection."""
        if self.usable:
            self._transport.abortConnection()
            self._end(why)

    def connectionLost(self, reason: BaseException) -> None:  # noqa: N802 - Twisted's name
        """The connection is gone."""
        if self.usable:
            self._end(f"connection lost: {reason}")

    def _end(self, why: str) -> None:
        self._lost = why
        unfinished = [operation.done for operation in (*self._under_way.values(), *self._waiting)]
        unfinished += [done for _, done in self._following.values()]
        self._under_way.clear()
        self._waiting.clear()
        self._following.clear()
        if self._check is not None:
            self._check.cancel()
            self._check = None
        for done in unfinished:
            if not done.called:  # one that fails may have others cancelled
                done.errback(ConnectionError(why))

    # Asking

    def search(self, search: bytes) -> Deferred[Answer]:
        """Ask for a search and return the result, good or bad, with the entries."""
        return self.ask(search, responses.SEARCH_RESULT_DONE)

    def ask(self, octets: bytes, ending: int) -> Deferred[Answer]:
        """Ask for an operation that ends with a response of this tag."""
        if self._lost is not None:
            return fail(ConnectionError(self._lost))
        operation = _Operation(octets, ending, self._clock.seconds(), Deferred(self._give_up))
        if len(self._under_way) < _MOST_UNDER_WAY:
            self._begin(operation)
        else:
            self._waiting.append(operation)
        if self._check is None:  # one timer for all, since they come due in the order in which they were asked
            self._check = self._clock.callLater(self._timeout, self._check_time)
        return operation.done

    def follow(self, octets: bytes, heard: Heard) -> Deferred[Answer]:
        """Ask for a search that may go on for ever, and have each response within it heard; it ends with the link."""
        done: Deferred[Answer] = Deferred()
        if self._lost is not None:
            return fail(ConnectionError(self._lost))
        self._following[self._write(octets)] = heard, done
        return done

    def _begin(self, operation: _Operation) -> None:
        self._under_way[self._write(operation.octets)] = operation

    def _write(self, octets: bytes) -> int:
        self._number = self._number % _LAST_NUMBER + 1
        self._transport.write(requests.message(self._number, octets))
        return self._number

    def _check_time(self) -> None:
        self._check = None
        now = self._clock.seconds()
        open_ = [*self._under_way.values(), *self._waiting]
        late = [operation for operation in open_ if operation.asked + self._timeout <= now]
        if late and self._heard <= late[0].asked:
            self.abort(f"no answer within {self._timeout:g} s")
            return
        if len(open_) > len(late):
            self._check = self._clock.callLater(open_[len(late)].asked + self._timeout - now, self._check_time)
        for operation in reversed(late):  # those that only wait first, or they would be begun in place of others
            self._give_up(operation.done)
            if not operation.done.called:
                operation.done.errback(TimeoutError(f"no answer within {self._timeout:g} s"))

    def _give_up(self, done: Deferred[Answer]) -> None:
        self._waiting = deque(operation for operation in self._waiting if operation.done is not done)
        for number in [number for number, operation in self._under_way.items() if operation.done is done]:
            self._write(requests.abandon(number))
            self._finish(number)

    def _finish(self, number: int) -> None:
        del self._under_way[number]
        if self._waiting:
            self._begin(self._waiting.popleft())
        elif self._retiring and not self._under_way:
            self.close()

    # Being answered

    def dataReceived(self, octets: bytes) -> None:  # noqa: N802 - Twisted's name
        """Take the answers in what was received."""
        if not self.usable:
            return
        self._heard = self._clock.seconds()
        self._messages.feed(octets)
        try:
            while self.usable and (message := self._messages.take()) is not None:
                self._receive(message)
        except RemoteProtocolError as error:
            self.abort(f"protocol broken: {error}")

    def _receive(self, message: bytes) -> None:
        number, tag, start, stop = open_message(message)
        operation = self._under_way.get(number)
        if number in self._following:
            self._receive_followed(number, tag, message, start, stop)
        elif operation is None:
            self._receive_unasked(number, tag, message[start:stop])
        elif tag == operation.ending:
            if tag == responses.EXTENDED_RESPONSE and self._messages.pending:
                raise RemoteProtocolError("octets in clear behind the answer to StartTLS")
            result, policy = read_result(message, start, stop), read_policy(read_controls(message, stop))
            self._finish(number)
            operation.done.callback(Answer(result, operation.entries, policy, operation.references))
        elif operation.ending != responses.SEARCH_RESULT_DONE or tag not in responses.WITHIN_SEARCH:
            raise RemoteProtocolError(f"response {tag:#04x} instead of {operation.ending:#04x}")
        elif tag == responses.SEARCH_RESULT_ENTRY:
            if len(operation.entries) == requests.MOST_ENTRIES:
                raise RemoteProtocolError("more entries than were asked for")
            operation.entries.append(read_entry(message, start, stop))
        elif len(operation.references) < _MOST_REFERENCES:
            operation.references.append(read_urls(message, start, stop))

    def _receive_followed(self, number: int, tag: int, message: bytes, start: int, stop: int) -> None:
        heard, done = self._following[number]
        if tag == responses.SEARCH_RESULT_DONE:
            del self._following[number]
            done.callback(Answer(read_result(message, start, stop), []))
        elif tag in responses.WITHIN_SEARCH or tag == responses.INTERMEDIATE_RESPONSE:
            heard(tag, message, start, stop)
        else:
            raise RemoteProtocolError(f"response {tag:#04x} within a search")

    def _receive_unasked(self, number: int, tag: int, content: bytes) -> None:
        if number == 0 and tag == responses.EXTENDED_RESPONSE:
            result = read_result(content, 0, len(content))
            if result.name == responses.NOTICE_OF_DISCONNECTION:  # others are ignored (4.4)
                self.abort(f"notice of disconnection: {result}")
        elif not 1 <= number <= self._number:
            raise RemoteProtocolError(f"response to operation {number}, which there was none of")
        # else it is the answer to one that was abandoned
