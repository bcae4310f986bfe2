"""What we say to POP3 clients: refusals and capabilities (RFC 2449, 6 and 8; response codes of RFC 3206)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from mmp.model import Offer, Refusal

REFUSALS: Mapping[Refusal, tuple[str, str]] = MappingProxyType(
    {
        # Who is not wanted need not come back soon: SYS/TEMP would ask for that.
        Refusal.BANNED: ("", "This address is not welcome for now"),
        Refusal.ACCESS_DENIED: ("", "This address may not use this service"),
        Refusal.TOO_MANY_CONNECTIONS: ("SYS/TEMP", "Too many connections"),
        Refusal.RATE_EXCEEDED: ("SYS/TEMP", "Too many attempts in a short time"),
        # One text for unknown user and wrong password (RFC 1939, 7). AUTH alone lets a client ask for the password.
        Refusal.BAD_CREDENTIALS: ("AUTH", "User name or password is wrong"),
        Refusal.POLICY_REFUSED: ("AUTH", "User name or password is wrong"),
        Refusal.NOT_AUTHORIZED: ("AUTH", "This user may not log in here, or not as somebody else"),
        Refusal.ACCOUNT_DISABLED: ("AUTH", "This account is disabled"),
        Refusal.ACCOUNT_ON_HOLD: ("SYS/TEMP", "This account is on hold for the moment"),
        Refusal.ACCOUNT_LOCKED: ("AUTH", "This account is locked, ask the administrator"),
        Refusal.PASSWORD_EXPIRED: ("AUTH", "The password has expired"),
        Refusal.PASSWORD_MUST_CHANGE: ("AUTH", "The password must be changed before it can be used"),
        Refusal.PRIVACY_REQUIRED: ("SYS/PERM", "A password is taken only over TLS strong enough"),
        Refusal.TOO_MANY_SESSIONS: ("SYS/TEMP", "Too many sessions of this user"),
        Refusal.MAILBOX_IN_USE: ("IN-USE", "The maildrop is in use by another session"),
        Refusal.MAILBOX_UNUSABLE: ("SYS/PERM", "The maildrop cannot be opened, the administrator must look at it"),
        Refusal.TOO_MANY_ERRORS: ("", "Too many errors"),
        Refusal.LOGIN_TIMEOUT: ("SYS/TEMP", "The login took too long"),
        Refusal.DIRECTORY_UNAVAILABLE: ("SYS/TEMP", "Logins cannot be checked right now, try again later"),
        Refusal.BACKEND_UNAVAILABLE: ("SYS/TEMP", "The mail store cannot be reached right now, try again later"),
        Refusal.SHUTTING_DOWN: ("SYS/TEMP", "The service is going down, connect again"),
        Refusal.CANCELLED: ("", "Given up by the client"),
        Refusal.INTERNAL: ("SYS/TEMP", "Internal error"),
    },
)
"""Response code, if any, and text of every refusal, as they follow -ERR."""

REFUSAL_BY_CODE: Mapping[bytes, Refusal] = MappingProxyType(
    {
        b"AUTH": Refusal.BAD_CREDENTIALS,
        b"IN-USE": Refusal.MAILBOX_IN_USE,
        b"LOGIN-DELAY": Refusal.RATE_EXCEEDED,
        b"SYS/PERM": Refusal.MAILBOX_UNUSABLE,
        b"SYS/TEMP": Refusal.BACKEND_UNAVAILABLE,
    },
)
"""What a store means by the code of its -ERR to a login (RFC 2449, 8.1; RFC 3206, 4)."""

TEXT_LIMIT = 480
"""Octets of a store's text that are passed on: a first line of a response has at most 512 (RFC 2449, 4)."""

_OURS = (b"RESP-CODES", b"AUTH-RESP-CODE")
# IMPLEMENTATION names the store's make, which strangers need not know. UTF8 and LANG are commands for before the login,
# where we could not honour them: UTF8 belongs to a session that is still to come (RFC 6856, 2 and 3).
_DECIDED_HERE = frozenset(b"RESP-CODES AUTH-RESP-CODE USER SASL STLS IMPLEMENTATION UTF8 LANG XCLIENT".split())
_LINE = re.compile(rb"[!-~]+(?: [!-~]+)*")
_LINE_LIMIT = 500
_CONTROLS_TO_SPACE = bytes.maketrans(bytes((*range(0x20), 0x7F)), b" " * 33)


def wording(refusal: Refusal) -> bytes:
    """Return the response code and text of a refusal, as they follow -ERR."""
    code, text = REFUSALS[refusal]
    return f"[{code}] {text}".encode("ascii") if code else text.encode("ascii")


def meaning(code: bytes, capabilities: Iterable[bytes]) -> Refusal:
    """Return what a store means by -ERR to a login.

    Of a code with details behind slashes the part that is known counts (RFC 2449, 8). Without one it is a wrong
    password, unless the store has promised to say so by AUTH (RFC 3206, 5).
    """
    while code and code not in REFUSAL_BY_CODE:
        code = code.rpartition(b"/")[0]
    if code:
        return REFUSAL_BY_CODE[code]
    promised = b"AUTH-RESP-CODE" in (line.upper() for line in capabilities)
    return Refusal.BACKEND_UNAVAILABLE if promised else Refusal.BAD_CREDENTIALS


def capabilities(offer: Offer, others: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines for CAPA: ours, those that all stores have, and what the present security allows."""
    yield from _OURS
    yield from (line for line in others if _is_passed_on(line))
    if offer.starttls:
        yield b"STLS"
    if offer.plaintext:
        yield b"USER"
    if offer.mechanisms:
        yield " ".join(("SASL", *offer.mechanisms)).encode("ascii")


def text(octets: bytes) -> bytes:
    """Return somebody else's words fit for one reply: bounded, without control characters or what looks like a code."""
    return octets[:TEXT_LIMIT].translate(_CONTROLS_TO_SPACE).lstrip(b"[ ").rstrip()


def _is_passed_on(line: bytes) -> bool:
    decided_here = line.upper().partition(b" ")[0] in _DECIDED_HERE
    return not decided_here and len(line) <= _LINE_LIMIT and _LINE.fullmatch(line) is not None
