"""Users in a TOML file: one table for each, ``[users."alice@example.com"]``, of attributes by their LDAP names."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from attrs import define, field, frozen

from mmp.directory import passwords
from mmp.directory.certmap import Query
from mmp.directory.entry import Entry, is_host
from mmp.directory.names import Names
from mmp.errors import ConfigError

PASSWORD = "password"  # noqa: S105 - the attribute's name
"""The attribute that holds what a user's password is judged by."""


@frozen
class FileDirectory:
    """Finds users by the name of their table, whatever its case.

    That is the full name, user@domain, or the name as it was typed: so a table without a domain is for the user who
    types none, and never for one of that name in some domain.
    """

    _entries: Mapping[str, Entry] = field(repr=False)

    @classmethod
    def parse(cls, octets: bytes) -> FileDirectory:
        """Read the file's content; ConfigError with every mistake in it."""
        try:
            tables = tomllib.loads(octets.decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise ConfigError(["is not in UTF-8"]) from None
        except ValueError as error:
            raise ConfigError([f"is not TOML: {error}"]) from None
        except RecursionError:
            raise ConfigError(["is nested too deeply"]) from None
        reading = _Reading()
        entries = reading.users(tables)
        if reading.mistakes:
            raise ConfigError(reading.mistakes)
        return cls(entries)

    @property
    def decoy(self) -> str:
        """A password as they are kept here, to compare with where there is none."""
        return next((kept for entry in self._entries.values() for kept in entry.get(PASSWORD)), "")

    def hosts(self, attributes: Sequence[str]) -> Iterator[str]:
        """Yield the hosts that these attributes name, pools left out."""
        values = (value for entry in self._entries.values() for each in attributes for value in entry.get(each))
        return (value for value in values if is_host(value))

    def key(self, names: Names) -> Hashable:
        """Return what decides the answer."""
        return (names.full.lower(), names.typed.lower())

    async def find(self, names: Names) -> Sequence[Entry]:
        """Return the user's entry, or none."""
        entry = self._entries.get(names.full.lower()) or self._entries.get(names.typed.lower())
        return () if entry is None else (entry,)

    async def match(self, query: Query) -> Sequence[Entry]:
        """Return the entries that have what is wanted, two at most; here nothing is below anything."""
        if query.alone:
            return ()
        found = (entry for entry in self._entries.values() if _matches(entry, query))
        return tuple(islice(found, 2))


@define
class _Reading:
    mistakes: list[str] = field(factory=list)

    def users(self, tables: Mapping[str, Any]) -> dict[str, Entry]:
        self.mistakes += [f"{_path(key)}: unknown key; known here is users" for key in tables if key != "users"]
        entries: dict[str, Entry] = {}
        for user, table in self._table(tables.get("users", {}), "users"):
            path = _path("users", user)
            if user.lower() in entries:
                self.mistakes.append(f"{path}: the same user as another but for its case")
            entries[user.lower()] = Entry(user, self._attributes(table, path))
        return entries

    def _attributes(self, table: object, path: str) -> dict[str, tuple[str, ...]]:
        attributes: dict[str, tuple[str, ...]] = {}
        for name, value in self._table(table, path):
            if name.lower() in attributes:
                self.mistakes.append(f"{_path(path, name)}: the same attribute as another but for its case")
            attributes[name.lower()] = self._values(value, _path(path, name))
            if name.lower() == PASSWORD:
                self._check_passwords(attributes[PASSWORD], _path(path, name))
        return attributes

    def _check_passwords(self, values: tuple[str, ...], path: str) -> None:
        for value in (each for each in values if isinstance(each, str)):  # what is none has been told
            try:
                passwords.check(value)
            except ValueError as error:
                self.mistakes.append(f"{path}: {error}")

    def _values(self, value: object, path: str) -> tuple[str, ...]:
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in values):
            self.mistakes.append(f"{path}: must be a string or a list of strings")
        return tuple(values)

    def _table(self, value: object, path: str) -> Iterator[tuple[str, object]]:
        if isinstance(value, dict):
            yield from value.items()
        else:
            self.mistakes.append(f"{path}: must be a table")


def _matches(entry: Entry, query: Query) -> bool:
    """Tell whether there is all that is wanted; the table's name counts as mail and uid."""
    for attribute, values in query.wanted:
        own = {value.casefold() for value in entry.get(attribute)}
        if attribute.lower() in {"mail", "uid"}:
            own.add(entry.name.casefold())
        if own.isdisjoint(value.casefold() for value in values):
            return False
    return bool(query.wanted)


def _path(*keys: str) -> str:
    first, *others = keys
    return ".".join((first, *(key if key.isalnum() and key.isascii() else json.dumps(key) for key in others)))
