"""SASL mechanisms (RFC 4422), one file each: the half toward the client is in the table, the other is a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mmp.model import Replay
from mmp.wire.sasl import plain
from mmp.wire.sasl.mechanism import SASLError, ServerMechanism, identity

MECHANISMS: Mapping[str, Callable[[bytes], ServerMechanism]] = MappingProxyType(
    {
        "PLAIN": lambda _timestamp: plain.PlainServer(),
    },
)
"""Every mechanism that we can play toward a client, by its registered name; made with the connection's timestamp."""

_INITIAL_RESPONSES: Mapping[str, Callable[[Replay], bytes]] = MappingProxyType(
    {
        "PLAIN": plain.initial_response,
    },
)


def initial_response(replay: Replay) -> bytes:
    """Return the first message to the store; Refused(BAD_CREDENTIALS) if name or secret cannot be said in it."""
    return _INITIAL_RESPONSES[replay.mechanism](replay)


__all__ = ["MECHANISMS", "SASLError", "ServerMechanism", "identity", "initial_response"]
