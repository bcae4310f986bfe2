"""SASL mechanisms (RFC 4422), one file each: the half toward the client is in the table, the other is a function."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mmp.wire.sasl.mechanism import SASLError, ServerMechanism, identity
from mmp.wire.sasl.plain import PlainServer

MECHANISMS: Mapping[str, type[ServerMechanism]] = MappingProxyType({"PLAIN": PlainServer})
"""Every mechanism we can play toward a client, by its registered name."""

__all__ = ["MECHANISMS", "SASLError", "ServerMechanism", "identity"]
