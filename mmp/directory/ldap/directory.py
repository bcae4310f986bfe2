"""The directory behind LDAP: a search on whichever replica answers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Final, Protocol

from attrs import field, frozen

from mmp.directory.entry import Entry
from mmp.directory.ldap.link import Answer, Link
from mmp.directory.ldap.replica import Replica
from mmp.directory.ldap.requests import MOST_ENTRIES, Search
from mmp.directory.ldap.responses import BUSY, SIZE_LIMIT_EXCEEDED, SUCCESS, UNAVAILABLE
from mmp.directory.names import Names
from mmp.errors import Refused
from mmp.model import Refusal

_TRIES: Final = 2


class Searches(Protocol):
    """Whoever has searches answered."""

    async def search(self, operation: bytes, /) -> Answer:
        """Return the answer; Refused if there is none."""


class Replicas:
    """The servers that hold the directory, the preferred one first."""

    def __init__(self, replicas: Sequence[Replica], *, balance: bool = False) -> None:
        """With ``balance`` searches take turns; else all go to the first that is there."""
        self._replicas = list(replicas)
        self._balance = balance

    async def search(self, operation: bytes) -> Answer:
        """Return a replica's answer, from another one if the first fails us; Refused if there is none."""
        order = self._order()
        why = ""
        for _ in range(_TRIES):
            replica, link = await self._reach(order)
            try:
                answer = await replica.search(link, operation)
            except TimeoutError as late:
                raise Refused(Refusal.DIRECTORY_UNAVAILABLE, f"{replica.url}: {late}") from None
            except ConnectionError as lost:
                why = f"{replica.url}: {lost}"
            else:
                if answer.result.code not in {BUSY, UNAVAILABLE}:
                    return answer
                why = f"{replica.url}: {answer.result}"
            order = sorted(order, key=lambda each: (each is replica, each.link is None))
        raise Refused(Refusal.DIRECTORY_UNAVAILABLE, why)

    def close(self) -> None:
        """Close every link."""
        for replica in self._replicas:
            replica.close()

    def _order(self) -> Sequence[Replica]:
        """Return the replicas in the order to try them: one that is connected first; better ones connect meanwhile."""
        if self._balance:
            self._replicas.append(self._replicas.pop(0))
        preferred = list(self._replicas)
        place = next((place for place, replica in enumerate(preferred) if replica.link is not None), 0)
        better = preferred[:place]
        for replica in better:
            replica.prepare()
        return [preferred[place], *better, *preferred[place + 1 :]]

    async def _reach(self, order: Sequence[Replica]) -> tuple[Replica, Link]:
        failures = []
        for replica in order:
            try:
                return replica, await replica.reach()
            except ConnectionError as error:
                failures.append(str(error))
        raise Refused(Refusal.DIRECTORY_UNAVAILABLE, "; ".join(failures))


@frozen
class LDAPDirectory:
    """Users in LDAP; several such may share their replicas."""

    _replicas: Searches = field(repr=False)
    _search: Search = field(repr=False)
    key: Callable[[Names], Hashable] = field(init=False, repr=False, eq=False)
    """Returns the values that the search is filled in with: nothing else in it differs."""

    @key.default
    def _values(self) -> Callable[[Names], Hashable]:
        return self._search.filter.values

    async def find(self, names: Names) -> Sequence[Entry]:
        """Return the entries that the search finds, two at most; Refused if no replica can say."""
        return found(await self._replicas.search(self._search.operation(names)))


def found(answer: Answer) -> Sequence[Entry]:
    """Return the entries that a search found, two at most; Refused if it failed."""
    complete = answer.result.code == SUCCESS
    enough = answer.result.code == SIZE_LIMIT_EXCEEDED and len(answer.entries) == MOST_ENTRIES
    if not (complete or enough):
        raise Refused(Refusal.DIRECTORY_UNAVAILABLE, f"search failed: {answer.result}")
    return answer.entries
