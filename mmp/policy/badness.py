"""How bad somebody is: every failed login makes it worse, up to a point, and time makes it good again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import define, field, frozen

REMEMBERED: Final = 16
"""Failures of one that are remembered so as not to be counted twice."""


@frozen
class Penalties:
    """What a failure adds, in seconds, and the ``most`` it can come to; forgiven ``decay`` seconds after the last one.

    All at once, or evenly over that time if ``linear``. ``size`` bounds how many bad ones are remembered.
    """

    penalty: float = 2.0
    most: float = 60.0
    decay: float = 900.0
    linear: bool = False
    size: int = 10_000


@frozen
class Record:
    """What is known of one: how bad the last failure left it and how many seconds ago that was, how many it were.

    ``seen`` are the digests of the last ones.
    """

    badness: float
    age: float
    failures: int
    seen: tuple[bytes, ...]


@define(eq=False)
class _Bad:
    badness: float = 0.0
    since: float = 0.0
    failures: int = 0
    seen: list[bytes] = field(factory=list)


class Badness:
    """The bad ones by key; when the table is full, the one whose last failure is longest ago is forgotten."""

    def __init__(self, penalties: Penalties) -> None:
        self.penalties = penalties
        self._bad: OrderedDict[bytes, _Bad] = OrderedDict()

    def of(self, now: float, key: bytes) -> float:
        """Return the badness in seconds."""
        bad = self._bad.get(key)
        return 0.0 if bad is None else self._left(now, bad)

    def _left(self, now: float, bad: _Bad) -> float:
        passed = now - bad.since
        if passed >= self.penalties.decay:
            return 0.0
        return bad.badness * (1 - passed / self.penalties.decay) if self.penalties.linear else bad.badness

    def failures(self, key: bytes) -> int:
        """Return how many failures have been counted."""
        return self._bad[key].failures if key in self._bad else 0

    def add(self, now: float, key: bytes, digest: bytes) -> bool:
        """Count a failure, and return False if this very one, by its digest, has been counted before."""
        bad = self._bad.get(key)
        if bad is None or not (left := self._left(now, bad)):
            bad, left = _Bad(), 0.0
        elif digest in bad.seen:
            return False
        bad.badness, bad.since = min(left + self.penalties.penalty, self.penalties.most), now
        bad.failures += 1
        bad.seen = [*bad.seen[1 - REMEMBERED :], digest]
        self._bad[key] = bad
        self._bad.move_to_end(key)
        self._forget(now)
        return True

    def _forget(self, now: float) -> None:
        """Forget what is forgiven or has no room; whose last failure is longest ago comes first."""
        while self._bad:
            oldest = next(iter(self._bad.values()))
            if len(self._bad) <= self.penalties.size and now - oldest.since < self.penalties.decay:
                return
            self._bad.popitem(last=False)

    def learn(self, now: float, key: bytes, record: Record | None, asked: float) -> None:
        """Take what is known elsewhere in place of what is known here; nobody is worse than ``penalties`` have it.

        Whoever has failed here since it was asked for is not in it, and stays as bad as that has left them.
        """
        here = self._bad.get(key)
        if here is not None and here.since > asked:
            return
        if record is None:
            self.clear(key)
            return
        badness, age = min(self.penalties.most, record.badness), max(0.0, record.age)  # in this order NaN is left out
        self._bad[key] = _Bad(badness, now - age, record.failures, list(record.seen))
        self._bad.move_to_end(key)
        self._forget(now)

    def listed(self, now: float) -> Iterator[tuple[bytes, float, int, float]]:
        """Yield the key, badness, failures and end of each that is bad; none may become so meanwhile."""
        for key, bad in self._bad.items():
            if left := self._left(now, bad):
                yield key, left, bad.failures, bad.since + self.penalties.decay

    def state(self) -> list[tuple[bytes, float, float, int, list[bytes]]]:
        """Return all of it in builtin types, for ``restore``."""
        return [(key, bad.badness, bad.since, bad.failures, bad.seen) for key, bad in self._bad.items()]

    def restore(self, state: Iterable[tuple[bytes, float, float, int, list[bytes]]]) -> None:
        """Take what ``state`` told, on the same clock, in place of what is known."""
        self._bad = OrderedDict(
            (key, _Bad(badness, since, failures, seen)) for key, badness, since, failures, seen in state
        )

    def clear(self, key: bytes) -> None:
        """Forget it all."""
        self._bad.pop(key, None)

    def __len__(self) -> int:
        return len(self._bad)
