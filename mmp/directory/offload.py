"""Runs what takes long in a few threads of its own, so that the event loop does not wait for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from mmp.errors import Refused
from mmp.model import Refusal

T = TypeVar("T")

THREADS = 2
"""Hashing takes memory by the dozen of megabytes, and a core; what is left is for mail."""
MOST_WAITING = 100
"""More than that many seconds' worth of passwords would be answered when their clients have long gone."""


class Offload:
    """The threads of one reactor; they are started when they are first needed, and end with it."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._threads = ThreadPool(minthreads=0, maxthreads=THREADS, name="passwords")
        self._under_way = 0

    def __call__(self, work: Callable[[], T]) -> Deferred[T]:
        """Return what it returns; Refused if too much is waiting already."""
        if self._under_way >= MOST_WAITING:
            raise Refused(Refusal.DIRECTORY_UNAVAILABLE, f"{MOST_WAITING} passwords are waiting to be judged")
        if not self._threads.started:
            self._threads.start()
            self._reactor.addSystemEventTrigger("during", "shutdown", self._threads.stop)
        self._under_way += 1
        done: Deferred[T] = Deferred()
        finished = partial(self._reactor.callFromThread, self._finished, done)
        self._threads.callInThreadWithCallback(finished, partial(_unless_given_up, done, work))
        return done

    def _finished(self, done: Deferred[T], _succeeded: bool, outcome: T | Failure) -> None:  # noqa: FBT001 - Twisted's
        """Work counts until it is done, even if its waiter has been cancelled meanwhile: threads cannot be stopped."""
        self._under_way -= 1
        done.callback(outcome)


def _unless_given_up(done: Deferred[T], work: Callable[[], T]) -> T:
    """Do the work, unless nobody waits any more: who asks and goes, again and again, must not keep others waiting."""
    if done.called:
        raise CancelledError
    return work()
