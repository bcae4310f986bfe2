"""All deadlines of a worker in one structure: a login's, a handshake's, an idle session's."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

RESOLUTION = 0.25
"""Seconds in a tick. Nothing here needs to be more exact, and four turns a second cost an idle worker nothing."""
_TICKS_A_SECOND = 1 / RESOLUTION


class Timed(Protocol):
    """Something with a deadline; it may move ``due`` on by itself, without telling the wheel."""

    due: int
    """The tick at which it expires."""
    tick: int
    """The wheel's own: in which bucket it lies; 0 = in none."""

    def expired(self) -> None:
        """The deadline has passed."""


class Wheel:
    """Buckets of objects by the tick at which to look at them next.

    Putting a deadline off is an assignment to ``due`` (relays do it at every read); the object is found too early in
    its old bucket, and moved.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._buckets: dict[int, dict[Timed, None]] = {}
        self.now = self._read()
        self._call = clock.callLater(RESOLUTION, self._turn)

    def _read(self) -> int:
        return int(self._clock.seconds() / RESOLUTION)

    def seconds(self) -> float:
        """Return the clock's time, exactly."""
        return self._clock.seconds()

    def ticks(self, seconds: float) -> int:
        """Return so many seconds in ticks, rounded up, and never none."""
        return max(1, ceil(seconds * _TICKS_A_SECOND))

    def add(self, owner: Timed, seconds: float) -> None:
        """Let ``owner`` expire after so many seconds; it must not be in the wheel."""
        ticks = ceil(seconds * _TICKS_A_SECOND)
        owner.due = tick = self.now + (ticks if ticks > 0 else 1) + 1  # the present tick is already partly over
        owner.tick = tick
        bucket = self._buckets.get(tick)  # as ``_put`` does it: a login comes here five times, and further calls cost
        if bucket is None:
            self._buckets[tick] = {owner: None}
        else:
            bucket[owner] = None

    def _put(self, owner: Timed) -> None:
        owner.tick = owner.due
        self._buckets.setdefault(owner.due, {})[owner] = None

    def left(self, owner: Timed) -> float:
        """Return in about how many seconds ``owner`` expires."""
        return max(0, owner.due - self.now - 1) * RESOLUTION

    def discard(self, owner: Timed) -> None:
        """Forget ``owner``, if it is here."""
        bucket = self._buckets.get(owner.tick)
        if bucket is not None:
            bucket.pop(owner, None)
            if not bucket:
                del self._buckets[owner.tick]
        owner.tick = 0

    def _turn(self) -> None:
        self._call = self._clock.callLater(RESOLUTION, self._turn)
        before, self.now = self.now, self._read()
        for tick in range(before + 1, self.now + 1):
            for owner in self._buckets.pop(tick, ()):
                if owner.tick != tick:  # forgotten, or added anew, by one that expired just now
                    continue
                if owner.due > self.now:
                    self._put(owner)
                else:
                    owner.tick = 0
                    self._expire(owner)

    def _expire(self, owner: Timed) -> None:
        try:
            owner.expired()
        except Exception:  # noqa: BLE001 - one owner's fault must not cost the others their deadlines
            self._log.failure("unexpected error at a deadline of {what}", what=type(owner).__name__)

    def stop(self) -> None:
        """Turn no more."""
        self._call.cancel()


class Deadline:
    """A call in so many seconds, for those that are no ``Timed`` themselves."""

    __slots__ = ("_call", "_wheel", "due", "tick")

    def __init__(self, wheel: Wheel, seconds: float, call: Callable[[], object]) -> None:
        self._wheel = wheel
        self._call = call
        self.due = self.tick = 0
        wheel.add(self, seconds)

    def expired(self) -> None:
        """Make the call."""
        self._call()

    def cancel(self) -> None:
        """Do not make the call; harmless if it was made."""
        self._wheel.discard(self)
