"""Networks that are kept out for a time: found by any address in them, and made by too many failures."""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from mmp.policy.sessions import IPV4

Network = IPv4Network | IPv6Network

MOST: Final = 50_000
"""Bans at a time; for one more, the one that would end first ends."""

Key = tuple[int, int, int]
"""Octets of an address, bits of the prefix, and the prefix itself as a number."""


def _key(network: Network) -> Key:
    return network.max_prefixlen // 8, network.prefixlen, int(network.network_address) >> _host_bits(network)


def _host_bits(network: Network) -> int:
    return network.max_prefixlen - network.prefixlen


def _network(key: Key) -> Network:
    octets, bits, prefix = key
    return ip_network(((prefix << (8 * octets - bits)).to_bytes(octets), bits))


class Bans:
    """Until when each network is banned; infinite: until the ban is lifted."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._until: dict[Key, float] = {}
        self._reasons: dict[Key, str] = {}
        self._lengths: dict[tuple[int, int], int] = {}
        """How many bans there are of each kind of address and number of bits."""
        self._ends: list[tuple[float, Key]] = []
        """A heap; what it says counts only where ``_until`` says the same."""

    def ban(self, now: float, network: Network, until: float, reason: str = "") -> None:
        """Ban a network; a ban of this very network is replaced."""
        key = _key(network)
        self._forget(key)
        self._until[key] = until
        if reason:
            self._reasons[key] = reason
        self._lengths[key[:2]] = self._lengths.get(key[:2], 0) + 1
        heapq.heappush(self._ends, (until, key))
        self._end_what_is_over(now)

    def lift(self, network: Network) -> list[Network]:
        """Lift every ban that covers the network or lies in it, and return those networks."""
        lifted = [banned for banned in map(_network, self._until) if _overlap(banned, network)]
        for banned in lifted:
            self._forget(_key(banned))
        return lifted

    def lift_one(self, network: Network) -> bool:
        """Lift the ban of this very network, if there is one, and say so."""
        key = _key(network)
        there = key in self._until
        self._forget(key)
        return there

    def of(self, now: float, network: Network) -> tuple[float, str] | None:
        """Return until when this very network is banned, and why; None if it is not."""
        key = _key(network)
        until = self._until.get(key, -math.inf)
        return (until, self._reasons.get(key, "")) if until > now else None

    def covering(self, now: float, octets: bytes) -> Network | None:
        """Return a banned network that an address, in 4 or 16 octets, is in."""
        if not self._until:
            return None
        size, address = len(octets), int.from_bytes(octets)
        for length in self._lengths:
            if length[0] == size:
                key = *length, address >> (8 * size - length[1])
                if self._until.get(key, -math.inf) > now:
                    return _network(key)
        return None

    def listed(self, now: float) -> Iterator[tuple[Network, float, str]]:
        """Yield each network that is banned, until when, and why; none may be banned meanwhile."""
        return ((_network(key), until, self._reasons.get(key, "")) for key, until in self._until.items() if until > now)

    def _forget(self, key: Key) -> None:
        if self._until.pop(key, None) is not None:
            self._reasons.pop(key, None)
            self._lengths[key[:2]] -= 1
            if not self._lengths[key[:2]]:
                del self._lengths[key[:2]]

    def _end_what_is_over(self, now: float) -> None:
        """End what time has ended, and what there is no room for; of the heap, drop what no longer counts."""
        while self._ends:
            until, key = self._ends[0]
            counts = self._until.get(key) == until
            if counts and until > now and len(self._until) <= self._most:
                break
            heapq.heappop(self._ends)
            if counts:
                self._forget(key)
        if len(self._ends) > 2 * len(self._until) + 100:
            self._ends = [(until, key) for key, until in self._until.items()]
            heapq.heapify(self._ends)

    def __len__(self) -> int:
        return len(self._until)


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def network_of(household: bytes) -> Network:
    """Return the network that a household is: an IPv4 address, or as much of IPv6 as one customer is given."""
    if len(household) == IPV4:
        return IPv4Network(household)
    return IPv6Network((household.ljust(16, b"\0"), 8 * len(household)))


class Threshold:
    """Tells when a household has failed so often within a time; the same failure, by its digest, counts once."""

    def __init__(self, after: int, window: float, size: int) -> None:
        """``window`` is in seconds; of ``size`` households failures are remembered."""
        self.after = after
        self.window = window
        self._size = size
        self._failures: OrderedDict[bytes, list[tuple[float, bytes]]] = OrderedDict()

    def reached(self, now: float, household: bytes, digest: bytes) -> bool:
        """Count a failure; return whether it was one too many, and begin anew then."""
        recent = [each for each in self._failures.pop(household, ()) if now - each[0] < self.window]
        if all(known != digest for _, known in recent):
            recent.append((now, digest))
        if len(recent) >= self.after:
            return True
        self._failures[household] = recent
        while len(self._failures) > self._size:
            self._failures.popitem(last=False)
        return False

    def state(self) -> list[tuple[bytes, list[tuple[float, bytes]]]]:
        """Return what is remembered, in builtin types, for ``restore``."""
        return list(self._failures.items())

    def restore(self, state: Iterable[tuple[bytes, list[tuple[float, bytes]]]]) -> None:
        """Take what ``state`` told, on the same clock, in place of what is remembered."""
        self._failures = OrderedDict(state)

    def __len__(self) -> int:
        return len(self._failures)
