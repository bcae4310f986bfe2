"""A group in LDAP (RFC 4519, 3.5 and 3.6), asked anew each time: who has left it has left it at once."""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from mmp.directory.entry import Entry
from mmp.directory.ldap.ber import OCTET_STRING, element
from mmp.directory.ldap.directory import Searches, found
from mmp.directory.ldap.requests import NO_ATTRIBUTES, read
from mmp.directory.ldap.responses import NO_SUCH_OBJECT

_OR: Final = 0xA1
_EQUAL: Final = 0xA3


@frozen
class LDAPGroup:
    """The entry of that name, which lists its members by their names; groups in it are not looked into."""

    name: str
    timeout: float
    _replicas: Searches = field(repr=False)

    async def has(self, entry: Entry) -> bool:
        """Tell whether the group lists the entry; Refused if no replica can say."""
        operation = read(self.name, _lists(entry.name), [NO_ATTRIBUTES], self.timeout)
        answer = await self._replicas.search(operation)
        return answer.result.code != NO_SUCH_OBJECT and bool(found(answer))


def _lists(name: str) -> bytes:
    """Return the filter for groups that list a name; it is made of the value, so nothing needs escaping."""
    value = element(OCTET_STRING, name.encode())
    kinds = (b"member", b"uniqueMember")
    return element(_OR, b"".join(element(_EQUAL, element(OCTET_STRING, kind) + value) for kind in kinds))
