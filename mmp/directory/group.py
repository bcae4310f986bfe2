"""Who is a member of the group whose members may act as other users."""

from __future__ import annotations

from typing import Final, Protocol

from attrs import frozen

from mmp.directory.changes import comparable
from mmp.directory.entry import Entry

MEMBER_OF: Final = "memberOf"
"""The attribute in which an entry of a file names its groups, as entries of many directories do."""


class Group(Protocol):
    """Knows its members."""

    async def has(self, entry: Entry) -> bool:
        """Tell whether an entry is a member; Refused if the directory cannot say."""


@frozen
class StatedGroup:
    """A group that its members name themselves, where only whoever runs the proxy writes entries."""

    name: str

    async def has(self, entry: Entry) -> bool:
        """Tell whether the entry names the group."""
        return comparable(self.name) in map(comparable, entry.get(MEMBER_OF))
