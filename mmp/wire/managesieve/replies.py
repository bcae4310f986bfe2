"""What we say to ManageSieve clients: refusals and capabilities (RFC 5804, 1.3 and 1.7)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from mmp.model import Offer, Refusal
from mmp.wire.managesieve.grammar import Status

REFUSALS: Mapping[Refusal, tuple[str, str]] = MappingProxyType(
    {
        Refusal.BANNED: ("", "This address is not welcome for now"),
        Refusal.ACCESS_DENIED: ("", "This address may not use this service"),
        Refusal.TOO_MANY_CONNECTIONS: ("TRYLATER", "Too many connections"),
        Refusal.RATE_EXCEEDED: ("TRYLATER", "Too many attempts in a short time"),
        # One text for unknown user and wrong password; there is no code for it.
        Refusal.BAD_CREDENTIALS: ("", "User name or password is wrong"),
        Refusal.POLICY_REFUSED: ("", "User name or password is wrong"),
        Refusal.NOT_AUTHORIZED: ("", "This user may not log in here, or not as somebody else"),
        Refusal.ACCOUNT_DISABLED: ("", "This account is disabled"),
        Refusal.ACCOUNT_ON_HOLD: ("TRYLATER", "This account is on hold for the moment"),
        Refusal.ACCOUNT_LOCKED: ("", "This account is locked, ask the administrator"),
        Refusal.PASSWORD_EXPIRED: ("", "The password has expired"),
        Refusal.PASSWORD_MUST_CHANGE: ("", "The password must be changed before it can be used"),
        Refusal.PRIVACY_REQUIRED: ("ENCRYPT-NEEDED", "A password is taken only over TLS strong enough"),
        Refusal.TOO_MANY_SESSIONS: ("TRYLATER", "Too many sessions of this user"),
        Refusal.MAILBOX_IN_USE: ("TRYLATER", "The scripts are in use by another session"),
        Refusal.MAILBOX_UNUSABLE: ("TRYLATER", "The scripts cannot be opened, the administrator must look at it"),
        Refusal.TOO_MANY_ERRORS: ("", "Too many errors"),
        Refusal.LOGIN_TIMEOUT: ("TRYLATER", "The login took too long"),
        Refusal.DIRECTORY_UNAVAILABLE: ("TRYLATER", "Logins cannot be checked right now, try again later"),
        Refusal.BACKEND_UNAVAILABLE: ("TRYLATER", "The store cannot be reached right now, try again later"),
        Refusal.SHUTTING_DOWN: ("TRYLATER", "The service is going down, connect again"),
        Refusal.CANCELLED: ("", "Given up by the client"),
        Refusal.INTERNAL: ("TRYLATER", "Internal error"),
    },
)
"""Response code, if any, and text of every refusal: said after NO to a login, after BYE to a connection."""

REFUSAL_BY_CODE: Mapping[bytes, Refusal] = MappingProxyType(
    {
        b"AUTH-TOO-WEAK": Refusal.PRIVACY_REQUIRED,
        b"ENCRYPT-NEEDED": Refusal.PRIVACY_REQUIRED,
        b"LIMIT": Refusal.TOO_MANY_SESSIONS,  # Dovecot's
        b"REFERRAL": Refusal.BACKEND_UNAVAILABLE,
        b"TRYLATER": Refusal.BACKEND_UNAVAILABLE,
    },
)
"""What a store means by the code of its NO to a login; without a code it is BAD_CREDENTIALS."""

TEXT_LIMIT = 512
"""Octets of a store's text that are passed on."""

# IMPLEMENTATION names the store's make, which strangers need not know; OWNER is for those who are logged in.
_DECIDED_HERE = frozenset(b"IMPLEMENTATION SASL STARTTLS VERSION OWNER SIEVE UNAUTHENTICATE XCLIENT".split())
_LINE = re.compile(rb'"[^"\\\x00-\x1f\x7f]{1,100}+"(?: "[^"\\\x00-\x1f\x7f]{1,1000}+")?')
"""A capability without anything in it that would have to be escaped or sent as a literal."""
_CONTROLS_TO_SPACE = bytes.maketrans(bytes((*range(0x20), 0x7F)), b" " * 33)


def wording(refusal: Refusal) -> bytes:
    """Return the response code and text of a refusal, as they follow NO or BYE."""
    code, text = REFUSALS[refusal]
    return f'({code}) "{text}"'.encode("ascii") if code else f'"{text}"'.encode("ascii")


def meaning(status: Status) -> Refusal:
    """Return what a store means by NO or BYE to a login; of a code with details behind slashes the first part counts.

    BYE without a code judges no password.
    """
    otherwise = Refusal.BACKEND_UNAVAILABLE if status.kind == b"BYE" else Refusal.BAD_CREDENTIALS
    return REFUSAL_BY_CODE.get(status.code.partition(b"/")[0], otherwise)


def capabilities(offer: Offer, others: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of the list: ours, those that all stores have, and what the present security allows.

    ``others`` are lines as stores send them; SIEVE has to be in the list, even if nobody knows what the stores have.
    """
    named = {line.partition(b" ")[0].strip(b'"').upper(): line for line in others if _LINE.fullmatch(line)}
    yield b'"IMPLEMENTATION" "mmp"'
    yield named.get(b"SIEVE", b'"SIEVE" ""')
    yield from (line for name, line in named.items() if name not in _DECIDED_HERE)
    yield '"SASL" "{}"'.format(" ".join(offer.mechanisms)).encode("ascii")
    if offer.starttls:
        yield b'"STARTTLS"'
    yield b'"VERSION" "1.0"'
    yield b'"XCLIENT"'  # proxies tell only a store that says so how many more of them there may be


def printable(octets: bytes) -> bytes:
    """Return somebody else's words fit for one reply: bounded, without control characters."""
    return octets[:TEXT_LIMIT].translate(_CONTROLS_TO_SPACE).strip()
