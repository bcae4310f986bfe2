"""What a directory's entry says about a user: the account, or why there is none."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache

from attrs import field, frozen

from mmp.directory.names import Names
from mmp.directory.replay import ReplayName
from mmp.errors import Refused
from mmp.model import Account, Refusal
from mmp.policy.rendezvous import host_of

_IDENTITY = ("mail", "uid")
"""Attributes that may name the user, in lower case, the more certainly unique one first."""

_POOL = "pool:"

_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_is_host_name = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*(?![0-9]+\Z|0[xX]){_LABEL}").fullmatch
"""RFC 1123, 2.1, with the underscore that hosts inside many sites have. A last label that reads as a number would make
resolvers take the whole for an address: 127.1 is 127.0.0.1 to them."""


@frozen
class Entry:
    """One user's entry: its name in the directory, and its attributes' values by lower-case attribute name.

    ``at`` is the server that it was found at, if the directory has referred us to one, by host:port or host.
    """

    name: str
    attributes: Mapping[str, tuple[str, ...]] = field(repr=False)
    at: str = ""

    def get(self, attribute: str) -> tuple[str, ...]:
        """Return the values of an attribute, case-insensitively; empty if absent."""
        return self.attributes.get(attribute.lower(), ())

    def lacks(self, attributes: AbstractSet[str]) -> bool:
        """Whether it has none of these, which are given in lower case: all at once, since that is so of most."""
        return self.attributes.keys().isdisjoint(attributes)


@frozen
class AccountRules:
    """How an entry becomes an account."""

    mail_host_attributes: tuple[str, ...] = ("mailHost",)
    """The first of these that has a value names the store."""
    replay_user: ReplayName = field(factory=lambda: ReplayName.parse("%U"))
    pools: Mapping[str, Sequence[str]] = field(factory=dict)
    """Hosts by the name of their pool; the mailHost ``pool:NAME`` gives each user always the same of them."""
    _of_host: tuple[tuple[str, str], ...] = field(init=False, repr=False, eq=False)
    """Those attributes as they are spelled, and in lower case, as entries have them."""

    @_of_host.default
    def _spelled_and_lower(self) -> tuple[tuple[str, str], ...]:
        return tuple((attribute, attribute.lower()) for attribute in self.mail_host_attributes)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Every attribute that is read, to be asked of the directory."""
        wanted = (*self.mail_host_attributes, *self.replay_user.attributes, *_IDENTITY)
        return tuple(dict.fromkeys(wanted))

    def account(self, names: Names, entry: Entry) -> Account:
        """Return the account of the user who logged in by these names, or raise Refused."""
        user = canonical_name(names, entry)
        replay_user = (names.within and names.within.replay_user) or self.replay_user
        return Account(user, replay_user.render(names, entry), self._host(user, entry))

    def _host(self, user: str, entry: Entry) -> str:
        for attribute, lower in self._of_host:
            for value in entry.attributes.get(lower, ()):
                if value.startswith(_POOL):
                    return self._host_in_pool(user, value.removeprefix(_POOL))
                if not is_host(value):
                    raise Refused(Refusal.BACKEND_UNAVAILABLE, f"{attribute} {value!r:.300} is not a host")
                return value
        raise Refused(Refusal.BACKEND_UNAVAILABLE, f"no {' or '.join(self.mail_host_attributes)}")

    def _host_in_pool(self, user: str, pool: str) -> str:
        if hosts := self.pools.get(pool):
            return host_of(user, hosts)
        raise Refused(Refusal.BACKEND_UNAVAILABLE, f"no pool is called {pool!r:.300}")


def canonical_name(names: Names, entry: Entry) -> str:
    """Return the one name under which all of a user's logins are counted and logged.

    It is the directory's, since a filter may match one entry by any number of typed names: aliases, any domain behind a
    uid, blanks and letter forms that the server ignores. In lower case, since directories compare these attributes so.
    """
    for attribute in _IDENTITY:
        for value in entry.attributes.get(attribute, ()):
            if value and value.isprintable():
                return value.lower()
    name = entry.name
    return (name if name and name.isprintable() else names.full).lower()


@lru_cache(1000)
def is_host(value: str) -> bool:
    """Whether this is a host name (RFC 1123) or an address literal; never if it has a control character.

    Remembered of the stores of those who log in, which are few: 3 µs of a login.
    """
    return bool(_is_host_name(value)) or _is_address(socket.AF_INET, value) or _is_address(socket.AF_INET6, value)


def _is_address(family: int, value: str) -> bool:
    """Whether this is an address literal, without a scope, which is no business of a directory."""
    try:
        socket.inet_pton(family, value)
    except (OSError, ValueError):  # ValueError: a NUL
        return False
    return True
