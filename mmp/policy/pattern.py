"""Patterns for a client's address or host name, as tcp_wrappers has them."""

from __future__ import annotations

import enum
import re
from ipaddress import (
    IPv4Address,
    IPv6Address,
    ip_address,
    ip_network,
)
from typing import Final, Protocol

from attrs import frozen

from mmp.policy.networks import Network, unmapped

Address = IPv4Address | IPv6Address

_LABEL: Final = "[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_HOST: Final = re.compile(rf"\.?(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}")
"""A last label of digits alone makes an address, and a mistaken one."""
_PREFIX: Final = re.compile(r"(?:[0-9]{1,3}\.){1,3}")
_OCTETS: Final = 4


class Pattern(Protocol):
    """Some clients."""

    def match(self, address: Address, host: str | None) -> bool | None:
        """Tell whether this is one of them; None if that depends on the host name, which is None while not known."""


class Wildcard(enum.Enum):
    """Words that stand for many clients."""

    ALL = "ALL"
    LOCAL = "LOCAL"
    KNOWN = "KNOWN"
    UNKNOWN = "UNKNOWN"
    DNSSPOOFER = "DNSSPOOFER"

    def match(self, address: Address, host: str | None) -> bool | None:  # noqa: ARG002 - a pattern's
        """Tell whether this is one of them; an empty host name stands for an address that has none.

        Names that do not lead back to the address are not known to us, so nobody is seen to be a DNSSPOOFER.
        """
        if self is Wildcard.ALL:
            return True
        if host is None or self is Wildcard.DNSSPOOFER:
            return None
        if self is Wildcard.LOCAL:
            return bool(host) and "." not in host
        return bool(host) == (self is Wildcard.KNOWN)

    def __str__(self) -> str:
        return self.value


@frozen
class Within:
    """The clients of a network, or of one address."""

    network: Network

    def match(self, address: Address, host: str | None) -> bool:  # noqa: ARG002 - a pattern's
        """Tell whether the address is in it."""
        return address in self.network

    def __str__(self) -> str:
        one = self.network.prefixlen == self.network.max_prefixlen
        return str(self.network.network_address if one else self.network)


@frozen
class Named:
    """The client of this host name, or with a dot in front all whose names end in it."""

    name: str

    def match(self, address: Address, host: str | None) -> bool | None:  # noqa: ARG002 - a pattern's
        """Tell whether the host name is one of these."""
        if host is None:
            return None
        return host.lower().endswith(self.name) if self.name.startswith(".") else host.lower() == self.name

    def __str__(self) -> str:
        return self.name


def address_of(text: str) -> Address:
    """Return an address; one of IPv4 that was written as IPv6 is what it stands for."""
    address = ip_address(text.partition("%")[0])
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def parse_pattern(word: str) -> Pattern:
    """Read a pattern; ValueError, worded for the operator, if it is none or cannot be judged here."""
    if word == "*":
        return Wildcard.ALL
    if word.upper() in Wildcard.__members__:
        return Wildcard[word.upper()]
    if "@" in word:
        raise ValueError(f'has "{word}": netgroups and users of client machines cannot be judged')
    if (network := _network(word)) is not None:
        return Within(network)
    if not _HOST.fullmatch(word.lower()):
        raise ValueError(f'has "{word}", which is no address, network or host name')
    return Named(word.lower())


def _network(word: str) -> Network | None:
    """Return the network that a word stands for, None if it does not look like one."""
    text, slash, mask = word.partition("/")
    try:
        if _PREFIX.fullmatch(text) and not slash:
            given = text.count(".")
            return ip_network(f"{text}{'.'.join('0' * (_OCTETS - given))}/{8 * given}")
        network = unmapped(ip_network(text.strip("[]") + slash + mask))
    except ValueError:
        return None
    if "." in mask and str(network.netmask) != mask:  # 0.0.0.255 is taken for the mask's complement by the library
        return None
    return network
