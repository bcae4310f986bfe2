"""Does here what was done at other hosts: bans, lifts and kicks that a store has told of."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import frozen

from mmp.policy.bans import Network
from mmp.shared.kept_bans import KeptBans


@frozen
class Likewise:
    """Hands on to whoever does the same at an operator's command."""

    bans: KeptBans
    end_sessions: Callable[[str], object]

    def banned(self, network: Network, seconds: float, reason: str) -> None:
        """Ban a network."""
        self.bans.learn(network, seconds, reason)

    def lifted(self, network: Network) -> None:
        """Lift a ban."""
        self.bans.unlearn(network)

    def kicked(self, target: str) -> None:
        """End sessions."""
        self.end_sessions(target)

    def untold(self) -> Iterator[tuple[Network, float, str]]:
        """Yield what was done here and is yet to be told."""
        return ((ban.network, ban.seconds, ban.reason) for ban in self.bans.untold())

    def told(self, network: Network) -> None:
        """Know that of a network it is told."""
        self.bans.told(network)
