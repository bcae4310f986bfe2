"""How many slots are held, each under several limits at once: all of them have room, or none is taken."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from attrs import frozen


@frozen
class Claim:
    """One slot that is wanted under a limit: of those with this key, ``most`` may be held.

    A limit that is only ``observed`` tells when it would have refused.
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


class Counts:
    """Slots held, by limit and key; what nobody holds takes no memory."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, Hashable], int] = {}

    def take(self, claims: Iterable[Claim]) -> Verdict:
        """Take a slot under each, unless the verdict says that one refuses."""
        claims = tuple(claims)
        full = [claim for claim in claims if self.held(claim) >= claim.most]
        refusing = next((claim.limit for claim in full if not claim.observed), "")
        if not refusing:
            for claim in claims:
                self._held[claim.limit, claim.key] = self.held(claim) + 1
        return Verdict(refusing, tuple(claim.limit for claim in full if claim.observed)) if full else ROOM

    def take_anyway(self, claims: Iterable[Claim]) -> None:
        """Take slots that were granted elsewhere already."""
        for claim in claims:
            self._held[claim.limit, claim.key] = self.held(claim) + 1

    def give_back(self, claims: Iterable[Claim]) -> None:
        """Give back what was taken under the same claims."""
        for claim in claims:
            left = self.held(claim) - 1
            if left > 0:
                self._held[claim.limit, claim.key] = left
            else:
                self._held.pop((claim.limit, claim.key), None)

    def held(self, claim: Claim) -> int:
        """Return how many slots are held under the claim's limit and key."""
        return self._held.get((claim.limit, claim.key), 0)

    def everything(self) -> list[Claim]:
        """Return a claim for each limit and key under which slots are held; ``most`` is how many."""
        return [Claim(limit, key, count) for (limit, key), count in self._held.items()]

    def __len__(self) -> int:
        return len(self._held)
