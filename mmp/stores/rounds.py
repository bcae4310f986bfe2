"""Notices logins that come back to us from where we have sent them, and ends them after so many rounds.

It needs nothing of what proxies may tell one another, so it holds for every protocol and whatever `client_address` is.
"""

from __future__ import annotations

from collections.abc import Hashable
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

    def one_more(self, client: Client, user: str, store: str) -> _Round:
        """Count a login from now on, to be entered while it goes on; Refused if there are too many.

        The store is given by its address.
        """
        seen = _seen(client, user, store)
        known = self._under_way.get(seen, 0)
        if known >= MOST:
            why = f"{MOST} logins of this user from there are under way already: proxies seem to form a loop"
            raise Refused(Refusal.INTERNAL, why)
        self._under_way[seen] = known + 1
        return _Round(self._under_way, seen)


class _Round:
    """A login that is counted until this is left; a generator in its place would cost each login six calls."""

    __slots__ = ("_seen", "_under_way")

    def __init__(self, under_way: dict[Hashable, int], seen: Hashable) -> None:
        self._under_way = under_way
        self._seen = seen

    def __enter__(self) -> None:
        """Go on being counted."""

    def __exit__(self, *_: object) -> None:
        """Be counted no more."""
        left = self._under_way.pop(self._seen) - 1
        if left:
            self._under_way[self._seen] = left


def _seen(client: Client, user: str, store: str) -> Hashable:
    """Return what is the same in all rounds: who comes from where they are sent, else the client's own two ends.

    The latter are those of each round where headers tell of the client, and of one connection only where none do.
    Clients on this very host may well be beside their store.
    """
    address, local = client.address, client.local
    if address.host == store != local.host:
        return user, store
    return (
        user,
        address.host,
        address.port,
        local.host,
        local.port,
    )  # endpoints take two calls to hash, six times a login
