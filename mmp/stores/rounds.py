"""Notices logins that come back to us from where we have sent them, and ends them after so many rounds.

It needs nothing of what proxies may tell one another, so it holds for every protocol and whatever `client_address` is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Final

from attrs import define, field

from mmp.errors import Refused
from mmp.model import Client, Refusal

MOST: Final = 32
"""Logins under way that look like rounds of one: as many as may connect to a store at a time, by default."""


@define(eq=False)
class Rounds:
    """Counts the logins under way that cannot be told from one another."""

    _under_way: dict[Hashable, int] = field(factory=dict, init=False)

    @contextmanager
    def one_more(self, client: Client, user: str, store: str) -> Iterator[None]:
        """Count a login while it goes on at a store, which is given by its address; Refused if there are too many."""
        seen = _seen(client, user, store)
        known = self._under_way.get(seen, 0)
        if known >= MOST:
            why = f"{MOST} logins of this user from there are under way already: proxies seem to form a loop"
            raise Refused(Refusal.INTERNAL, why)
        self._under_way[seen] = known + 1
        try:
            yield
        finally:
            self._under_way[seen] -= 1
            if not self._under_way[seen]:
                del self._under_way[seen]


def _seen(client: Client, user: str, store: str) -> Hashable:
    """Return what is the same in all rounds: who comes from where they are sent, else the client's own two ends.

    The latter are those of each round where headers tell of the client, and of one connection only where none do.
    Clients on this very host may well be beside their store.
    """
    if client.address.host == store != client.local.host:
        return user, store
    return user, client.address, client.local
