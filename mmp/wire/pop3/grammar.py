"""POP3's grammar as far as a login needs it (RFC 1939, 3 and 7; RFC 2449, 3, 5 and 8; RFC 5034, 4 and 6)."""

from __future__ import annotations

import re
from typing import NamedTuple

from mmp.errors import RemoteProtocolError

_KEYWORD = re.compile(rb"[A-Za-z0-9]{1,40}(?=[ \r\n])")
_COMMAND = re.compile(rb"[A-Za-z0-9]{1,40}(?: (.*))?\r\n")
"""A keyword has three or four letters in the RFCs; longer ones are unknown commands, but commands."""
_AUTH = re.compile(rb"([A-Za-z0-9_-]{1,20})(?: ([^ ]++))?")
_APOP = re.compile(rb"(.+) ([0-9A-Fa-f]{32})")
_TTL = re.compile(rb"(?:.* )?TTL=([0-9]{1,3})(?: .*)?", re.IGNORECASE)
_RESPONSE = re.compile(rb"(\+OK|-ERR|\+)(?![^ \r]) ?(?:\[([^\]]*+)\] ?)?(.*)\r\n")

COMMANDS_AFTER_LOGIN = frozenset(b"DELE LAST LIST RETR RSET STAT TOP UIDL".split())
"""What RFC 1939 and 1081 define for the TRANSACTION state: known, but not now."""


class Malformed(Exception):  # noqa: N818 - it names what the command is
    """A command breaks the grammar or the limits; the text may be said to the client."""


class Response(NamedTuple):
    """A store's line: ``status`` is ``+OK``, ``-ERR`` or ``+``, ``code`` a response code in upper case or empty."""

    status: bytes
    code: bytes
    text: bytes


def keyword(line: bytes) -> bytes:
    """Return the keyword that a line begins with, in upper case; empty if it begins with none."""
    match = _KEYWORD.match(line)
    return match[0].upper() if match else b""


def argument(line: bytes) -> bytes | None:
    """Return what follows the space behind the keyword, if there is one."""
    if not line.endswith(b"\r\n"):
        raise Malformed("A line ends with CR LF")
    match = _COMMAND.fullmatch(line)
    if match is None:
        raise Malformed("A command is a keyword and its arguments")
    return match[1]


def auth(argument: bytes) -> tuple[str, bytes | None]:
    """Return the mechanism's name and the initial response, still in base64, of AUTH's arguments (RFC 5034, 4)."""
    match = _AUTH.fullmatch(argument)
    if match is None:
        raise Malformed("AUTH takes a mechanism and perhaps an initial response")
    return match[1].decode("ascii").upper(), match[2]


def apop(argument: bytes | None) -> tuple[bytes, bytes]:
    """Return the name and the digest, in lower case, of APOP's arguments (RFC 1939, 7)."""
    match = _APOP.fullmatch(argument or b"")
    if match is None:
        raise Malformed("APOP takes a user name and a digest")
    return match[1], match[2].lower()


def ttl(argument: bytes | None) -> int | None:
    """Return the number that XCLIENT's arguments give as TTL, None if they give none."""
    match = _TTL.fullmatch(argument or b"")
    return int(match[1]) if match else None


def password(argument: bytes | None) -> bytes:
    """Return the argument of PASS: everything behind one space, since a password may hold spaces (RFC 1939, 7)."""
    if argument is None:
        raise Malformed("PASS takes a password")
    if b"\0" in argument:
        raise Malformed("NUL in the password")
    return argument


def check_nothing(argument: bytes | None) -> None:
    """Check that a command has no arguments."""
    if argument is not None:
        raise Malformed("This command takes no arguments")


def response(line: bytes) -> Response:
    """Return a store's line taken apart; RemoteProtocolError if it is no response."""
    match = _RESPONSE.fullmatch(line)
    if match is None:
        raise RemoteProtocolError("Not a POP3 response")
    status, code, text = match.groups(b"")
    return Response(status, code.upper(), text)
