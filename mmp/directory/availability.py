"""Tells when a server stops answering, or takes long over it, and when that is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from attrs import define, field

from mmp.interfaces import Level, Log

Answer = TypeVar("Answer")


@define(eq=False)
class Availability:
    """Whether a server answered what it was last asked; the log hears of it when that changes."""

    event: str
    """What the event is called, of which the results are ``down`` and ``up``."""
    level: Level
    """Of ``down``."""
    url: str
    log: Log
    _down: bool = field(default=False, init=False)

    def down(self, why: str) -> None:
        """Note that there was no answer of any use."""
        if not self._down:
            self._down = True
            self.log.event(self.event, self.level, result="down", url=self.url, reason=why)

    def up(self) -> None:
        """Note that there was one."""
        if self._down:
            self._down = False
            self.log.event(self.event, result="up", url=self.url)


SLOW: Final = 1.0
"""Seconds for an answer; people notice half of that."""
_CALM: Final = 30.0
"""Seconds without such an answer after which it is over: one that limps is told of once, not at each step."""


@define(eq=False)
class Pace:
    """Whether the answers of a directory's server take long; the log hears of it when that changes."""

    url: str
    log: Log
    clock: Callable[[], float]
    _is_slow: bool = field(default=False, init=False)
    _last: float = field(default=0.0, init=False)
    """When the last answer that took long had come, or was given up."""

    def forget(self) -> None:
        """Begin anew: the log has just been told that all is well."""
        self._is_slow = False

    async def measured(self, answer: Awaitable[Answer]) -> Answer:
        """Return an answer once it is there, and note how long that has taken; one that fails at once is neither."""
        began, came = self.clock(), False
        try:
            found = await answer
            came = True
        finally:
            waited = self.clock() - began
            if came or waited >= SLOW:
                self.took(waited)
        return found

    def took(self, seconds: float) -> None:
        """Note how long an answer has taken, or was waited for."""
        now = self.clock()
        if seconds >= SLOW:
            self._last = now
            if not self._is_slow:
                reason = f"an answer took {seconds:.1f} s, or did not come"
                self.log.event("directory", "warn", result="slow", url=self.url, reason=reason)
            self._is_slow = True
        elif self._is_slow and now - self._last >= _CALM:
            self._is_slow = False
            self.log.event("directory", result="up", url=self.url, reason="answers come soon again")
