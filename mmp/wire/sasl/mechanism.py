"""What a SASL mechanism is to the protocol cores, and the rule for names that all mechanisms share (RFC 4422)."""

from __future__ import annotations

import re
from typing import Protocol

from mmp.model import Credentials

NAME_LIMIT = 1024
"""Octets in a name. RFC 4616 wants 255 taken; the rest is room, since every name is looked up and logged."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class SASLError(Exception):
    """The client's response breaks its mechanism; the text may be said to the client."""


class Cancelled(Exception):  # noqa: N818 - it is no mistake
    """The client gives the exchange up; the text may be said to it."""

    def __init__(self) -> None:
        super().__init__("Authentication cancelled")


class ServerMechanism(Protocol):
    """The half that we play toward the client: one object for one exchange."""

    def next(self, response: bytes | None) -> bytes | Credentials:
        """Return the next challenge, or the credentials once they are complete; SASLError if the response is wrong.

        None stands for the absent initial response, which is not the empty one (RFC 4422, 3 and 5.1).
        """


def identity(octets: bytes) -> str:
    """Return an identity as text; SASLError unless it is UTF-8, not empty, of sane length, without control characters.

    Control characters have no place in a name and would travel on into queries, logs and the store's login.
    """
    if not octets:
        raise SASLError("Empty user name")
    if len(octets) > NAME_LIMIT:
        raise SASLError("User name too long")
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise SASLError("User name is not UTF-8") from None
    if _CONTROL.search(text):
        raise SASLError("Control character in the user name")
    return text
