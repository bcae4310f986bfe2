"""Finding entries in LDAP by what is in a certificate: filters are made of values, so nothing needs escaping."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen

from mmp.directory.certmap import Query
from mmp.directory.entry import Entry
from mmp.directory.ldap.ber import OCTET_STRING, element
from mmp.directory.ldap.directory import Searches, found
from mmp.directory.ldap.requests import ANY_ENTRY, below, read
from mmp.directory.ldap.responses import NO_SUCH_OBJECT

_AND, _OR, _EQUAL = 0xA0, 0xA1, 0xA3


@frozen
class LDAPMatcher:
    """Searches below ``base``, or below that of the query, if it has one."""

    replicas: Searches = field(repr=False)
    base: str
    attributes: Sequence[str]
    timeout: float

    async def match(self, query: Query) -> Sequence[Entry]:
        """Return the entries, two at most; Refused if no replica can say."""
        search = read if query.alone else below
        operation = search(query.base or self.base, _filter(query), self.attributes, self.timeout)
        answer = await self.replicas.search(operation)
        return [] if answer.result.code == NO_SUCH_OBJECT else found(answer)


def _filter(query: Query) -> bytes:
    if not query.wanted:
        return ANY_ENTRY
    return element(_AND, b"".join(_any(attribute, values) for attribute, values in query.wanted))


def _any(attribute: str, values: Sequence[str]) -> bytes:
    name = element(OCTET_STRING, attribute.encode())
    return element(_OR, b"".join(element(_EQUAL, name + element(OCTET_STRING, value.encode())) for value in values))
