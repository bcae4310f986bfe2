"""Finds domains in LDAP, as the two schemas of the older product lay them out.

Schema 1 has a tree of dc entries, one for each label of a domain's name; Schema 2 an entry for each organisation, which
lists the domains that are its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

from attrs import field, frozen
from ldap3.core.exceptions import LDAPInvalidDnError
from ldap3.utils.dn import parse_dn

from mmp.directory.access import DOMAIN_ACCESS
from mmp.directory.domains import Domain
from mmp.directory.entry import Entry
from mmp.directory.ldap.directory import LDAPDirectory, Searches, found
from mmp.directory.ldap.filters import FilterTemplate
from mmp.directory.ldap.requests import Search, read
from mmp.directory.ldap.responses import INVALID_DN_SYNTAX, NO_SUCH_OBJECT
from mmp.directory.names import Names
from mmp.directory.replay import ReplayName
from mmp.directory.status import DOMAIN_STATUS

USERS_BASE: Final = "inetDomainBaseDN"
ALIASED: Final = "aliasedObjectName"
CANONICAL: Final = "inetCanonicalDomainName"
PREFERRED: Final = "sunPreferredDomain"
SEARCH_FILTER: Final = "inetDomainSearchFilter"
VERIFIED_HERE: Final = "mailAccessProxyPreAuth"
REPLAY_USER: Final = "mailAccessProxyReplay"
ATTRIBUTES: Final = (
    *(USERS_BASE, ALIASED, CANONICAL, PREFERRED, SEARCH_FILTER, VERIFIED_HERE, REPLAY_USER, DOMAIN_ACCESS),
    *DOMAIN_STATUS,
)
"""All that is read of a domain."""

_IN_TREE: Final = FilterTemplate.parse("(|(objectClass=inetDomain)(objectClass=inetDomainAlias))").encode(())
_ORGANISATION: Final = "(&(objectClass=sunManagedOrganization)(|(sunPreferredDomain=%V)(associatedDomain=%V)))"
_TRUTH: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@frozen
class Reading:
    """Makes domains of entries. Users are searched by ``filter``, and for ``attributes``, unless a domain says more."""

    replicas: Searches = field(repr=False)
    filter: FilterTemplate = field(repr=False)
    attributes: tuple[str, ...]
    timeout: float

    def domain(self, entry: Entry, name: str, base: str) -> Domain:
        """Return the domain of an entry, which has a fault if the entry makes no sense."""
        try:
            return self._domain(entry, _first(entry, CANONICAL) or name, base)
        except ValueError as error:
            return Domain(
                name, entry, LDAPDirectory(self.replicas, self._search("", self.filter, ())), fault=str(error)
            )

    def _domain(self, entry: Entry, name: str, base: str) -> Domain:
        if not name.isprintable():
            raise ValueError("its name has characters that cannot be printed")
        replay_user = _replay_user(_first(entry, REPLAY_USER))
        attributes = replay_user.attributes if replay_user else ()
        text = _first(entry, SEARCH_FILTER)
        search = self._search(base, _filter(text) if text else self.filter, attributes)
        users = LDAPDirectory(self.replicas, search)
        return Domain(name, entry, users, (base, text, attributes), replay_user, _truth(_first(entry, VERIFIED_HERE)))

    def _search(self, base: str, filter_: FilterTemplate, attributes: Sequence[str]) -> Search:
        return Search.prepare(base, filter_, tuple(dict.fromkeys((*self.attributes, *attributes))), self.timeout)


@frozen
class DomainTree:
    """Domains of Schema 1, below a root."""

    _reading: Reading
    _root: str

    def key(self, names: Names) -> Hashable:
        """Return the domain as typed."""
        return names.domain

    async def find(self, names: Names) -> Sequence[Domain]:
        """Return the domain, or the one that it is an alias of; Refused if no replica can say."""
        labels = names.domain.split(".")
        if not all(labels):
            return ()
        (entry,) = await self._read(entry_name(labels, self._root)) or (None,)
        if entry is not None and not _first(entry, USERS_BASE) and (aliased := _first(entry, ALIASED)):
            (entry,) = await self._read(aliased) or (None,)
        base = _first(entry, USERS_BASE) if entry is not None else ""
        if entry is None or not base:
            return ()
        return (self._reading.domain(entry, domain_name(entry.name, self._root) or names.domain, base),)

    async def _read(self, name: str) -> Sequence[Entry]:
        try:
            operation = read(name, _IN_TREE, ATTRIBUTES, self._reading.timeout)
        except UnicodeEncodeError:  # of an alias that is no text
            return ()
        answer = await self._reading.replicas.search(operation)
        return () if answer.result.code in {NO_SUCH_OBJECT, INVALID_DN_SYNTAX} else found(answer)


class Organisations:
    """Domains of Schema 2, somewhere below a base."""

    def __init__(self, reading: Reading, base: str) -> None:
        self._reading = reading
        search = Search.prepare(base, FilterTemplate.parse(_ORGANISATION), ATTRIBUTES, reading.timeout)
        self._directory = LDAPDirectory(reading.replicas, search)

    def key(self, names: Names) -> Hashable:
        """Return the domain as typed."""
        return names.domain

    async def find(self, names: Names) -> Sequence[Domain]:
        """Return the domains of the organisations that have this one, two at most; Refused if no replica can say."""
        entries = await self._directory.find(names)
        return [self._domain(entry, names.domain) for entry in entries]

    def _domain(self, entry: Entry, typed: str) -> Domain:
        return self._reading.domain(entry, _first(entry, PREFERRED) or typed, _first(entry, USERS_BASE) or entry.name)


def entry_name(labels: Sequence[str], root: str) -> str:
    """Return the name of a domain's entry in the tree, whatever characters its labels have (RFC 4514, 2.4)."""
    return ",".join((*(f"dc={_escaped(label)}" for label in labels), root))


def domain_name(entry: str, root: str) -> str:
    """Return the domain whose entry has this name; empty if it is not in the tree."""
    try:
        parts, tail = (parse_dn(name.lower(), strip=True) for name in (entry, root))
    except LDAPInvalidDnError:
        return ""
    labels = parts[: -len(tail)]
    if [part[:2] for part in parts[-len(tail) :]] != [part[:2] for part in tail]:
        return ""
    if any(kind != "dc" or "\\" in label for kind, label, _ in labels):
        return ""
    return ".".join(label for _, label, _ in labels)


def _escaped(label: str) -> str:
    return "".join(map(_escaped_character, label))


def _escaped_character(character: str) -> str:
    if character.isascii() and (character.isalnum() or character == "-"):
        return character
    return "".join(f"\\{octet:02X}" for octet in character.encode())


def _first(entry: Entry, attribute: str) -> str:
    return next(iter(entry.get(attribute)), "")


def _filter(text: str) -> FilterTemplate:
    try:
        return FilterTemplate.parse(text if text.startswith("(") else f"({text})")
    except ValueError as error:
        raise ValueError(f"{SEARCH_FILTER} {error}") from None
    except RecursionError:
        raise ValueError(f"{SEARCH_FILTER} is nested too deeply") from None


def _replay_user(text: str) -> ReplayName | None:
    try:
        return ReplayName.parse(text) if text else None
    except ValueError as error:
        raise ValueError(f"{REPLAY_USER} {error}") from None


def _truth(text: str) -> bool | None:
    if text and text.lower() not in _TRUTH:
        raise ValueError(f"{VERIFIED_HERE} is neither yes nor no")
    return _TRUTH.get(text.lower())
