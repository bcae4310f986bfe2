"""How often something may happen: so many times at once, and then evenly over the minute, or another period."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Final

MINUTE: Final = 60.0
HOUR: Final = 3600.0


class Rate:
    """Events by key, of each so many in a period at most; what was refused does not count.

    Of each key one number is kept: the second at which all its events would be over if they came evenly, as in ATM's
    generic cell rate algorithm (ITU-T I.371). ``size`` keys are kept; then the one that was quiet longest is forgotten.
    """

    def __init__(self, most: int, size: int, period: float = MINUTE) -> None:
        self.period = period
        self.step = period / most
        """Seconds that each event takes up."""
        self._size = size
        self._over: OrderedDict[Hashable, float] = OrderedDict()

    def wait(self, now: float, key: Hashable) -> float:
        """Count an event and return 0, or return in how many seconds there is room for it."""
        over = max(now, self._over.get(key, now)) + self.step
        if over > now + self.period:
            return over - now - self.period
        self._over[key] = over
        self._over.move_to_end(key)
        self._forget(now)
        return 0.0

    def room(self, now: float, key: Hashable) -> float:
        """Return what ``wait`` would, and count nothing."""
        return max(0.0, self._over.get(key, now) - now + self.step - self.period)

    def give_back(self, key: Hashable) -> None:
        """Take an event for one that has not happened."""
        if key in self._over:
            self._over[key] -= self.step

    def state(self) -> list[tuple[Hashable, float]]:
        """Return what is kept, in builtin types if the keys are, for ``restore``."""
        return list(self._over.items())

    def restore(self, state: Iterable[tuple[Hashable, float]]) -> None:
        """Take what ``state`` told, on the same clock, in place of what is kept."""
        self._over = OrderedDict(state)

    def _forget(self, now: float) -> None:
        """Forget what is over, two at a time, and what there is no room for; what was counted just now is neither."""
        for _ in range(2):
            quietest = next(iter(self._over))
            if self._over[quietest] > now and len(self._over) <= self._size:
                return
            del self._over[quietest]

    def __len__(self) -> int:
        return len(self._over)
