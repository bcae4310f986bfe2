"""Domains that have an entry in the directory, which says where their users are and what is special about them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from attrs import field, frozen

from mmp.directory.entry import Entry
from mmp.directory.interface import Directory
from mmp.directory.names import Names
from mmp.directory.replay import ReplayName
from mmp.errors import Refused
from mmp.model import Refusal


@frozen
class Domain:
    """A domain: its one name, and its users.

    ``scope`` is what its users are searched by apart from their names; users of two domains with equal scopes are found
    alike. ``replay_user`` and ``verified_here`` stand in place of what is configured, unless None. ``fault`` says what
    keeps the domain from being served, if its entry makes no sense.
    """

    name: str
    entry: Entry
    users: Directory[Entry] = field(repr=False)
    scope: Hashable = ()
    replay_user: ReplayName | None = None
    verified_here: bool | None = None
    fault: str = ""


@frozen
class Domains:
    """Says which domain a user is in."""

    directory: Directory[Domain]

    async def place(self, names: Names) -> Names:
        """Return the names with the domain they are in, called by its one name; as they are if there is none.

        Refused if the directory cannot say, or says what makes no sense.
        """
        if not names.domain:
            return names
        found = await self.directory.find(names)
        if len(found) != 1:
            return names
        (domain,) = found
        if domain.fault:
            raise Refused(Refusal.DIRECTORY_UNAVAILABLE, f"{domain.entry.name}: {domain.fault}")
        return names._replace(within=domain, domain=domain.name, full=f"{names.user}@{domain.name}")


class UsersOfDomains:
    """Finds users in the domain they are in; those in none are nobody."""

    def key(self, names: Names) -> Hashable:
        """Return the domain's scope and its own key."""
        return names.within and (names.within.scope, names.within.users.key(names))

    async def find(self, names: Names) -> Sequence[Entry]:
        """Return what the domain's own search finds."""
        return await names.within.users.find(names) if names.within is not None else ()
