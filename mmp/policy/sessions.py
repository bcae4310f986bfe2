"""Which limits on simultaneous sessions speak of a client or an account, and under which key each counts."""

from __future__ import annotations

from collections.abc import Container, Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from attrs import field, frozen

from mmp.policy.counts import Claim

Network = IPv4Network | IPv6Network

IPV4: Final = 4
"""Octets of an address."""
HOUSEHOLD: Final = 8
"""Octets of an IPv6 address that a household shares: it is given a /64, and any of its addresses in turn."""


def household(octets: bytes) -> bytes:
    """Return what of an address is counted: of IPv6 the network, since whoever has one address there has them all."""
    return octets if len(octets) == IPV4 else octets[:HOUSEHOLD]


@frozen
class AddressRule:
    """So many sessions for each address of a network, or for each of its networks with this prefix; 0 = any number."""

    network: Network
    sessions: int
    prefix: int = 0
    observed: bool = False

    @property
    def limit(self) -> str:
        """Its name in the log."""
        return f"per_address {self.network}"


@frozen
class _Row:
    """A rule as it is looked up: with numbers instead of networks."""

    mask: int
    network: int
    together: int
    most: int
    limit: str
    observed: bool


class AddressRules:
    """Rules of which the one with the most specific network speaks, and of several with the same the first."""

    def __init__(self, rules: Iterable[AddressRule]) -> None:
        ordered = sorted(rules, key=lambda rule: -rule.network.prefixlen)
        self._rows = {
            version: [_row(rule) for rule in ordered if rule.network.version == version] for version in (4, 6)
        }

    def claims(self, octets: bytes) -> tuple[Claim, ...]:
        """Return what a client claims; nothing, if it has no address or no rule speaks of it."""
        if not octets:
            return ()
        address = int.from_bytes(octets)
        for row in self._rows[4 if len(octets) == IPV4 else 6]:
            if address & row.mask == row.network:
                return (Claim(row.limit, address & row.together, row.most, row.observed),) if row.most else ()
        return ()


def _row(rule: AddressRule) -> _Row:
    prefix = rule.prefix or (32 if rule.network.version == IPV4 else 8 * HOUSEHOLD)
    longest = rule.network.max_prefixlen
    return _Row(
        mask=int(rule.network.netmask),
        network=int(rule.network.network_address),
        together=(1 << longest) - (1 << (longest - max(prefix, rule.network.prefixlen))),
        most=rule.sessions,
        limit=rule.limit,
        observed=rule.observed,
    )


@frozen
class SessionLimits:
    """All of them; a number of 0 means no limit. ``observed`` names those that only tell."""

    sessions: int = 0
    per_address: AddressRules = field(factory=lambda: AddressRules(()))
    per_user: int = 0
    per_backend: int = 0
    observed: Container[str] = ()

    def at_the_door(self, octets: bytes) -> tuple[Claim, ...]:
        """Return what a client claims that connects from an address."""
        here = self.per_address.claims(octets)
        return (Claim("sessions", None, self.sessions, "sessions" in self.observed), *here) if self.sessions else here

    def of_account(self, user: str, backend: str) -> tuple[Claim, ...]:
        """Return what somebody claims that logs in."""
        there = (Claim("per_backend", backend, self.per_backend, "per_backend" in self.observed),)
        if not self.per_user:
            return there if self.per_backend else ()
        of_user = Claim("per_user", user, self.per_user, "per_user" in self.observed)
        return (of_user, *there) if self.per_backend else (of_user,)
