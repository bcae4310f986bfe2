"""What we say to a store to log in (RFC 4954, 4), and who came (XCLIENT as Postfix has it; xtext: RFC 3461, 4)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from mmp.errors import Refused
from mmp.model import Origin, Refusal, Replay
from mmp.wire import sasl
from mmp.wire.sasl import lines

LINE_LIMIT = 512
"""Octets in a command, CRLF included (RFC 5321, 4.5.3.1.4): a longer initial response waits to be asked for."""

_UNKNOWN = b"[UNAVAILABLE]"
_NOT_XTEXT = re.compile(rb"[^!-~]|[+=]")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*|\[[0-9A-Za-z:.]{2,64}\]")


def parameters(capabilities: Iterable[bytes]) -> Mapping[bytes, frozenset[bytes]]:
    """Return the parameters of each line of EHLO's answer by its keyword, all in upper case."""
    split = (line.upper().split() for line in capabilities)
    return {words[0]: frozenset(words[1:]) for words in split if words}


def login(replay: Replay, mechanisms: Collection[bytes]) -> list[bytes]:
    """Return the lines that suit the mechanisms a store offers, each to be said when it asks for it.

    Refused(BACKEND_UNAVAILABLE) if nothing suits, Refused(BAD_CREDENTIALS) if the octets can't be said.
    """
    message = sasl.initial_response(replay)
    mechanism = replay.mechanism.encode("ascii")
    if mechanism in mechanisms:
        return _auth(mechanism, message)
    if mechanism == b"PLAIN" and b"LOGIN" in mechanisms and replay.authzid in {"", replay.user}:
        return [b"AUTH LOGIN\r\n", *map(_response, sasl.login_responses(replay))]
    raise Refused(Refusal.BACKEND_UNAVAILABLE, f"The store offers no way to log in by {replay.mechanism}")


def xclient(origin: Origin, taken: Collection[bytes], user: str) -> bytes:
    """Return the command that tells who is behind us, in the attributes that the store takes.

    Nobody has looked up the name of the client's address; a store that knows that it is unknown does not take ours for
    it. ``user`` is logged in by this; empty if nobody is to be.
    """
    values = {
        b"ADDR": _address(origin.address.host),
        b"PORT": b"%d" % origin.address.port,
        b"NAME": _UNKNOWN,
        b"PROTO": b"ESMTP",
        b"HELO": _xtext(origin.greeting) if origin.greeting else _UNKNOWN,
        b"LOGIN": _xtext(user) if user else b"",
        b"DESTADDR": _address(origin.local.host),
        b"DESTPORT": b"%d" % origin.local.port,
        b"SESSION": _xtext(origin.session),  # this and the next are Dovecot's own
        b"TTL": b"%d" % origin.ttl,
    }
    line = _xclient(values, taken)
    return line if len(line) <= LINE_LIMIT else _xclient(values | {b"HELO": _UNKNOWN}, taken)


def gives_standing(line: bytes) -> bool:
    """Tell whether a line of EHLO's answer offers a command by which we could speak for others."""
    return line.upper().partition(b" ")[0] in {b"XCLIENT", b"XFORWARD"}


def ehlo(name: str, otherwise: str) -> bytes:
    """Return EHLO with the client's own name if a store can take it for one (RFC 5321, 4.1.1.1), else ours."""
    return b"EHLO %b\r\n" % (name if _HOST_NAME.fullmatch(name) else otherwise).encode()


def _xclient(values: Mapping[bytes, bytes], taken: Collection[bytes]) -> bytes:
    told = (b" %b=%b" % (name, value) for name, value in values.items() if name in taken and value)
    return b"XCLIENT%b\r\n" % b"".join(told)


def _address(host: str) -> bytes:
    return (f"IPV6:{host}" if ":" in host else host).encode()


def _xtext(text: str) -> bytes:
    return _NOT_XTEXT.sub(lambda match: b"+%02X" % match[0][0], text.encode())


def _auth(mechanism: bytes, message: bytes) -> list[bytes]:
    response = _response(message)
    line = b"AUTH %b %b" % (mechanism, response if message else b"=\r\n")
    return [line] if len(line) <= LINE_LIMIT else [b"AUTH %b\r\n" % mechanism, response]


def _response(octets: bytes) -> bytes:
    return lines.encoded(octets) + b"\r\n"
