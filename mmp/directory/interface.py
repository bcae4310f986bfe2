"""The seam to every kind of directory, and to the cache around one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol, TypeVar

from mmp.directory.names import Names

Found_co = TypeVar("Found_co", covariant=True)


class Directory(Protocol[Found_co]):
    """Finds users, or the domains they are in, by what they typed."""

    def key(self, names: Names) -> Hashable:
        """Return what decides the answer: equal keys have equal answers, from this directory."""

    async def find(self, names: Names) -> Sequence[Found_co]:
        """Return what matches, two at most; Refused if the directory cannot say."""
