"""What we say to submission clients: refusals and EHLO's lines (RFC 5321, 4.2; RFC 4954, 6; RFC 3463, 3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from mmp.model import Offer, Refusal

REFUSALS: Mapping[Refusal, tuple[str, str]] = MappingProxyType(
    {
        Refusal.BANNED: ("421 4.7.0", "This address is not welcome for now"),
        Refusal.ACCESS_DENIED: ("421 4.7.0", "This address may not use this service"),
        Refusal.TOO_MANY_CONNECTIONS: ("421 4.7.0", "Too many connections"),
        Refusal.RATE_EXCEEDED: ("421 4.7.0", "Too many attempts in a short time"),
        # One text for unknown user and wrong password (RFC 4954, 6).
        Refusal.BAD_CREDENTIALS: ("535 5.7.8", "User name or password is wrong"),
        Refusal.POLICY_REFUSED: ("535 5.7.8", "User name or password is wrong"),
        Refusal.NOT_AUTHORIZED: ("535 5.7.8", "This user may not log in here, or not as somebody else"),
        Refusal.ACCOUNT_DISABLED: ("535 5.7.8", "This account is disabled"),
        Refusal.ACCOUNT_ON_HOLD: ("454 4.7.0", "This account is on hold for the moment"),
        Refusal.ACCOUNT_LOCKED: ("535 5.7.8", "This account is locked, ask the administrator"),
        Refusal.PASSWORD_EXPIRED: ("535 5.7.8", "The password has expired"),
        Refusal.PASSWORD_MUST_CHANGE: ("535 5.7.8", "The password must be changed before it can be used"),
        Refusal.PRIVACY_REQUIRED: ("538 5.7.11", "A password is taken only over TLS strong enough"),
        Refusal.TOO_MANY_SESSIONS: ("454 4.7.0", "Too many sessions of this user"),
        Refusal.MAILBOX_IN_USE: ("454 4.7.0", "The mailbox is in use by another session"),
        Refusal.MAILBOX_UNUSABLE: ("454 4.3.0", "The mailbox cannot be opened, the administrator must look at it"),
        Refusal.TOO_MANY_ERRORS: ("421 4.7.0", "Too many errors"),
        Refusal.LOGIN_TIMEOUT: ("454 4.7.0", "The login took too long"),
        Refusal.DIRECTORY_UNAVAILABLE: ("454 4.7.0", "Logins cannot be checked right now, try again later"),
        Refusal.BACKEND_UNAVAILABLE: ("454 4.7.0", "Mail cannot be taken right now, try again later"),
        Refusal.SHUTTING_DOWN: ("421 4.3.2", "The service is going down, connect again"),
        Refusal.CANCELLED: ("501 5.0.0", "Given up by the client"),
        Refusal.INTERNAL: ("454 4.3.0", "Internal error"),
    },
)
"""Code with enhanced status, and text, of every refusal."""

REFUSAL_BY_CODE: Mapping[bytes, Refusal] = MappingProxyType(
    {
        b"432": Refusal.PASSWORD_MUST_CHANGE,  # a password transition is needed (RFC 4954, 6)
        b"525": Refusal.ACCOUNT_DISABLED,  # RFC 5248's registry: user account disabled
        b"534": Refusal.NOT_AUTHORIZED,  # the mechanism is too weak for this user, which nothing here can mend
        b"535": Refusal.BAD_CREDENTIALS,
        b"550": Refusal.NOT_AUTHORIZED,
        b"553": Refusal.NOT_AUTHORIZED,
        b"554": Refusal.NOT_AUTHORIZED,
    },
)
"""What a store means by its answer to AUTH; by any other it means nothing that the client could do anything about."""

TEXT_LIMIT = 480
"""Octets of a store's text that are passed on: a line of a reply has at most 512 (RFC 5321, 4.5.3.1.5)."""

_KEYWORDS = frozenset(
    b"8BITMIME BURL CONNEG CONPERM DELIVERBY DSN ENHANCEDSTATUSCODES FUTURERELEASE HELP LIMITS"
    b" MT-PRIORITY MTRK NO-SOLICITING PIPELINING REQUIRETLS RRVS SIZE SMTPUTF8 SUBMITTER".split(),
)
"""Extensions that only concern what follows the login, which the store hears word for word; those that we do not know
may concern what comes before. AUTH and STARTTLS are ours to decide, XCLIENT and XFORWARD are for us alone, and CHUNKING
and BINARYMIME a guard may have to keep back."""
_LINE = re.compile(rb"[!-~]+(?: [!-~]+)*")
_LINE_LIMIT = 500
_CONTROLS_TO_SPACE = bytes.maketrans(bytes((*range(0x20), 0x7F)), b" " * 33)


def wording(refusal: Refusal) -> bytes:
    """Return the reply to a command that is refused."""
    return " ".join(REFUSALS[refusal]).encode("ascii")


def goodbye(refusal: Refusal) -> bytes:
    """Return the reply that ends the connection: 421, whatever comes of it (RFC 5321, 3.8)."""
    status, text = REFUSALS[refusal]
    _, _, detail = status.partition(" ")
    return f"421 {detail if detail.startswith('4') else '4.7.0'} {text}".encode("ascii")


def keywords(offer: Offer, others: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines for EHLO: those that all stores have, and what the present security allows."""
    yield from (line for line in others if _is_passed_on(line))
    if offer.starttls:
        yield b"STARTTLS"
    if offer.mechanisms:
        yield " ".join(("AUTH", *offer.mechanisms)).encode("ascii")


def text(octets: bytes) -> bytes:
    """Return somebody else's words fit for one reply: bounded, without control characters."""
    return octets[:TEXT_LIMIT].translate(_CONTROLS_TO_SPACE).strip()


def _is_passed_on(line: bytes) -> bool:
    keyword = line.upper().partition(b" ")[0]
    return keyword in _KEYWORDS and len(line) <= _LINE_LIMIT and _LINE.fullmatch(line) is not None
