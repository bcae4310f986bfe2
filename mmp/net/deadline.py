"""Waiting for something, but not longer than so many seconds."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from mmp.net.wheel import Deadline, Wheel

T = TypeVar("T")


def within(wheel: Wheel, seconds: float, work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """Run ``work`` and cancel it after so many seconds; the Deferred then fails with TimeoutError."""
    result = Deferred.fromCoroutine(work)
    expired: list[bool] = []

    def expire() -> None:
        expired.append(True)
        result.cancel()

    deadline = Deadline(wheel, seconds, expire)

    def settle(outcome: T | Failure) -> T | Failure:
        deadline.cancel()
        if isinstance(outcome, Failure) and outcome.check(CancelledError, OSError):
            outcome.cleanFailure()  # a traceback would keep all that it went through, secrets too, until collected
        if expired and isinstance(outcome, Failure) and outcome.check(CancelledError):
            return Failure(TimeoutError(f"nothing within {seconds:g} s"))
        return outcome

    return result.addBoth(settle)
