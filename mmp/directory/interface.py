"""The seam to every kind of directory, and to the cache around one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

from mmp.directory.entry import Entry
from mmp.directory.names import Names


class Directory(Protocol):
    """Finds users by what they typed."""

    def key(self, names: Names) -> Hashable:
        """Return what decides the answer: equal keys have equal answers, from this directory."""

    async def find(self, names: Names) -> Sequence[Entry]:
        """Return the entries that match, two at most; Refused if the directory cannot say."""
