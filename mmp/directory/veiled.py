"""Keeps secrets that a directory tells out of what is remembered of it."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Hashable, Sequence

from attrs import evolve

from mmp.directory.entry import Entry
from mmp.directory.interface import Directory
from mmp.directory.names import Names


class Veiled:
    """A directory in whose entries the values of an attribute can be told apart, and nothing more."""

    def __init__(self, directory: Directory[Entry], attribute: str, secret: bytes) -> None:
        """The values become digests under this secret, which never leaves the process."""
        self.key: Callable[[Names], Hashable] = directory.key
        """Returns the directory's own key."""
        self._directory = directory
        self._attribute = attribute
        self._secret = secret

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
        return hmac.digest(self._secret, value.encode("utf-8", "surrogateescape"), "sha256").hex()
