"""Submission's grammar as far as a login needs it (RFC 5321, 4.1 and 4.2; RFC 4954, 4; RFC 3030, 2; RFC 2034, 4)."""

from __future__ import annotations

import re
from typing import NamedTuple

from mmp.errors import RemoteProtocolError

_VERB = re.compile(rb"[A-Za-z0-9]{1,40}(?=[ \r\n])")
_COMMAND = re.compile(rb"[A-Za-z0-9]{1,40}(?: (.*?))? *\r\n", re.DOTALL)
"""Spaces at the end are tolerated (RFC 5321, 4.1.1)."""
_NAME = re.compile(rb"[^\x00-\x20\x7f]{1,255}")
"""A domain or an address literal (RFC 5321, 4.1.3); clients also say a machine's name, in whatever letters it has."""
_AUTH = re.compile(rb"([A-Za-z0-9_-]{1,20})(?: ([^ \r\n\0]++))?")
_BDAT = re.compile(rb"([0-9]{1,15})(?: LAST)?", re.IGNORECASE)
_REPLY = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?\r\n", re.DOTALL)
_STATUS = re.compile(rb"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![^ ]) ?")

COMMANDS_AFTER_LOGIN = frozenset(b"MAIL RCPT DATA BURL ETRN SEND SOML SAML".split())
"""What RFC 5321, 821, 4468 and 1985 define and nobody may do before the login: known, but not now."""


class Malformed(Exception):  # noqa: N818 - it names what the command is
    """A command breaks the grammar or the limits; the first words are the reply's code and status, all may be said."""


class ReplyLine(NamedTuple):
    """One line of a reply: ``more`` follow it or it is the last."""

    code: bytes
    more: bool
    text: bytes


def verb(line: bytes) -> bytes:
    """Return the verb that a line begins with, in upper case; empty if it begins with none."""
    match = _VERB.match(line)
    return match[0].upper() if match else b""


def argument(line: bytes) -> bytes:
    """Return what follows the space behind the verb; a line that only LF ends is refused (RFC 5321, 2.3.8)."""
    if not line.endswith(b"\r\n"):
        raise Malformed("500 5.5.2 A line ends with CR LF")
    match = _COMMAND.fullmatch(line)
    if match is None:
        raise Malformed("500 5.5.2 A command is a verb and its arguments")
    return match[1] or b""


def greeting_name(argument: bytes) -> str:
    """Return the name that a client gives itself in EHLO or HELO."""
    if _NAME.fullmatch(argument) is None:
        raise Malformed("501 5.5.4 Say who you are: a domain or an address in brackets")
    return argument.decode(errors="replace")


def auth(argument: bytes) -> tuple[str, bytes | None]:
    """Return the mechanism's name and the initial response, still in base64, of AUTH's arguments (RFC 4954, 4)."""
    match = _AUTH.fullmatch(argument)
    if match is None:
        raise Malformed("501 5.5.4 AUTH takes a mechanism and perhaps an initial response")
    return match[1].decode("ascii").upper(), match[2]


def chunk_size(argument: bytes) -> int | None:
    """Return how many octets follow BDAT at once (RFC 3030, 2); None if its arguments do not say."""
    match = _BDAT.fullmatch(argument)
    return int(match[1]) if match else None


def check_nothing(argument: bytes) -> None:
    """Check that a command has no arguments."""
    if argument:
        raise Malformed("501 5.5.4 This command takes no arguments")


def reply_line(line: bytes) -> ReplyLine:
    """Return a line of a store's reply taken apart (RFC 5321, 4.2); RemoteProtocolError if it is none."""
    match = _REPLY.fullmatch(line)
    if match is None:
        raise RemoteProtocolError("Not an SMTP reply")
    code, mark, text = match.groups(b"")
    return ReplyLine(code, mark == b"-", text)


def without_status(text: bytes) -> bytes:
    """Return a reply's text without the enhanced status code that it may begin with (RFC 2034, 4)."""
    match = _STATUS.match(text)
    return text[match.end() :] if match else text
