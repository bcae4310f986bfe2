"""Keeps secrets that a directory tells out of what is remembered of it."""

from __future__ import annotations

import hmac
from collections.abc import Hashable, Sequence

from attrs import evolve, field, frozen

from mmp.directory.entry import Entry
from mmp.directory.interface import Directory
from mmp.directory.names import Names


@frozen
class Veiled:
    """A directory in whose entries the values of an attribute can be told apart, and nothing more.

    They are digests under a key that never leaves this process.
    """

    _directory: Directory[Entry]
    _attribute: str
    _key: bytes = field(repr=False)

    def key(self, names: Names) -> Hashable:
        """Return the directory's own key."""
        return self._directory.key(names)

    async def find(self, names: Names) -> Sequence[Entry]:
        """Return what the directory finds."""
        return [self._veiled(entry) for entry in await self._directory.find(names)]

    def _veiled(self, entry: Entry) -> Entry:
        values = entry.get(self._attribute)
        if not values:
            return entry
        digests = tuple(sorted(map(self._digest, values)))
        return evolve(entry, attributes={**entry.attributes, self._attribute.lower(): digests})

    def _digest(self, value: str) -> str:
        return hmac.digest(self._key, value.encode("utf-8", "surrogateescape"), "sha256").hex()
