"""Goes on with a search on another server, where one refers to it (RFC 4511, 4.1.10 and 4.5.3; RFC 4516)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from attrs import evolve, field, frozen

from mmp.directory.entry import Entry
from mmp.directory.ldap.directory import Searches, found
from mmp.directory.ldap.link import Answer
from mmp.directory.ldap.requests import MOST_ENTRIES, SCOPES, elsewhere
from mmp.directory.ldap.responses import REFERRAL, SUCCESS, Result
from mmp.errors import Refused, RemoteProtocolError
from mmp.model import Endpoint, Refusal

MOST: Final = 8
"""Searches that one may become: servers that refer to each other in a circle are left after so many."""


@frozen
class Referral:
    """Where a search goes on, with another base and scope, unless they are None; ``port`` is 0 if none is named."""

    host: str
    port: int
    base: bytes | None
    scope: int | None

    @classmethod
    def parse(cls, url: str) -> Referral:
        """Read an LDAP URL; ValueError if it is none, or wants something else to be asked."""
        parts = urlsplit(url)
        _, scope, filter_, extensions = (*parts.query.split("?"), "", "", "", "")[:4]
        if parts.scheme.lower() not in {"ldap", "ldaps"} or not parts.hostname:
            raise ValueError("is no LDAP URL")
        if filter_ or extensions or (scope and scope.lower() not in SCOPES):
            raise ValueError("wants something else to be asked")
        base = unquote_to_bytes(parts.path.removeprefix("/"))
        return cls(parts.hostname, parts.port or 0, base or None, SCOPES.get(scope.lower()))


@frozen
class Referring:
    """Searches that follow referrals, to servers that are known beforehand, and to no others.

    ``others`` are those, by host:port and by host, in lower case: a referral says which one and what to ask there; how
    it is reached, and as whom, is configured, and may be at another port with TLS.
    """

    first: Searches = field(repr=False)
    others: Mapping[str, Searches] = field(repr=False)

    async def search(self, operation: bytes) -> Answer:
        """Return the answer of all servers together; Refused if one is missing, since the user may be there."""
        return await self._whole(await self.first.search(operation), operation, set())

    async def _whole(self, answer: Answer, operation: bytes, asked: set[tuple[str, bytes]]) -> Answer:
        if answer.result.code == REFERRAL:
            return await self._follow(answer.result.referral, operation, asked)
        if not answer.references:
            return answer
        entries = list(found(answer))
        for urls in answer.references:
            if len(entries) < MOST_ENTRIES:
                entries += found(await self._follow(urls, operation, asked))
        return Answer(Result(SUCCESS, ""), entries[:MOST_ENTRIES])

    async def _follow(self, urls: Sequence[str], operation: bytes, asked: set[tuple[str, bytes]]) -> Answer:
        """Return what the first of these servers answers that is known, and there; they are alternatives."""
        why = f"a referral to {', '.join(urls) or 'nowhere'!r:.300} cannot be followed"
        for url in urls:
            try:
                referral = Referral.parse(url)
                exactly = str(Endpoint(referral.host, referral.port))
                name = exactly if exactly in self.others else referral.host
                there, search = self.others[name], elsewhere(operation, referral.base, referral.scope)
            except (ValueError, KeyError, RemoteProtocolError):
                continue
            if len(asked) == MOST or (name, search) in asked:
                raise Refused(Refusal.DIRECTORY_UNAVAILABLE, "servers refer to each other, or to too many")
            asked.add((name, search))
            try:
                answer = await there.search(search)
            except Refused as refused:
                why = refused.reason
            else:
                return await self._whole(_from(answer, name), search, asked)
        raise Refused(Refusal.DIRECTORY_UNAVAILABLE, why)


def _from(answer: Answer, name: str) -> Answer:
    """Return the answer with entries that tell where they are."""
    entries: list[Entry] = [evolve(entry, at=name) for entry in answer.entries]
    return evolve(answer, entries=entries)
