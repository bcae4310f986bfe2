"""IMAP's grammar as far as a login needs it (RFC 9051 and 3501, 9; RFC 4959, 7; RFC 7888, 8; RFC 2971, 4).

A command is a text and its literals: the text holds only their announcements, ``{5}`` CRLF, so that one regular
expression sees a whole command, and no octet of a literal can be taken for syntax. Quantifiers are possessive: nothing
here backtracks.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# RFC 9051 lets 8-bit octets into quoted strings (UTF-8); clients of RFC 3501 send them too.
_QUOTED = rb'"([^"\\\r\n\0]*+(?:\\["\\][^"\\\r\n\0]*+)*+)"'
_LITERAL = rb"\{[0-9]++\+?\}\r\n"
# "%", "*" and "\" are no ASTRING-CHARs, but Dovecot takes them, and "user*master" and "DOMAIN\user" are sent bare.
_ATOM = rb'([^\x00-\x20\x7f-\xff(){"]++)'
_ASTRING = rb"(?:%b|%b|%b)" % (_QUOTED, _ATOM, _LITERAL)
_STRING = rb"(?:%b|%b)" % (_QUOTED, _LITERAL)
_NSTRING = rb"(?:%b|(?i:NIL))" % _STRING

_TAG = rb'([^\x00-\x20\x7f-\xff(){%*"\\+]{1,64}+)'
"""The RFC sets no bound on a tag; it is echoed in every reply, and known clients use at most some ten characters."""

TAG = re.compile(_TAG + rb"[ \r\n]")
COMMAND = re.compile(_TAG + rb' ([^\x00-\x20\x7f-\xff(){%*"\\\]]++)(?=[ \r\n])')
"""Tag and name of a command; what follows is for the command's own expression, CRLF included."""

AUTHENTICATE = re.compile(_TAG + rb" (?i:AUTHENTICATE) ")
"""What a command that may hold a SASL response begins with."""

_LOGIN = re.compile(rb" %b %b\r\n" % (_ASTRING, _ASTRING))
_AUTHENTICATE = re.compile(rb" ([A-Za-z0-9_-]{1,20})(?: ([^ \r\n]++))?\r\n")
_ID = re.compile(rb" (?:(?i:NIL)|\((?:%b %b(?: %b %b){0,29}+)?\))\r\n" % (_STRING, _NSTRING, _STRING, _NSTRING))
"""At most 30 pairs (RFC 2971, 3.3)."""
_ITEM = re.compile(_NSTRING)

_ANNOUNCEMENT = re.compile(rb"\{([0-9]++)(?:(\+)\}\r?\n|\}\r\n)")
_DIGITS = 16
"""From so many on a number is larger than any limit; Python refuses to convert thousands of them."""
_ESCAPED = re.compile(rb"\\(.)")

COMMANDS_AFTER_LOGIN = frozenset(
    b"APPEND CHECK CLOSE COPY CREATE DELETE ENABLE EXAMINE EXPUNGE FETCH IDLE LIST LSUB MOVE NAMESPACE RENAME SEARCH"
    b" SELECT STATUS STORE SUBSCRIBE UID UNSELECT UNSUBSCRIBE".split(),
)
"""What RFC 9051 and 3501 define for the other states: known, but not now."""


class Malformed(Exception):  # noqa: N818 - it names what the command is
    """A command breaks the grammar or the limits; the text may be said to the client."""


class Announcement(NamedTuple):
    """What announces a literal: its octets, and whether the client waits for us to agree."""

    size: int
    client_waits: bool


def announcement(line: bytes) -> Announcement | None:
    """Return what announces a literal at the end of a line, if anything does.

    The end of every line counts, whatever the line is (RFC 7888, 3). With a ``+`` a bare LF is no excuse either: the
    octets will come, and they must not be read as commands.
    """
    if not line.endswith((b"}\r\n", b"}\n")):
        return None
    match = _ANNOUNCEMENT.fullmatch(line, line.rfind(b"{"))
    if match is None:
        return None
    digits = match[1]
    return Announcement(int(digits) if len(digits) < _DIGITS else sys.maxsize, match[2] is None)


def login(arguments: bytes, literals: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return user name and password out of a LOGIN command's arguments (RFC 9051, 6.2.3)."""
    match = _LOGIN.fullmatch(arguments)
    if match is None:
        raise Malformed("LOGIN takes a user name and a password")
    unused = iter(literals)
    return _astring(match[1], match[2], unused), _astring(match[3], match[4], unused)


def authenticate(arguments: bytes) -> tuple[str, bytes | None]:
    """Return the mechanism's name and the initial response, still in base64, of an AUTHENTICATE command's arguments."""
    match = _AUTHENTICATE.fullmatch(arguments)
    if match is None:
        raise Malformed("AUTHENTICATE takes a mechanism and perhaps an initial response")
    return match[1].decode("ascii").upper(), match[2]


def identification(arguments: bytes, literals: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the fields of ID's arguments (RFC 2971, 3.1), their names in lower case; those that are NIL are empty."""
    if _ID.fullmatch(arguments) is None:
        raise Malformed("ID takes NIL or a list of at most 30 pairs")
    unused = iter(literals)
    items = [_nstring(match[1], match[0], unused) for match in _ITEM.finditer(arguments)]
    return {name.lower(): value for name, value in zip(items[::2], items[1::2], strict=False)}


def check_nothing(arguments: bytes) -> None:
    """Check that a command has no arguments."""
    if arguments != b"\r\n":
        raise Malformed("This command takes no arguments")


def _nstring(quoted: bytes | None, whole: bytes, literals: Iterator[bytes]) -> bytes:
    return b"" if whole.upper() == b"NIL" else _astring(quoted, None, literals)


def _astring(quoted: bytes | None, atom: bytes | None, literals: Iterator[bytes]) -> bytes:
    if quoted is not None:
        return _ESCAPED.sub(rb"\1", quoted) if b"\\" in quoted else quoted
    return next(literals) if atom is None else atom
