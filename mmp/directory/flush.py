"""Which remembered answers are about a user, or a domain, or about entries that have changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence

from mmp.directory.changes import comparable
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


def concerns_changed(changed: Collection[str]) -> Callable[[Hashable, Sequence[Entry]], bool]:
    """Return what tells whether an answer has one of these entries in it; or has none, which may be different now."""
    return lambda _, entries: len(entries) != 1 or comparable(entries[0].name) in changed


def concerns_changed_domain(changed: Collection[str]) -> Callable[[Hashable, Sequence[Domain]], bool]:
    """Return the same about domains."""
    return lambda _, domains: len(domains) != 1 or comparable(domains[0].entry.name) in changed


def _has(key: Hashable, name: str) -> bool:
    if isinstance(key, tuple):
        return any(_has(part, name) for part in key)
    return isinstance(key, str) and key.casefold() == name


def _names(entry: Entry) -> set[str]:
    return {each.casefold() for each in (entry.name, *entry.get("mail"), *entry.get("uid"))}
