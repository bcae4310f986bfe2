"""Following a user's sessions over all workers, those that come meanwhile too, for somebody who reads along."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Final, Protocol

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from mmp.admin.control import Send
from mmp.shared.asking import Asked, Question

BREATH: Final = 0.1
"""Seconds between two questions for news."""
_NOTHING: Final = b"[]"


class Workers(Protocol):
    """Those who have something to tell."""

    @property
    def clock(self) -> IReactorTime:
        """The clock of this process."""

    def ask_others(self, asked: Asked, known: Collection[int], /) -> Mapping[int, Question]:
        """Ask all workers but those with these numbers."""


@define(eq=False)
class Trace:
    """Sends what they have of one user, for so many seconds."""

    workers: Workers
    user: str
    seconds: float
    send: Send
    _asked: dict[int, Question] = field(factory=dict, init=False)

    async def run(self) -> None:
        """Go on until the time is over, or whoever reads along is gone."""
        clock = self.workers.clock
        end = clock.seconds() + self.seconds
        try:
            await self._look()
            await self.send(json.dumps([{"workers": len(self._asked)}]).encode())
            while (left := end - clock.seconds()) > 0:
                await deferLater(clock, min(BREATH, left))
                await self._look()
        finally:
            for question in self._asked.values():
                question.close()

    async def _look(self) -> None:
        """Pass on what is new; a worker that has not answered is asked anew, should it live."""
        asked = {"question": "trace", "user": self.user, "seconds": self.seconds}
        self._asked |= self.workers.ask_others(asked, self._asked)
        for worker, question in tuple(self._asked.items()):
            while (page := await question.page()) != _NOTHING:
                if page is None:
                    del self._asked[worker]
                    break
                await self.send(page)
