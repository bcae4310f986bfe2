"""Redis, or Valkey, as the store that hosts share: a batch of questions is one run of a script, which is atomic.

A second connection hears when somebody has announced something, since one that listens can ask nothing.
"""

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

from mmp.net.endpoints import why_ended
from mmp.shared.redis_script import read, written
from mmp.shared.store import Question, StoreError

SCRIPT: Final = files("mmp.shared").joinpath("redis.lua").read_text()
SHA: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


@frozen
class Access:
    """How one gets in; ``channel`` is where announcements are heard of."""

    user: str | None = None
    password: bytes | None = field(default=None, repr=False)
    database: int | None = None
    channel: str = "mmp:news"


class _Asking(txredisapi.RedisProtocol):  # type: ignore[misc]  # untyped
    """A connection for questions, which knows why it ended."""

    why = ""

    def connectionLost(self, why: Failure) -> None:  # noqa: N802 - Twisted's name
        """Remember why."""
        self.why = why_ended(why)
        super().connectionLost(why)


class _Listening(txredisapi.SubscriberProtocol):  # type: ignore[misc]  # untyped
    """A connection for what is announced."""

    why = ""

    def connectionLost(self, why: Failure) -> None:  # noqa: N802 - Twisted's name
        """Remember why."""
        self.why = why_ended(why)
        super().connectionLost(why)

    def messageReceived(self, pattern: object, channel: object, message: object) -> None:  # noqa: ARG002, N802 - its name
        """Tell that there is something."""
        self.factory.nudged()


class _Factory(Factory):
    """Makes one connection, and tells how it began."""

    noisy = False
    isLazy = False  # noqa: N815 - txredisapi's name

    def __init__(self, reactor: Any, access: Access, kind: type, nudged: Callable[[], object] = lambda: None) -> None:
        self._reactor = reactor
        self._access = access
        self._kind = kind
        self.nudged = nudged
        self.refusal = ""
        self._made: Any = None

    def buildProtocol(self, addr: object) -> Any:  # noqa: ARG002, N802 - Twisted's name and argument
        """Make it."""
        access = self._access
        protocol = self._kind(
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
        _abort(self._made)
        return failure

    def stopTrying(self) -> None:  # noqa: N802 - txredisapi's name
        """Nobody is trying."""

    def connectionError(self, why: str) -> None:  # noqa: N802 - txredisapi's name
        """Remember why we were not let in."""
        self.refusal = why.removeprefix("Redis error: ")


def _abort(protocol: Any) -> None:
    if protocol is not None and protocol.transport is not None:
        protocol.transport.abortConnection()


def _given_up(protocol: Any, error: BaseException) -> BaseException:
    """Let go of a connection; return why: if it has ended by itself, that is why nothing was answered."""
    ended = protocol.why
    _abort(protocol)
    return StoreError(ended) if ended else error


class RedisStore:
    """One pair of connections at a time; ``host`` and ``lease`` go with every question."""

    announces = True

    def __init__(self, reactor: Any, endpoint: IStreamClientEndpoint, access: Access, host: str, lease: float) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._access = access
        self._always = ("EVALSHA", SHA)
        self._terms = (host, repr(lease))
        self._protocol: Any = None

    def connect(self, lost: Callable[[str], None], nudged: Callable[[], object]) -> Deferred[None]:
        """Connect, log in, bring the script and begin to listen, or fail with StoreError."""
        return Deferred.fromCoroutine(self._connect(lost, nudged)).addErrback(_fail)

    async def _connect(self, lost: Callable[[str], None], nudged: Callable[[], object]) -> None:
        asking = await self._open(_Factory(self._reactor, self._access, _Asking))
        try:
            await asking.script_load(SCRIPT)
            listening = await self._open(_Factory(self._reactor, self._access, _Listening, nudged))
        except BaseException as error:
            raise _given_up(asking, error) from error
        try:
            await listening.subscribe(self._access.channel)
        except BaseException as error:
            _abort(asking)
            raise _given_up(listening, error) from error
        if asking.why:  # it has ended meanwhile, and would tell nobody any more
            _abort(listening)
            raise StoreError(asking.why)
        self._protocol = asking
        asking.whenDisconnected().addCallback(lambda _: self._lost(lost, asking, listening))
        listening.whenDisconnected().addCallback(lambda _: _abort(asking))

    def _open(self, factory: _Factory) -> Deferred[Any]:
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        connecting.addCallback(self._log_in, factory)
        return connecting.addErrback(factory.abandon)

    def _log_in(self, protocol: Any, factory: _Factory) -> Deferred[Any]:
        ready: Deferred[Any] = Deferred()

        def ended(_: object) -> None:
            if not ready.called:
                ready.errback(StoreError(factory.refusal or protocol.why))

        protocol.whenConnected().addCallback(ready.callback)
        protocol.whenDisconnected().addCallback(ended)
        return ready

    def _lost(self, lost: Callable[[str], None], asking: Any, listening: Any) -> None:
        self._protocol = None
        _abort(listening)
        lost(asking.why)

    def ask(self, questions: Sequence[Question]) -> Deferred[list[Any]]:
        """Return the replies, or fail with StoreError."""
        keys, words = written(questions)
        asked: Deferred[Any] = maybeDeferred(self._execute, len(keys), *keys, *self._terms, *words)
        return asked.addCallbacks(read, _fail, callbackArgs=(questions,))

    def _execute(self, *words: Any) -> Any:
        if self._protocol is None:
            raise StoreError("not connected")
        return self._protocol.execute_command(*self._always, *words)

    def disconnect(self) -> None:
        """Let go of it at once; ``lost`` is told."""
        _abort(self._protocol)


def _fail(failure: Failure) -> Any:
    """Fail with the words of Redis, or of whatever kept us from it."""
    if failure.check(StoreError):
        return failure
    raise StoreError(failure.getErrorMessage() or type(failure.value).__name__) from failure.value
