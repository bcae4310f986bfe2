"""memcached as the store that hosts share: values are fetched, changed, and put back unless somebody was faster."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.memcache import MemCacheProtocol
from twisted.python.failure import Failure

from mmp.shared.draft import Draft, keys_of
from mmp.shared.store import Question, StoreError

ROUNDS: Final = 50
"""Attempts at a batch, of which each fails only because another host has succeeded."""
MONTH: Final = 30 * 24 * 3600
"""Seconds; more would mean a time of day to memcached."""


class _Protocol(MemCacheProtocol):
    """Tells of its end as well."""

    def __init__(self, reactor: Any, ended: Callable[[], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        self.callLater = reactor.callLater  # type: ignore[method-assign]  # else it is the reactor's that is installed
        self._ended = ended

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """Fail what is open, and tell."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]  # Twisted's
        self._ended()


class MemcachedStore:
    """One connection at a time, and on it one batch at a time. It tells nobody that something has changed."""

    announces = False

    def __init__(
        self, reactor: Any, endpoint: IStreamClientEndpoint, host: str, lease: float, now: Callable[[], float]
    ) -> None:
        """``now`` is the time of day in seconds."""
        self._reactor = reactor
        self._endpoint = endpoint
        self._host = host
        self._lease = lease
        self._now = now
        self._protocol: Any = None
        self._waiting: deque[tuple[Sequence[Question], Deferred[list[Any]]]] = deque()
        self._working = False

    def connect(self, lost: Callable[[str], None], nudged: Callable[[], object]) -> Deferred[None]:  # noqa: ARG002 - the seam's
        """Connect, or fail with StoreError."""
        factory = Factory.forProtocol(lambda: _Protocol(self._reactor, lambda: self._lost(lost)))
        factory.noisy = False
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addCallbacks(self._connected, _fail)

    def _connected(self, protocol: Any) -> None:
        self._protocol = protocol

    def _lost(self, lost: Callable[[str], None]) -> None:
        if self._protocol is not None:
            self._protocol = None
            lost("the connection was closed")

    def disconnect(self) -> None:
        """Let go of it at once; ``lost`` is told."""
        if self._protocol is not None:
            self._protocol.transport.abortConnection()

    def ask(self, questions: Sequence[Question]) -> Deferred[list[Any]]:
        """Return the replies, or fail with StoreError."""
        replies: Deferred[list[Any]] = Deferred()
        self._waiting.append((questions, replies))
        if not self._working:
            self._work()
        return replies

    def _work(self) -> None:
        """Answer the next batch: the one before it is done."""
        self._working = bool(self._waiting)
        if self._waiting:
            questions, replies = self._waiting.popleft()
            answered = Deferred.fromCoroutine(self._answer(questions)).addErrback(_fail)
            answered.addCallbacks(replies.callback, replies.errback)
            answered.addBoth(lambda _: self._work())

    async def _answer(self, questions: Sequence[Question]) -> list[Any]:
        """Answer all, and then those again of which others have changed a value meanwhile."""
        replies: list[Any] = [None] * len(questions)
        left = dict(enumerate(questions))
        for _ in range(ROUNDS):
            found = await self._fetch({key for question in left.values() for key in keys_of(question)})
            values = {key: value for key, (_, _, value) in found.items()}
            draft = Draft(values, self._host, self._lease, self._now())
            for number, question in left.items():
                replies[number] = draft.answer(question)
            late = await self._put_back(draft.changes(), {key: cas for key, (_, cas, _) in found.items()})
            left = {number: question for number, question in left.items() if late.intersection(keys_of(question))}
            if not left:
                return replies
        raise StoreError("others change the same values all the time")

    def _fetch(self, keys: set[bytes]) -> Deferred[dict[bytes, tuple[int, bytes, bytes | None]]]:
        if self._protocol is None:
            raise StoreError("not connected")
        fetching: Deferred[Any] = self._protocol.getMultiple(keys, withIdentifier=True)
        return fetching

    async def _put_back(self, changes: Mapping[bytes, tuple[bytes, int]], cas: Mapping[bytes, bytes]) -> set[bytes]:
        """Return the keys whose values others have changed meanwhile."""
        if self._protocol is None:
            raise StoreError("not connected")
        putting = [self._put(key, value, min(seconds, MONTH), cas[key]) for key, (value, seconds) in changes.items()]
        done = await gatherResults(putting, consumeErrors=True)
        return {key for key, is_done in zip(changes, done, strict=True) if not is_done}

    def _put(self, key: bytes, value: bytes, seconds: int, cas: bytes) -> Deferred[bool]:
        if cas:
            putting: Deferred[bool] = self._protocol.checkAndSet(key, value, cas, expireTime=seconds)
        else:
            putting = self._protocol.add(key, value, expireTime=seconds)
        return putting


def _fail(failure: Failure) -> Any:
    """Fail with the words of whatever kept us from it."""
    if isinstance(failure.value, FirstError):
        failure = failure.value.subFailure
    if failure.check(StoreError):
        return failure
    raise StoreError(failure.getErrorMessage() or type(failure.value).__name__) from failure.value
