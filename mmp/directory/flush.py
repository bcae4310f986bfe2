"""Which remembered answers are about a user, or about the domain that a user is in."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from mmp.directory.domains import Domain
from mmp.directory.entry import Entry


def concerns(user: str) -> Callable[[Hashable, Sequence[Entry]], bool]:
    """Return what tells whether an answer was asked for by this name, or has somebody of this name in it."""
    name = user.casefold()
    return lambda key, entries: _has(key, name) or any(name in _names(entry) for entry in entries)


def concerns_domain(user: str) -> Callable[[Hashable, Sequence[Domain]], bool]:
    """Return what tells whether an answer was asked for by the domain in this name, or is one called so."""
    name = user.rpartition("@")[2].casefold()
    return lambda key, domains: _has(key, name) or any(domain.name.casefold() == name for domain in domains)


def _has(key: Hashable, name: str) -> bool:
    if isinstance(key, tuple):
        return any(_has(part, name) for part in key)
    return isinstance(key, str) and key.casefold() == name


def _names(entry: Entry) -> set[str]:
    return {each.casefold() for each in (entry.name, *entry.get("mail"), *entry.get("uid"))}
