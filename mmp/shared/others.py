"""What a home asks of other hosts, and tells them; and what is so where there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from mmp.policy.bans import Network, Threshold
from mmp.policy.counts import ROOM, Claim, Verdict
from mmp.policy.rate import Rate
from mmp.policy.throttle import Attempt, Known, Turn

Claims = tuple[Claim, ...]

UNREACHABLE: Final = "shared state"
"""The limit that refuses, if it is to, while other hosts cannot be asked."""


class Asked(Protocol):
    """Other hosts that can be asked: each question is answered by one call, and in a tenth of a second at most."""

    def take(self, claims: Claims, answered: Callable[[Verdict], None], /) -> None:
        """Ask whether slots may be held that have been taken here; those refused are then given back here."""

    def wait(self, limit: str, key: bytes, rate: Rate, answered: Callable[[float], None], /) -> None:
        """Count an event, here if the answer is late; answer in how many seconds there is room for it."""

    def look(self, household: bytes, user: bytes, answered: Callable[[Known | None, str], None], /) -> None:
        """Ask what is known of a household and a user; or the answer is the limit that refuses for want of others."""


class Others(Protocol):
    """The other hosts, whether they can be asked or not."""

    @property
    def asked(self) -> Asked | None:
        """Who is to be asked before the answer is yes; None if nobody is, or nobody can be."""

    @property
    def alone(self) -> Verdict:
        """What is said in their place then."""

    def gave_back(self, claims: Claims, /) -> None:
        """Tell that slots are held here no more."""

    def took(self, claims: Claims, /) -> None:
        """Tell that slots are held that nobody was asked for."""

    def uncount(self, limit: str, key: bytes, rate: Rate, /) -> None:
        """Tell that an event that was counted has not happened."""

    def changed(self, turn: Turn, attempt: Attempt, /) -> None:
        """Tell of what has become of an attempt."""

    def strike(self, household: bytes, digest: bytes, here: Threshold, reached: Callable[[], None], /) -> None:
        """Count a failure that may come to a ban, here if others cannot be told; ``reached`` if it was one too many."""

    def banned(self, network: Network, seconds: float, reason: str, /) -> bool:
        """Have a network banned at all hosts; False if only this one can."""

    def lifted(self, network: Network, /) -> bool:
        """Have a ban lifted at all hosts; False if only this one can."""

    def kicked(self, target: str, /) -> bool:
        """Have sessions ended at all hosts; False if only this one can."""


class Elsewhere(Protocol):
    """Whoever is told what was done at other hosts, and does likewise here."""

    def banned(self, network: Network, seconds: float, reason: str, /) -> None:
        """Ban a network."""

    def lifted(self, network: Network, /) -> None:
        """Lift a ban."""

    def kicked(self, target: str, /) -> None:
        """End sessions."""

    def untold(self) -> Iterable[tuple[Network, float, str]]:
        """Return what was done here and is yet to be told: networks banned for so many seconds and why, 0 if lifted."""

    def told(self, network: Network, /) -> None:
        """Know that of a network it is told."""


class Nobody:
    """No other hosts: what is decided here is decided. ``refusing``: nobody can be asked, and that is a refusal."""

    def __init__(self, now: Callable[[], float], *, refusing: bool = False) -> None:
        self.asked = None
        self.alone = Verdict(UNREACHABLE) if refusing else ROOM
        self._now = now

    def gave_back(self, claims: Claims) -> None:
        """Tell nobody."""

    def took(self, claims: Claims) -> None:
        """Tell nobody."""

    def uncount(self, _limit: str, key: bytes, rate: Rate) -> None:
        """Know it here."""
        rate.give_back(key)

    def changed(self, turn: Turn, attempt: Attempt) -> None:
        """Tell nobody."""

    def strike(self, household: bytes, digest: bytes, here: Threshold, reached: Callable[[], None]) -> None:
        """Count here."""
        if here.reached(self._now(), household, digest):
            reached()

    def banned(self, _network: Network, _seconds: float, _reason: str) -> bool:
        """Tell nobody."""
        return False

    def lifted(self, _network: Network) -> bool:
        """Tell nobody."""
        return False

    def kicked(self, _target: str) -> bool:
        """Tell nobody."""
        return False
