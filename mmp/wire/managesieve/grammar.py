"""ManageSieve's grammar as far as a login needs it (RFC 5804, 4).

A command or response is a text and its literals: the text holds only their announcements, ``{5+}`` CRLF, so that one
regular expression sees it whole, and no octet of a literal can be taken for syntax. Quantifiers are possessive.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mmp.errors import RemoteProtocolError
from mmp.wire.sasl import Cancelled, lines

_STRING = rb'("[^"\\\r\n\0]*+(?:\\["\\][^"\\\r\n\0]*+)*+"|\{[0-9]++\+?\}\r\n)'
_KEYWORD = re.compile(rb"[A-Za-z]{1,40}(?=[ \r\n])")
_STRINGS = re.compile(rb"%b(?: %b)?\r\n" % (_STRING, _STRING))
_MECHANISM = re.compile(rb"[A-Za-z0-9_-]{1,20}")
_STATUS = re.compile(
    rb"(OK|NO|BYE)(?: \(([^ ()\"{}\r\n]++)(?: (?:%b|[^()\"{}\r\n]*+))?\))?(?: %b)?\r\n" % (_STRING, _STRING),
    re.IGNORECASE,
)
_ANNOUNCEMENT = re.compile(rb"\{([0-9]++)\+?\}\r?\n")
_DIGITS = 10
"""From so many on a number is larger than any limit; Python refuses to convert thousands of them."""
_ESCAPED = re.compile(rb"\\(.)")
_TTL = re.compile(rb" TTL=([0-9]{1,3})(?= |\r\n)", re.IGNORECASE)
_SPECIAL = re.compile(rb'["\\]')
_QUOTABLE = re.compile(rb"[^\r\n\0]*+")
_QUOTED_LIMIT = 1024
"""Octets between quotation marks (RFC 5804, 4)."""

COMMANDS_AFTER_LOGIN = frozenset(
    b"CHECKSCRIPT DELETESCRIPT GETSCRIPT HAVESPACE LISTSCRIPTS PUTSCRIPT RENAMESCRIPT SETACTIVE UNAUTHENTICATE".split(),
)
"""What RFC 5804 defines for the authenticated state: known, but not now."""


class Malformed(Exception):  # noqa: N818 - it names what the command is
    """A command breaks the grammar or the limits; the text may be said to the client."""


class Status(NamedTuple):
    """The end of a store's response: ``kind`` is OK, NO or BYE, names are in upper case.

    ``argument`` is the string behind the code, if one is there.
    """

    kind: bytes
    code: bytes
    argument: bytes
    text: bytes


def announced(line: bytes) -> int | None:
    """Return how many octets of a literal a line announces at its end, if it does."""
    if not line.endswith((b"}\r\n", b"}\n")):
        return None
    match = _ANNOUNCEMENT.fullmatch(line, line.rfind(b"{"))
    if match is None:
        return None
    return int(match[1]) if len(match[1]) < _DIGITS else sys.maxsize


def keyword(text: bytes) -> bytes:
    """Return the command that a text begins with, in upper case; empty if it begins with none."""
    match = _KEYWORD.match(text)
    return match[0].upper() if match else b""


def authenticate(arguments: bytes, literals: Sequence[bytes]) -> tuple[str, bytes | None]:
    """Return the mechanism's name and the initial response, decoded, of AUTHENTICATE's arguments (RFC 5804, 2.1)."""
    name, initial = _strings(arguments.removeprefix(b" "), literals, "AUTHENTICATE takes one string or two")
    if not _MECHANISM.fullmatch(name):
        raise Malformed("Not the name of a mechanism")
    return name.decode("ascii").upper(), None if initial is None else lines.decoded(initial)


def sasl_response(text: bytes, literals: Sequence[bytes]) -> bytes:
    """Decode a client's line within a SASL exchange (RFC 5804, 2.1)."""
    response, more = _strings(text, literals, "A response is a string")
    if response == b"*":
        raise Cancelled
    if more is not None:
        raise Malformed("A response is one string")
    return lines.decoded(response)


def ttl(arguments: bytes) -> int | None:
    """Return how many more proxies XCLIENT lets the connection go through, None if it does not say so."""
    match = _TTL.search(arguments)
    return int(match[1]) if match else None


def noop(arguments: bytes, literals: Sequence[bytes]) -> bytes | None:
    """Return the tag to echo, if NOOP has one (RFC 5804, 2.13)."""
    if arguments == b"\r\n":
        return None
    tag, more = _strings(arguments.removeprefix(b" "), literals, "NOOP takes a string, or nothing")
    if more is not None or len(tag) > _QUOTED_LIMIT:
        raise Malformed("NOOP takes one short string")
    return tag


def check_nothing(arguments: bytes) -> None:
    """Check that a command has no arguments."""
    if arguments != b"\r\n":
        raise Malformed("This command takes no arguments")


def status(text: bytes, literals: Sequence[bytes]) -> Status | None:
    """Return the end of a response, or None if the text is something else."""
    match = _STATUS.fullmatch(text)
    if match is None:
        return None
    kind, code, *raw = match.groups(b"")
    unused = iter(literals)
    argument, words = (_value(string, unused) for string in raw)
    return Status(kind.upper(), code.upper(), argument, words)


def capability(text: bytes, literals: Sequence[bytes]) -> tuple[bytes, bytes | None]:
    """Return name and value of a capability; RemoteProtocolError if it is none."""
    try:
        return _strings(text, literals, "Not a ManageSieve response")
    except Malformed as fault:
        raise RemoteProtocolError(str(fault)) from None


def string(octets: bytes, plus: bytes = b"") -> bytes:
    """Return a string as it is sent: quoted, or a literal if it must be one; ``plus`` is what a client's has."""
    quoted = b'"%b"' % _SPECIAL.sub(rb"\\\g<0>", octets)
    if _QUOTABLE.fullmatch(octets) and len(quoted) <= _QUOTED_LIMIT:
        return quoted
    return literal(octets, plus)


def literal(octets: bytes, plus: bytes = b"") -> bytes:
    """Return a string as a literal, however it could be sent; ``plus`` is what a client's has."""
    return b"{%d%b}\r\n%b" % (len(octets), plus, octets)


def unquoted(quoted: bytes) -> bytes:
    """Return what is between quotation marks."""
    return _ESCAPED.sub(rb"\1", quoted[1:-1])


def _strings(text: bytes, literals: Sequence[bytes], fault: str) -> tuple[bytes, bytes | None]:
    """Return the one or two strings that a text consists of; Malformed with these words if it does not."""
    match = _STRINGS.fullmatch(text)
    if match is None:
        raise Malformed(fault)
    unused = iter(literals)
    return _value(match[1], unused), None if match[2] is None else _value(match[2], unused)


def _value(string: bytes, literals: Iterator[bytes]) -> bytes:
    if string.startswith(b"{"):
        return next(literals)
    return unquoted(string)
