"""How many slots are held, each under several limits at once: all of them have room, or none is taken."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

from attrs import frozen


class Claim(NamedTuple):
    """One slot that is wanted under a limit: of those with this key, ``most`` may be held.

    A limit that is only ``observed`` tells when it would have refused. Every login makes some: a named tuple takes a
    third of what a frozen class does.
    """

    limit: str
    key: Hashable
    most: int
    observed: bool = False


@frozen
class Verdict:
    """Which limit refuses, none being empty; and which would have, if they were more than observed."""

    refused: str = ""
    observed: tuple[str, ...] = ()


ROOM = Verdict()


def verdict_on(full: Sequence[Claim]) -> Verdict:
    """Return what comes of claims for which there is no room: the first that is more than observed refuses."""
    refusing = next((claim.limit for claim in full if not claim.observed), "")
    return Verdict(refusing, tuple(claim.limit for claim in full if claim.observed))


class Counts:
    """Slots held, by limit and key; what nobody holds takes no memory."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, Hashable], int] = {}

    def take(self, claims: Sequence[Claim]) -> Verdict:
        """Take a slot under each, unless the verdict says that one refuses."""
        held = self._held
        full = [claim for claim in claims if held.get((claim.limit, claim.key), 0) >= claim.most]
        verdict = verdict_on(full) if full else ROOM
        if not verdict.refused:
            self.take_anyway(claims)
        return verdict

    def take_anyway(self, claims: Iterable[Claim]) -> None:
        """Take slots that were granted elsewhere already."""
        held = self._held
        for limit, key, _, _ in claims:
            held[limit, key] = held.get((limit, key), 0) + 1

    def give_back(self, claims: Iterable[Claim]) -> None:
        """Give back what was taken under the same claims."""
        held = self._held
        for limit, key, _, _ in claims:
            left = held.get((limit, key), 0) - 1
            if left > 0:
                held[limit, key] = left
            else:
                held.pop((limit, key), None)

    def held(self, claim: Claim) -> int:
        """Return how many slots are held under the claim's limit and key."""
        return self._held.get((claim.limit, claim.key), 0)

    def everything(self) -> list[Claim]:
        """Return a claim for each limit and key under which slots are held; ``most`` is how many."""
        return [Claim(limit, key, count) for (limit, key), count in self._held.items()]

    def __len__(self) -> int:
        return len(self._held)
