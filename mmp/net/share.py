"""How many sessions each worker has, in memory that all of them share, so that none takes more than its part of a rush.

The kernel wakes every worker for a connection, and the one that gets a processor first would take most of a rush; its
sessions then stay with it for as long as they last.
"""

from __future__ import annotations

import mmap

SLOTS = 32
"""Of 4 bytes. Workers beyond share one, and are a little less even for it."""
MARGIN = 1.1
"""Times the mean that a worker may have before it lets others go first; below, chance decides."""
FEW = 4
"""Sessions that do not count."""


class Shares:
    """The memory; made before the workers are forked."""

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, SLOTS * 4)).cast("I")

    def of(self, number: int) -> Share:
        """Return the part of the worker of this number."""
        return Share(self._counts, number % SLOTS)


class Share:
    """One worker's part. Nothing is locked: a count that is a moment old will do."""

    def __init__(self, counts: memoryview, slot: int) -> None:
        self._counts = counts
        self._slot = slot

    def is_exceeded(self, sessions: int) -> bool:
        """Tell how many sessions this worker has, and learn whether it should let others go first."""
        self._counts[self._slot] = sessions + 1  # 0 is nobody
        counts = self._counts.tolist()
        return sessions > MARGIN * (sum(counts) / (SLOTS - counts.count(0)) - 1) + FEW

    def leave(self) -> None:
        """Accept no more, or be dead: the others' mean is without this worker."""
        self._counts[self._slot] = 0
