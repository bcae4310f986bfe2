"""Networks of IPv4 that are written as ones of IPv6 (RFC 4291, 2.5.5.2): clients from there are known as IPv4."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Final

Network = IPv4Network | IPv6Network

_MAPPED: Final = IPv6Network("::ffff:0:0/96")


def unmapped(network: Network) -> Network:
    """Return the network of IPv4 that one of IPv6 stands for, or the very network if it stands for none."""
    if not isinstance(network, IPv6Network) or not network.subnet_of(_MAPPED):
        return network
    return IPv4Network((network.network_address.packed[12:], network.prefixlen - _MAPPED.prefixlen))
