"""Remembers what a directory answered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Final, Generic, TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import Deferred

from mmp.directory.interface import Directory
from mmp.directory.joined import Joined
from mmp.directory.names import Names
from mmp.errors import Refused

Found = TypeVar("Found")

_LAST_PART: Final = 0.1
"""The part of an answer's life, at its end, in which whoever asks has it asked anew for the next one."""
_SURE: Final = 10.0
"""Seconds for which no answer is doubted: guesses at passwords must not become as many questions to the directory."""


@frozen
class Lifetimes:
    """How long answers are good for, in seconds."""

    found: float
    """An entry."""
    negative: float
    """That there is none, or no single one."""
    stale: float
    """An entry that has expired, while the directory is down."""


@define(eq=False)
class _Answer(Generic[Found]):
    entries: Sequence[Found] = field(repr=False)
    since: float
    expires: float


class Cached(Generic[Found]):
    """A directory that asks another one only for what it does not remember.

    It keeps the most recently used answers, and asks once however many wait for the same. The clock counts seconds
    and never goes back.
    """

    def __init__(
        self,
        directory: Directory[Found],
        size: int,
        lifetimes: Lifetimes,
        clock: Callable[[], float],
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``tell`` is told how each look-up went: "hit", "miss", "stale" or "error"."""
        self._directory = directory
        self._size = size
        self._lifetimes = lifetimes
        self._last_part = _LAST_PART * lifetimes.found
        self._clock = clock
        self._tell = tell
        self._answers: OrderedDict[Hashable, _Answer[Found]] = OrderedDict()
        self._asking: dict[Hashable, Joined[Sequence[Found]]] = {}
        self._down = False
        self.changes = 0
        """How often something may have changed: an answer that was under way then may be older than the change."""

    def key(self, names: Names) -> Hashable:
        """Return the directory's own key."""
        return self._directory.key(names)

    def forget(self, concerned: Callable[[Hashable, Sequence[Found]], bool]) -> int:
        """Forget the answers of which that is true, of their keys and entries; return how many there were."""
        self.changes += 1
        found = [key for key, answer in self._answers.items() if concerned(key, answer.entries)]
        for key in found:
            del self._answers[key]
        return len(found)

    def expire(self) -> None:
        """Ask for everything anew; what is remembered serves only while the directory is down."""
        self.changes += 1
        for answer in self._answers.values():
            answer.expires = min(answer.expires, self._clock())

    def doubt(self, names: Names) -> bool:
        """Ask for this anew, unless it has just been asked for; say whether that makes sense."""
        answer = self._answers.get(self._directory.key(names))
        if answer is None or self._clock() - answer.since < _SURE:
            return False
        answer.expires = min(answer.expires, self._clock())
        return True

    async def find(self, names: Names) -> Sequence[Found]:
        """Return the entries that match; Refused if the directory cannot say and nothing remembered may serve."""
        key = self._directory.key(names)
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
            left = answer.expires - self._clock()
            if left > 0:
                self._tell("hit")
                if left < self._last_part and len(answer.entries) == 1 and not self._down:
                    self._ask_before_it_expires(key, names)
                return answer.entries
        try:
            entries = await self._ask(key, names, answer)
        except Refused:
            self._tell("error")
            raise
        self._tell("stale" if answer is not None and entries is answer.entries else "miss")
        return entries

    def _ask_before_it_expires(self, key: Hashable, names: Names) -> None:
        """Have those who log in often never wait for the directory."""
        self._join(key, names).addErrback(lambda failure: failure.trap(Refused))

    def _join(self, key: Hashable, names: Names) -> Deferred[Sequence[Found]]:
        joined = self._asking.get(key)
        if joined is None:
            joined = self._asking[key] = Joined(lambda: self._fetch(key, names))
        return joined.join()

    async def _ask(self, key: Hashable, names: Names, answer: _Answer[Found] | None) -> Sequence[Found]:
        asked = self._join(key, names)
        if answer is None or names.current or not self._may_serve(answer):
            return await asked
        if self._down:  # known from an earlier look-up, so nobody waits for it to be found again
            asked.addErrback(lambda failure: failure.trap(Refused))
            return answer.entries
        try:
            return await asked
        except Refused:
            return answer.entries

    def _may_serve(self, answer: _Answer[Found]) -> bool:
        return len(answer.entries) == 1 and self._clock() < answer.expires + self._lifetimes.stale

    async def _fetch(self, key: Hashable, names: Names) -> Sequence[Found]:
        changes = self.changes
        try:
            entries = await self._directory.find(names)
            if changes != self.changes:
                changes = self.changes
                entries = await self._directory.find(names)
        except Refused:
            self._down = True
            raise
        finally:
            del self._asking[key]
        self._down = False
        self._keep(key, entries, is_sure=changes == self.changes)
        return entries

    def _keep(self, key: Hashable, entries: Sequence[Found], *, is_sure: bool) -> None:
        now = self._clock()
        lifetime = self._lifetimes.found if len(entries) == 1 else self._lifetimes.negative
        self._answers[key] = _Answer(entries, now, now + lifetime if is_sure else now)
        self._answers.move_to_end(key)
        if len(self._answers) > self._size:
            self._answers.popitem(last=False)
