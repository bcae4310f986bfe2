"""What we ask of a directory server (RFC 4511, 4.2 to 4.5, 4.11, 4.12, 4.14).

A search is encoded by hand, for a fiftieth of the work that ldap3 takes for one; what is said once a connection is
ldap3's to encode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from types import MappingProxyType
from typing import Final

from attrs import field, frozen
from ldap3 import SASL, SIMPLE
from ldap3.operation.bind import bind_operation
from ldap3.operation.extended import extended_operation
from ldap3.utils.asn1 import encode

from mmp.directory.ldap import policy
from mmp.directory.ldap.ber import BOOLEAN, ENUMERATED, OCTET_STRING, SEQUENCE, content, element, integer, number
from mmp.directory.ldap.filters import FilterTemplate
from mmp.directory.names import Names

MOST_ENTRIES: Final = 2
"""Entries asked for: one is the user, a second tells that the filter is not exact."""

_SEARCH: Final = 0x63
_ABANDON: Final = 0x50
_BASE_OBJECT: Final = 0
_SINGLE_LEVEL: Final = 1
_WHOLE_SUBTREE: Final = 2
_NEVER_DEREFERENCE: Final = 0
_UNLIMITED: Final = 0
SCOPES: Final[Mapping[str, int]] = MappingProxyType({"base": _BASE_OBJECT, "one": _SINGLE_LEVEL, "sub": _WHOLE_SUBTREE})
"""By their names in URLs (RFC 4516, 2)."""
NO_ATTRIBUTES: Final = "1.1"
"""What to ask for to get none (RFC 4511, 4.5.1.8)."""

ANY_ENTRY: Final = element(0x87, b"objectClass")
"""The filter that all entries match."""
UNBIND: Final = element(0x42, b"")
START_TLS: Final[bytes] = bytes(encode(extended_operation("1.3.6.1.4.1.1466.20037")))


@frozen
class Search:
    """A search for users, encoded but for what differs from login to login."""

    filter: FilterTemplate
    _head: bytes
    _tail: bytes

    @classmethod
    def prepare(cls, base: str, filter_: FilterTemplate, attributes: Sequence[str], seconds: float) -> Search:
        """Search everything below the base; the server shall give up after so many seconds, as we do."""
        return cls(filter_, _head(base, _WHOLE_SUBTREE, seconds), _tail(attributes))

    def operation(self, names: Names) -> bytes:
        """Return the search for these names."""
        return element(_SEARCH, self._head + self.filter.encode(self.filter.values(names)) + self._tail)


def read(name: str, filter_: bytes, attributes: Sequence[str], seconds: float) -> bytes:
    """Return the search for the one entry of this name, if the filter matches it."""
    return element(_SEARCH, _head(name, _BASE_OBJECT, seconds) + filter_ + _tail(attributes))


def below(name: str, filter_: bytes, attributes: Sequence[str], seconds: float) -> bytes:
    """Return the search for all that the filter matches below that name."""
    return element(_SEARCH, _head(name, _WHOLE_SUBTREE, seconds) + filter_ + _tail(attributes))


def elsewhere(operation: bytes, base: bytes | None, scope: int | None) -> bytes:
    """Return a search of ours with another base and scope, unless they are None; one entry never becomes several."""
    start, stop = content(operation, 0, len(operation), _SEARCH)
    begun, position = content(operation, start, stop, OCTET_STRING)
    deep, rest = content(operation, position, stop, ENUMERATED)
    usual = number(operation, deep, rest)
    head = element(OCTET_STRING, operation[begun:position] if base is None else base)
    head += integer(usual if scope is None or usual == _BASE_OBJECT else scope, ENUMERATED)
    return element(_SEARCH, head + operation[rest:stop])


def names_below(name: str) -> bytes:
    """Return the search for all names of entries from that one on, however many, however long it takes."""
    head = _head(name, _WHOLE_SUBTREE, _UNLIMITED, _UNLIMITED)
    return element(_SEARCH, head + ANY_ENTRY + _tail([NO_ATTRIBUTES]))


def _head(base: str, scope: int, seconds: float, entries: int = MOST_ENTRIES) -> bytes:
    fields = (
        element(OCTET_STRING, base.encode()),
        integer(scope, ENUMERATED),
        integer(_NEVER_DEREFERENCE, ENUMERATED),
        integer(entries),
        integer(ceil(seconds)),
        element(BOOLEAN, b"\0"),
    )
    return b"".join(fields)


def _tail(attributes: Sequence[str]) -> bytes:
    return element(SEQUENCE, b"".join(element(OCTET_STRING, name.encode()) for name in attributes))


@frozen
class Simple:
    """A name and password to bind with."""

    dn: str
    password: bytes = field(repr=False)

    def __attrs_post_init__(self) -> None:
        if not (self.dn and self.password):
            raise ValueError("needs a name and a password: without one of them a bind succeeds and proves nothing")

    def operation(self) -> bytes:
        """Return the bind, and the question what the password policy says."""
        return bytes(encode(bind_operation(3, SIMPLE, self.dn, self.password))) + policy.ASK


@frozen
class External:
    """Who we are is for the certificate to say that we have shown in TLS (RFC 4513, 5.2.3)."""

    dn: str = "the certificate's subject"

    def operation(self) -> bytes:
        """Return the bind."""
        return bytes(encode(bind_operation(3, SASL, sasl_mechanism="EXTERNAL", sasl_credentials=b"")))


def message(identifier: int, operation: bytes) -> bytes:
    """Return a message of this number; the operation may have its controls behind it."""
    return element(SEQUENCE, integer(identifier) + operation)


def abandon(identifier: int) -> bytes:
    """Return the operation that gives up the one of this number."""
    return integer(identifier, _ABANDON)
