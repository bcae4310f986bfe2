"""Tells when a server stops answering, and when it answers again."""

from __future__ import annotations

from attrs import define, field

from mmp.interfaces import Level, Log


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
