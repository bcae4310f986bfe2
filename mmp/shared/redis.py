"""Redis, or Valkey, as the store that hosts share: a batch of questions is one run of a script, which is atomic."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Final

import txredisapi
from attrs import field, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from mmp.policy.badness import REMEMBERED, Record
from mmp.policy.throttle import Known
from mmp.shared.store import Count, Fail, Forget, Hold, Look, Question, StoreError, Take, Uncount, Vouch

SCRIPT: Final = files("mmp.shared").joinpath("redis.lua").read_text()
SHA: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
CLOSED: Final = "the connection was closed"
DIGEST: Final = 8
"""Octets of the digests of failures."""


@frozen
class Access:
    """How one gets in."""

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int | None = None


class _Factory(Factory):
    """Makes one connection, and tells how it began and how it ended."""

    noisy = False
    isLazy = False  # noqa: N815 - txredisapi's name

    def __init__(self, reactor: Any, access: Access) -> None:
        self._reactor = reactor
        self._access = access
        self.refusal = ""
        self._made: Any = None

    def buildProtocol(self, addr: object) -> Any:  # noqa: ARG002, N802 - Twisted's name and argument
        """Make it."""
        access = self._access
        protocol = txredisapi.RedisProtocol(
            charset=None,
            convertNumbers=False,
            username=access.user,
            password=access.password,
            dbid=access.database,
        )
        protocol.factory = self
        protocol.callLater = self._reactor.callLater
        self._made = protocol
        return protocol

    def abandon(self, failure: Failure) -> Failure:
        """Let go of a connection that is no use."""
        if self._made is not None and self._made.transport is not None:
            self._made.transport.abortConnection()
        return failure

    def stopTrying(self) -> None:  # noqa: N802 - txredisapi's name
        """Nobody is trying."""

    def connectionError(self, why: str) -> None:  # noqa: N802 - txredisapi's name
        """Remember why we were not let in."""
        self.refusal = why.removeprefix("Redis error: ")


class RedisStore:
    """One connection at a time; ``host`` and ``lease`` go with every question."""

    def __init__(self, reactor: Any, endpoint: IStreamClientEndpoint, access: Access, host: str, lease: float) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._access = access
        self._always = ("EVALSHA", SHA)
        self._terms = (host, repr(lease))
        self._protocol: Any = None

    def connect(self, lost: Callable[[str], None]) -> Deferred[None]:
        """Connect, log in and bring the script, or fail with StoreError."""
        factory = _Factory(self._reactor, self._access)
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        connecting.addCallback(self._log_in, factory)
        connecting.addErrback(factory.abandon)
        return connecting.addCallbacks(self._connected, _fail, callbackArgs=(lost,))

    def _log_in(self, protocol: Any, factory: _Factory) -> Deferred[Any]:
        ready: Deferred[Any] = Deferred()

        def ended(_: object) -> None:
            if not ready.called:
                ready.errback(StoreError(factory.refusal or CLOSED))

        protocol.whenConnected().addCallback(ready.callback)
        protocol.whenDisconnected().addCallback(ended)
        ready.addCallback(lambda _: protocol.script_load(SCRIPT))
        return ready.addCallback(lambda _: protocol)

    def _connected(self, protocol: Any, lost: Callable[[str], None]) -> None:
        self._protocol = protocol
        protocol.whenDisconnected().addCallback(lambda _: self._lost(lost))

    def _lost(self, lost: Callable[[str], None]) -> None:
        self._protocol = None
        lost(CLOSED)

    def ask(self, questions: Sequence[Question]) -> Deferred[list[Any]]:
        """Return the replies, or fail with StoreError."""
        keys: list[bytes] = []
        words: list[Any] = [*self._terms]
        for question in questions:
            _WORDS[type(question)](question, keys, words)
        asked: Deferred[Any] = maybeDeferred(self._execute, len(keys), *keys, *words)
        return asked.addCallbacks(_read, _fail, callbackArgs=(questions,))

    def _execute(self, *words: Any) -> Any:
        if self._protocol is None:
            raise StoreError("not connected")
        return self._protocol.execute_command(*self._always, *words)

    def disconnect(self) -> None:
        """Let go of it at once; ``lost`` is told."""
        if self._protocol is not None:
            self._protocol.transport.abortConnection()


def _fail(failure: Failure) -> Any:
    """Fail with the words of Redis, or of whatever kept us from it."""
    if failure.check(StoreError):
        return failure
    raise StoreError(failure.getErrorMessage() or type(failure.value).__name__) from failure.value


# Questions, as the script reads them


def _take(question: Take, keys: list[bytes], words: list[Any]) -> None:
    words += ("take", len(question.slots))
    for slot in question.slots:
        keys.append(slot.key)
        words += (slot.own, slot.most, int(slot.observed))


def _hold(question: Hold, keys: list[bytes], words: list[Any]) -> None:
    keys.append(question.key)
    words += ("hold", question.own)


def _count(question: Count, keys: list[bytes], words: list[Any]) -> None:
    keys.append(question.key)
    words += ("count", repr(question.step), repr(question.period))


def _uncount(question: Uncount, keys: list[bytes], words: list[Any]) -> None:
    keys.append(question.key)
    words += ("uncount", repr(question.step))


def _look(question: Look, keys: list[bytes], words: list[Any]) -> None:
    keys += (question.household, question.user, question.vouched)
    words.append("look")


def _failed(question: Fail, keys: list[bytes], words: list[Any]) -> None:
    rules = question.penalties
    keys.append(question.key)
    words += ("fail", question.digest.hex(), REMEMBERED)
    words += (repr(rules.penalty), repr(rules.most), repr(rules.decay), int(rules.linear))


def _forget(question: Forget, keys: list[bytes], words: list[Any]) -> None:
    keys.append(question.key)
    words.append("forget")


def _vouch(question: Vouch, keys: list[bytes], words: list[Any]) -> None:
    keys.append(question.key)
    words += ("vouch", repr(question.seconds))


_WORDS: Final[dict[type, Callable[[Any, list[bytes], list[Any]], None]]] = {
    Take: _take,
    Hold: _hold,
    Count: _count,
    Uncount: _uncount,
    Look: _look,
    Fail: _failed,
    Forget: _forget,
    Vouch: _vouch,
}


# Replies


def _read(replies: list[Any], questions: Sequence[Question]) -> list[Any]:
    if len(replies) != len(questions):
        raise StoreError("the number of replies is wrong")
    return [_reply(question, reply) for question, reply in zip(questions, replies, strict=True)]


def _reply(question: Question, reply: Any) -> Any:
    if isinstance(question, Look):
        household, user, milliseconds = reply.split("|")
        return Known(_record(household), _record(user), max(0, int(milliseconds)) / 1000)
    if not isinstance(reply, int):
        raise StoreError("a reply is no number")
    return reply / 1e6 if isinstance(question, Count) else reply


def _record(line: str) -> Record | None:
    if not line:
        return None
    badness, age, failures, seen = line.split(" ")
    digests = bytes.fromhex(seen)
    each = tuple(digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST))
    return Record(float(badness), float(age), int(failures), each)
