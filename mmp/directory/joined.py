"""One piece of work that several wait for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

Outcome = TypeVar("Outcome")


class Joined(Generic[Outcome]):
    """Runs a coroutine once, from the first ``join`` on, and tells its outcome to everyone who has joined.

    Each waits on a Deferred of their own: who is cancelled takes nothing away from the others, nor from the work.
    """

    def __init__(self, work: Callable[[], Coroutine[Deferred[Any], Any, Outcome]]) -> None:
        self._work = work
        self._waiting: list[Deferred[Outcome]] = []

    def join(self) -> Deferred[Outcome]:
        """Return a Deferred of the outcome."""
        waiter: Deferred[Outcome] = Deferred()
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            Deferred.fromCoroutine(self._work()).addBoth(self._tell)
        return waiter

    def _tell(self, outcome: Outcome | Failure) -> None:
        for waiter in self._waiting:
            waiter.callback(outcome)
