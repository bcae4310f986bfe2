"""SASL mechanisms (RFC 4422), one file each: the half toward the client is in the table, the other is a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mmp.model import Replay
from mmp.wire.sasl import external, login, oauthbearer, plain, scram, xoauth2
from mmp.wire.sasl.cram_md5 import CramMD5Server
from mmp.wire.sasl.login import responses as login_responses
from mmp.wire.sasl.mechanism import Cancelled, SASLError, ServerMechanism, identity

MECHANISMS: Mapping[str, Callable[[bytes], ServerMechanism]] = MappingProxyType(
    {
        "PLAIN": lambda _timestamp: plain.PlainServer(),
        "LOGIN": lambda _timestamp: login.LoginServer(),
        "XOAUTH2": lambda _timestamp: xoauth2.XOAuth2Server(),
        "OAUTHBEARER": lambda _timestamp: oauthbearer.OAuthBearerServer(),
        "SCRAM-SHA-256": lambda _timestamp: scram.ScramServer("SCRAM-SHA-256"),
        "SCRAM-SHA-1": lambda _timestamp: scram.ScramServer("SCRAM-SHA-1"),
        "CRAM-MD5": CramMD5Server,
        "EXTERNAL": lambda _timestamp: external.ExternalServer(),
    },
)
"""Every mechanism that we can play toward a client, by its registered name; made with the connection's timestamp."""

_INITIAL_RESPONSES: Mapping[str, Callable[[Replay], bytes]] = MappingProxyType(
    {
        "PLAIN": plain.initial_response,
        "XOAUTH2": xoauth2.initial_response,
        "OAUTHBEARER": oauthbearer.initial_response,
        "SCRAM-SHA-256": scram.initial_response,
        "SCRAM-SHA-1": scram.initial_response,
    },
)


TOKENS = frozenset({"XOAUTH2", "OAUTHBEARER"})
"""Those whose secret is an access token: who has issued it can judge it, no directory."""


def replayed(mechanism: str) -> str:
    """Return the mechanism by which the store hears what a client has said by this one: itself, or PLAIN for any other.

    That is also so for what is no mechanism of SASL's, such as the commands that take a password.
    """
    return mechanism if mechanism in _INITIAL_RESPONSES else "PLAIN"


def initial_response(replay: Replay) -> bytes:
    """Return the first message to the store; Refused if what is to be said cannot be said in the mechanism."""
    return _INITIAL_RESPONSES[replay.mechanism](replay)


__all__ = [
    "MECHANISMS",
    "TOKENS",
    "Cancelled",
    "SASLError",
    "ServerMechanism",
    "identity",
    "initial_response",
    "login_responses",
    "replayed",
]
