"""Keeps following the changes of a directory: on the first server that can, and again when it no longer does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from mmp.directory.changes import Changes
from mmp.directory.ldap.following import Following, NotOfferedError
from mmp.directory.ldap.replica import Opening
from mmp.interfaces import Log

_SHORTEST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_PAUSE_WHERE_NONE: Final = 300.0
"""Seconds until we ask again servers of which none offers it."""


@define(eq=False)
class Watch:
    """Whenever it begins anything may have changed, and is told to have: what came before, nobody can say."""

    openings: Sequence[Opening]
    base: str
    clock: IReactorTime
    log: Log
    changes: Changes
    _log: Logger = field(factory=Logger, init=False)
    _running: Deferred[None] | None = field(default=None, init=False)
    _pause: float = field(default=_SHORTEST_PAUSE, init=False)
    _told: dict[str, str] = field(factory=dict, init=False)
    """By server, why there is none there, as far as the log has it."""

    def start(self) -> None:
        """Begin."""
        if self._running is None:
            self._running = Deferred.fromCoroutine(self._run())
            self._running.addErrback(lambda failure: failure.trap(CancelledError))

    def stop(self) -> None:
        """End."""
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> None:
        while True:
            offered = False
            for opening in self.openings:
                try:
                    why = await self._follow(opening)
                except NotOfferedError as error:
                    why = str(error)
                except CancelledError:
                    raise
                except Exception:  # noqa: BLE001 - to begin again is better than to end without anybody's noticing
                    self._log.failure("unexpected error while changes of a directory were followed")
                    why = "unexpected error"
                else:
                    offered = True
                self._tell_end(opening, why)
            pause = self._pause if offered else _PAUSE_WHERE_NONE
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            await deferLater(self.clock, pause)

    async def _follow(self, opening: Opening) -> str:
        """Follow on this server, and return why that is over."""
        try:
            link = await opening.link()
        except OSError as error:
            return str(error)
        following = Following(
            link, self.base, self.clock, opening.timeout, self.changes, lambda way: self._tell_beginning(opening, way)
        )
        try:
            return await following.until_it_ends()
        except OSError as error:
            return str(error)
        finally:
            link.close()

    def _tell_beginning(self, opening: Opening, way: str) -> None:
        self._pause = _SHORTEST_PAUSE
        self._told.clear()
        self.log.event("watch", result="begun", url=opening.url, reason=way)

    def _tell_end(self, opening: Opening, why: str) -> None:
        url = str(opening.url)
        if self._told.get(url) != why:
            self.log.event("watch", "warn", result="none", url=url, reason=why)
        self._told[url] = why
