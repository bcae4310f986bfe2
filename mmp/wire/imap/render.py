"""What we say to a store to log in (RFC 9051, 6.2.2 and 6.2.3; SASL-IR: RFC 4959; literals: RFC 7888; ID: RFC 2971)."""

from __future__ import annotations

import re
import sys
from collections.abc import Set as AbstractSet

from mmp.errors import Refused
from mmp.model import Origin, Refusal, Replay
from mmp.wire import sasl
from mmp.wire.sasl import lines

LINE_LIMIT = 8000
"""Octets in a line of ours, tag and CRLF aside: RFC 7162, 4, asks stores to take 8192."""
LITERAL_MINUS_LIMIT = 4096
"""The largest literal that LITERAL- lets come unasked (RFC 7888, 5)."""
QUOTED_LIMIT = 1024
"""Longer strings go as literals: RFC 2683, 3.2.1.5, has clients keep lines to some 1000 octets."""
VALUE_LIMIT = 1024
"""Octets in a value of ID's (RFC 2971, 3.3)."""

_QUOTABLE = re.compile(rb"[\x20-\x7e]*+")
_UNQUOTABLE = re.compile(rb"[^\x20-\x7e]")
_SPECIAL = re.compile(rb'["\\]')


def login(replay: Replay, offered: AbstractSet[bytes]) -> list[bytes]:
    """Return the command that suits what a store offers, without tag: in pieces, each but the first for when it asks.

    ``offered`` is in upper case. Refused(BACKEND_UNAVAILABLE) if nothing suits, Refused(BAD_CREDENTIALS) if the octets
    can't be said.
    """
    message = sasl.initial_response(replay)
    mechanism = replay.mechanism.encode()
    if b"AUTH=" + mechanism in offered:
        return _authenticate(mechanism, message, offered)
    if mechanism == b"PLAIN" and replay.authzid in {"", replay.user}:
        if b"LOGINDISABLED" not in offered:
            return _login(replay.user.encode(), replay.secret, offered)
        if b"AUTH=LOGIN" in offered:
            return [b"AUTHENTICATE LOGIN\r\n", *map(_response, sasl.login_responses(replay))]
    raise Refused(Refusal.BACKEND_UNAVAILABLE, f"The store offers no way to log in by {replay.mechanism}")


def identification(origin: Origin) -> bytes:
    """Return the ID command that tells who is behind us, in the fields that Dovecot has for it.

    What cannot be quoted in ASCII is replaced.
    """
    fields = {
        "name": "mmp",
        "x-originating-ip": origin.address.host,
        "x-originating-port": str(origin.address.port),
        "x-connected-ip": origin.local.host,
        "x-connected-port": str(origin.local.port),
        "x-session-id": origin.session,
        "x-proxy-ttl": str(origin.ttl),
    }
    return b"ID (%b)\r\n" % b" ".join(b"%b %b" % (_text(name), _text(value)) for name, value in fields.items())


def _authenticate(mechanism: bytes, message: bytes, offered: AbstractSet[bytes]) -> list[bytes]:
    command = b"AUTHENTICATE " + mechanism
    response = _response(message)
    if b"SASL-IR" in offered and len(command) + len(response) < LINE_LIMIT:
        return [b"%b %b" % (command, response)]
    return [command + b"\r\n", response]


def _response(octets: bytes) -> bytes:
    return lines.encoded(octets) + b"\r\n"


def _login(user: bytes, secret: bytes, offered: AbstractSet[bytes]) -> list[bytes]:
    unasked = sys.maxsize if b"LITERAL+" in offered else LITERAL_MINUS_LIMIT if b"LITERAL-" in offered else 0
    steps = [b"LOGIN"]
    for argument in (user, secret):
        if len(argument) <= QUOTED_LIMIT and _QUOTABLE.fullmatch(argument):
            steps[-1] += b" " + _quoted(argument)
        elif len(argument) <= unasked:
            steps[-1] += b" {%d+}\r\n%b" % (len(argument), argument)
        else:
            steps[-1] += b" {%d}\r\n" % len(argument)
            steps.append(argument)
    steps[-1] += b"\r\n"
    return steps


def _text(text: str) -> bytes:
    return _quoted(_UNQUOTABLE.sub(b"?", text.encode("ascii", "replace")[:VALUE_LIMIT]))


def _quoted(octets: bytes) -> bytes:
    return b'"%b"' % _SPECIAL.sub(rb"\\\g<0>", octets)
