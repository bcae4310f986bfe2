"""Running a coroutine of which every step waits for one thing, for much less than Twisted's Deferreds take."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class Wait(Generic[T]):
    """What one coroutine awaits, once, in a ``Running``; others, such as a Deferred's coroutine, cannot."""

    __slots__ = ("_given_up", "_is_over", "_value", "resume")

    _value: T

    def __init__(self, given_up: Callable[[], object] | None = None) -> None:
        """``given_up`` is called if nobody waits any more."""
        self.resume: Callable[[BaseException | None], None] | None = None
        """Has the coroutine that waits go on, with an exception if there is one; set by whoever runs it."""
        self._given_up = given_up
        self._is_over = False

    def __await__(self) -> Generator[Wait[T], None, T]:
        """Wait, unless it is over already."""
        if not self._is_over:
            yield self
            if not self._is_over:
                raise RuntimeError("only a Running can wait for this")
        return self._value

    def done(self, value: T) -> None:
        """End the waiting, even if it has not begun yet."""
        self._value = value
        self._is_over = True
        if self.resume is not None:
            self.resume(None)

    def fail(self, error: BaseException) -> None:
        """End the waiting, which has begun, with an exception."""
        if self.resume is not None:
            self.resume(error)

    def cancel(self) -> None:
        """Give it up, with CancelledError."""
        if self._given_up is not None:
            self._given_up()
        self.fail(CancelledError())


class Running(Generic[T]):
    """A coroutine of Waits and Deferreds; ``ended`` is told once what it returned, or the exception that it raised."""

    __slots__ = ("_awaited", "_coroutine", "_ended")

    def __init__(
        self, coroutine: Coroutine[Wait[Any] | Deferred[Any], Any, T], ended: Callable[[T | BaseException], object]
    ) -> None:
        self._coroutine = coroutine
        self._ended: Callable[[T | BaseException], object] | None = ended
        self._awaited: Wait[Any] | Deferred[Any] | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._ended is None

    def go_on(self, error: BaseException | None = None) -> None:
        """Begin, or go on where it waits."""
        self._awaited = None
        try:
            awaited = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except StopIteration as done:
            self._tell(done.value)
        except BaseException as raised:  # noqa: BLE001 - it is told
            self._tell(raised)
            raised.__traceback__ = None  # it has all frames, and those have the exception
        else:
            self._awaited = awaited
            if type(awaited) is Wait:
                awaited.resume = self.go_on
            else:
                awaited.addBoth(self._called_back)  # type: ignore[union-attr]  # mypy does not know it for a Deferred

    def _called_back(self, result: object) -> None:
        self.go_on(result.value if isinstance(result, Failure) else None)

    def _tell(self, result: T | BaseException) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(result)

    def cancel(self) -> None:
        """Cancel what it waits for."""
        if self._awaited is not None:
            self._awaited.cancel()
