"""What all workers together know of the proxy at one moment."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, Self

from attrs import define, field

from mmp.shared.asking import Question


@define
class State:
    """Sums of what ``Answers.gauges`` tells."""

    numbers: Counter[tuple[str, ...]] = field(factory=Counter)
    """By the name of a metric and the values of its labels."""
    seen: dict[tuple[str, ...], tuple[str, float]] = field(factory=dict)
    """Of stores and directories: why it is down, if it is, and when that was seen."""

    @classmethod
    async def gather(cls, questions: Sequence[Question]) -> Self:
        """Return the sum of the answers."""
        state = cls()
        async for *key, value in everything(questions):
            state.learn(tuple(key), value)
        return state

    def learn(self, key: tuple[str, ...], value: Any) -> None:
        """Take in one item of an answer; of what several have seen the latest counts."""
        if isinstance(value, list):
            why, at = value
            if key not in self.seen or self.seen[key][1] < at:
                self.seen[key] = why, at
        else:
            self.numbers[key] += value

    def sessions_of(self, pid: int, otherwise: int) -> int:
        """Return how many sessions a worker has, and what was known before if it has not told."""
        return self.numbers.get(("worker", str(pid)), otherwise)

    def directories_down(self) -> dict[str, str]:
        """Return the directories that were last seen down, and why they are."""
        return {key[1]: why for key, (why, _) in self.seen.items() if key[0] == "directory" and why}

    def warnings(self) -> dict[str, list[str]]:
        """Return what there is to be warned of about directories that work."""
        found: dict[str, list[str]] = {}
        for (kind, *rest), (why, _) in sorted(self.seen.items()):
            if kind in {"slow", "warning"} and why:
                found.setdefault(rest[0], []).append(why)
        return found

    def watched(self) -> dict[str, str]:
        """Return the directories whose changes are to be followed, and why they are not, empty if they are."""
        return {key[1]: why for key, (why, _) in self.seen.items() if key[0] == "watch"}

    def alone(self) -> str:
        """Return why some worker counts alone, out of reach of what workers share; empty if none does."""
        return next((why for key, (why, _) in self.seen.items() if key[0] == "shared" and why), "")

    def stores(self, disabled: Collection[str]) -> list[dict[str, Any]]:
        """Return what ``mmp backends`` tells."""
        known = {key[1:] for key in self.seen if key[0] == "store"}
        known |= {key[1:] for key in self.numbers if key[0] == "backend_sessions"}
        known |= {(store, "") for store in disabled} - {(store.lower(), "") for store, _ in known}
        return [self._store(store, service, disabled) for store, service in sorted(known)]

    def _store(self, store: str, service: str, disabled: Collection[str]) -> dict[str, Any]:
        why, _ = self.seen.get(("store", store, service), ("", 0.0))
        return {
            "backend": store,
            "service": service,
            "up": not why,
            "disabled": store.lower() in disabled,
            "sessions": self.numbers["backend_sessions", store, service],
            "why": why,
        }


async def everything(questions: Sequence[Question]) -> AsyncIterator[Any]:
    """Yield the items of all pages of all answers."""
    for question in questions:
        try:
            while (page := await question.page()) is not None:
                for item in json.loads(page):
                    yield item
        finally:
            question.close()
