"""What we say to IMAP clients: refusals, goodbyes, capabilities (RFC 9051, 7; response codes of RFC 5530, 3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from mmp.model import Offer, Refusal
from mmp.wire.events import LoggedIn

REFUSALS: Mapping[Refusal, tuple[str, str]] = MappingProxyType(
    {
        # At the door no code fits but LIMIT: the client has asked for nothing that another could be about.
        Refusal.BANNED: ("", "This address is not welcome for now"),
        Refusal.ACCESS_DENIED: ("", "This address may not use this service"),
        Refusal.TOO_MANY_CONNECTIONS: ("LIMIT", "Too many connections"),
        Refusal.RATE_EXCEEDED: ("LIMIT", "Too many attempts in a short time"),
        # One text for unknown user and wrong password (RFC 9051, 11.7).
        Refusal.BAD_CREDENTIALS: ("AUTHENTICATIONFAILED", "User name or password is wrong"),
        Refusal.POLICY_REFUSED: ("AUTHENTICATIONFAILED", "User name or password is wrong"),
        Refusal.NOT_AUTHORIZED: ("AUTHORIZATIONFAILED", "This user may not log in here, or not as somebody else"),
        Refusal.ACCOUNT_DISABLED: ("AUTHORIZATIONFAILED", "This account is disabled"),
        Refusal.ACCOUNT_ON_HOLD: ("UNAVAILABLE", "This account is on hold for the moment"),
        Refusal.ACCOUNT_LOCKED: ("CONTACTADMIN", "This account is locked, ask the administrator"),
        Refusal.PASSWORD_EXPIRED: ("EXPIRED", "The password has expired"),
        Refusal.PASSWORD_MUST_CHANGE: ("CONTACTADMIN", "The password must be changed before it can be used"),
        Refusal.PRIVACY_REQUIRED: ("PRIVACYREQUIRED", "A password is taken only over TLS strong enough"),
        Refusal.TOO_MANY_SESSIONS: ("LIMIT", "Too many sessions of this user"),
        Refusal.MAILBOX_IN_USE: ("INUSE", "The mailbox is in use by another session"),
        Refusal.MAILBOX_UNUSABLE: ("CORRUPTION", "The mailbox cannot be opened, the administrator must look at it"),
        Refusal.TOO_MANY_ERRORS: ("", "Too many errors"),
        Refusal.LOGIN_TIMEOUT: ("UNAVAILABLE", "The login took too long"),
        Refusal.DIRECTORY_UNAVAILABLE: ("UNAVAILABLE", "Logins cannot be checked right now, try again later"),
        Refusal.BACKEND_UNAVAILABLE: ("UNAVAILABLE", "The mail store cannot be reached right now, try again later"),
        Refusal.SHUTTING_DOWN: ("UNAVAILABLE", "The service is going down, connect again"),
        Refusal.CANCELLED: ("", "Given up by the client"),
        Refusal.INTERNAL: ("SERVERBUG", "Internal error"),
    },
)
"""Response code, if any, and text of every refusal: said after NO to a login, after BYE to a connection."""

REFUSAL_BY_CODE: Mapping[bytes, Refusal] = MappingProxyType(
    {
        b"AUTHENTICATIONFAILED": Refusal.BAD_CREDENTIALS,
        b"AUTHORIZATIONFAILED": Refusal.NOT_AUTHORIZED,
        b"EXPIRED": Refusal.PASSWORD_EXPIRED,
        b"PRIVACYREQUIRED": Refusal.PRIVACY_REQUIRED,
        b"CONTACTADMIN": Refusal.ACCOUNT_DISABLED,  # RFC 5530 says only whom to ask; Dovecot means a disabled login
        b"LIMIT": Refusal.TOO_MANY_SESSIONS,
        b"UNAVAILABLE": Refusal.BACKEND_UNAVAILABLE,
        b"REFERRAL": Refusal.BACKEND_UNAVAILABLE,  # RFC 2221: the mail is elsewhere, the password was not judged
        b"INUSE": Refusal.MAILBOX_IN_USE,
        b"CORRUPTION": Refusal.MAILBOX_UNUSABLE,
        b"SERVERBUG": Refusal.BACKEND_UNAVAILABLE,
    },
)
"""What a store means by the code of its NO to a login; without a code it is BAD_CREDENTIALS (RFC 5530, 3)."""

_REMEMBERED: Final = 32
"""Lists that are not put together again: nearly every login would otherwise have the same two made, for 10 µs."""

TEXT_LIMIT = 512
"""Octets of a store's text that are passed on; RFC 2683, 3.2.1.5, thinks of 1000 for a whole line."""

STANDING = frozenset(b"UNAUTHENTICATE PROXYAUTH XPROXYAUTH X-PROXYAUTH".split())
"""Capabilities and commands by which somebody logged in becomes somebody else: a guard has to follow such a session."""

_OURS = b"IMAP4rev1 SASL-IR ID LITERAL+"
_DECIDED_HERE = STANDING | frozenset(
    b"IMAP4REV1 SASL-IR ID LITERAL+ LITERAL- STARTTLS LOGINDISABLED LOGIN-REFERRALS COMPRESS=DEFLATE".split()
)
"""Among them what concerns the way to the store, which is ours to find, and what a guard may have to keep back."""
_NAME = re.compile(rb"[!#-'+-Z^-z|}~]{1,100}")
_CONTROLS_TO_SPACE = bytes.maketrans(bytes((*range(0x20), 0x7F)), b" " * 33)


def wording(refusal: Refusal) -> bytes:
    """Return the response code and text of a refusal, as they follow NO or BYE."""
    code, text = REFUSALS[refusal]
    return f"[{code}] {text}".encode("ascii") if code else text.encode("ascii")


@lru_cache(_REMEMBERED)
def capabilities(offer: Offer, others: tuple[bytes, ...]) -> bytes:
    """Return the list for CAPABILITY: ours, those that all stores have, and what the present security allows."""
    items = [_OURS, *(other for other in others if _is_foreign(other.upper()))]
    if offer.starttls:
        items.append(b"STARTTLS")
    if not offer.plaintext:
        items.append(b"LOGINDISABLED")
    items.extend(b"AUTH=" + mechanism.encode("ascii") for mechanism in offer.mechanisms)
    return b" ".join(items)


def logged_in(answer: LoggedIn) -> bytes:
    """Return what follows OK: the store's capabilities, but for those that a guard does not let pass, and its words."""
    return _code(answer.capabilities) + (text(answer.text) or b"Logged in")


@lru_cache(_REMEMBERED)
def _code(names: tuple[bytes, ...]) -> bytes:
    if not STANDING.isdisjoint(map(bytes.upper, names)):
        names = tuple(name for name in names if not is_withheld(name))
    return b"[CAPABILITY %b] " % b" ".join(names) if names else b""


def is_withheld(capability: bytes) -> bool:
    """Tell whether a guard, where there is one, does not let a client use this."""
    name = capability.upper()
    return name in STANDING or name.startswith(b"COMPRESS=")


def text(octets: bytes) -> bytes:
    """Return somebody else's words fit for one reply: bounded, without control characters or what looks like a code."""
    return octets[:TEXT_LIMIT].translate(_CONTROLS_TO_SPACE).lstrip(b"[ ").rstrip()


def _is_foreign(capability: bytes) -> bool:
    decided_here = capability in _DECIDED_HERE or capability.startswith(b"AUTH=")
    return not decided_here and _NAME.fullmatch(capability) is not None
