"""What a client says in each mail protocol: the rows that make the load generator and the stub store speak it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

Exchange = tuple[str, str]  # a line to send, and how the line that answers it begins


class Transport(enum.Enum):
    """How a client's connection comes to be encrypted, if it does."""

    CLEAR = "clear"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


@dataclass(frozen=True)
class MailProtocol:
    """One protocol; ``%u`` becomes the number of the user, and the stub store takes every password."""

    name: str
    greeting: str
    starttls: Exchange
    login: tuple[Exchange, ...]
    rest: tuple[Exchange, ...]
    short: Exchange
    bulk: Callable[[int], Exchange]

    def opening(self, transport: Transport) -> list[str]:
        """Return the load generator's script from the connection to the completed login."""
        greeting = ["hear", self.greeting]
        if transport is Transport.IMPLICIT:
            greeting = ["tls", *greeting]
        if transport is Transport.STARTTLS:
            greeting += ["say", *self.starttls, "tls"]
        return [*greeting, *said(self.login), "logged-in"]

    def resting(self) -> list[str]:
        """Return what brings a logged-in session to rest, as a mail program leaves it."""
        return said(self.rest)


def said(exchanges: tuple[Exchange, ...]) -> list[str]:
    """Return exchanges as steps of a script."""
    return [word for exchange in exchanges for word in ("say", *exchange)]


IMAP = MailProtocol(
    name="imap",
    greeting="* OK",
    starttls=("s STARTTLS", "s OK"),
    login=(("a LOGIN u%u secret", "a OK"),),
    rest=(("i IDLE", "+ idling"),),
    short=("b NOOP", "b OK"),
    bulk=lambda octets: (f"b BULK {octets}", "b OK"),
)

POP3 = MailProtocol(
    name="pop3",
    greeting="+OK",
    starttls=("STLS", "+OK"),
    login=(("USER u%u", "+OK"), ("PASS secret", "+OK")),
    rest=(),
    short=("NOOP", "+OK"),
    bulk=lambda octets: (f"BULK {octets}", "."),
)

SUBMISSION = MailProtocol(
    name="submission",
    greeting="220",
    starttls=("STARTTLS", "220"),
    login=(("EHLO load.example", "250 "), ("AUTH PLAIN AHUwAHNlY3JldA==", "235")),  # as u0 every time
    rest=(),
    short=("NOOP", "250"),
    bulk=lambda octets: (f"BULK {octets}", "250"),
)

PROTOCOLS = {mail.name: mail for mail in (IMAP, POP3, SUBMISSION)}
