"""What we say to a store to log in (RFC 1939, 7; RFC 5034, 4; XCLIENT as Dovecot has it)."""

from __future__ import annotations

from collections.abc import Iterable

from mmp.errors import Refused
from mmp.model import Origin, Refusal, Replay
from mmp.wire import sasl
from mmp.wire.sasl import lines

LINE_LIMIT = 255
"""Octets in a command, CRLF included (RFC 2449, 4): a longer initial response waits to be asked for (RFC 5034, 4)."""


def offered(capabilities: Iterable[bytes]) -> dict[bytes, set[bytes]]:
    """Return the arguments of each capability by its name, all in upper case."""
    return {words[0]: set(words[1:]) for line in capabilities if (words := line.upper().split())}


def login(replay: Replay, capabilities: Iterable[bytes]) -> list[bytes]:
    """Return the commands that suit what a store offers, each to be said when it agrees to the one before.

    Refused(BACKEND_UNAVAILABLE) if nothing suits, Refused(BAD_CREDENTIALS) if the octets can't be said.
    """
    known = offered(capabilities)
    message = sasl.initial_response(replay)
    mechanism, mechanisms = replay.mechanism.encode("ascii"), known.get(b"SASL", ())
    if mechanism in mechanisms:
        return _auth(mechanism, message)
    if mechanism == b"PLAIN" and replay.authzid in {"", replay.user}:
        if b"USER" in known or not known:
            return _user_pass(replay.user.encode(), replay.secret)
        if b"LOGIN" in mechanisms:
            return [b"AUTH LOGIN\r\n", *map(_response, sasl.login_responses(replay))]
    raise Refused(Refusal.BACKEND_UNAVAILABLE, f"The store offers no way to log in by {replay.mechanism}")


def xclient(origin: Origin) -> bytes:
    """Return the command that tells who is behind us."""
    return (
        f"XCLIENT ADDR={origin.address.host} PORT={origin.address.port}"
        f" DESTADDR={origin.local.host} DESTPORT={origin.local.port} SESSION={origin.session} TTL={origin.ttl}\r\n"
    ).encode()


def _auth(mechanism: bytes, message: bytes) -> list[bytes]:
    response = _response(message)
    line = b"AUTH %b %b" % (mechanism, response)
    return [line] if len(line) <= LINE_LIMIT else [b"AUTH %b\r\n" % mechanism, response]


def _response(octets: bytes) -> bytes:
    return lines.encoded(octets) + b"\r\n"


def _user_pass(user: bytes, secret: bytes) -> list[bytes]:
    if any(octet in part for part in (user, secret) for octet in b"\0\r\n"):
        raise Refused(Refusal.BAD_CREDENTIALS, "The store takes only lines, and the name or the password is none")
    return [b"USER %b\r\n" % user, b"PASS %b\r\n" % secret]
