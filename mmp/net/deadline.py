"""Waiting for something, but not longer than so many seconds."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from mmp.net.running import Wait
from mmp.net.wheel import Wheel

T = TypeVar("T")
Awaited = Deferred[Any] | Wait[Any]


def within(wheel: Wheel, seconds: float, work: Coroutine[Awaited, Any, T]) -> Awaitable[T]:
    """Do ``work``, and cancel what it waits for once so many seconds have passed: then TimeoutError. To await once."""
    return _Bounded(wheel, seconds, work)


class _Bounded(Generic[T]):
    """Hands on what ``work`` waits for: a Deferred of its own around each of them would cost a login 10 µs."""

    __slots__ = ("_awaited", "_expired", "_seconds", "_wheel", "_work", "due", "tick")

    def __init__(self, wheel: Wheel, seconds: float, work: Coroutine[Awaited, Any, T]) -> None:
        self._wheel = wheel
        self._seconds = seconds
        self._work = work
        self._expired = False
        self.due = self.tick = 0

    def __await__(self) -> Generator[Awaited, Any, T]:
        """Run it from here on."""
        work = self._work
        self._wheel.add(self, self._seconds)
        try:
            self._awaited: Awaited = work.send(None)
            while True:
                try:
                    result = yield self._awaited
                except GeneratorExit:  # dropped by whoever awaited it
                    work.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - it is the work's to deal with
                    self._awaited = work.throw(error)
                else:
                    self._awaited = work.send(result)
        except StopIteration as done:
            outcome: T = done.value
            return outcome
        except CancelledError:
            if not self._expired:
                raise
        finally:
            self._wheel.discard(self)
        raise TimeoutError(f"nothing within {self._seconds:g} s")  # here, without a context that keeps secrets alive

    def expired(self) -> None:
        """Cancel."""
        self._expired = True
        self._awaited.cancel()
