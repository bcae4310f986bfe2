"""What we say to a store to log in (RFC 5804, 2.1; XCLIENT as Dovecot has it)."""

from __future__ import annotations

from collections.abc import Mapping

from mmp.errors import Refused
from mmp.model import Origin, Refusal, Replay
from mmp.wire import sasl
from mmp.wire.managesieve import grammar
from mmp.wire.sasl import lines


def login(replay: Replay, capabilities: Mapping[bytes, bytes]) -> bytes:
    """Return the command that suits what a store offers; ``capabilities`` are values by name in upper case.

    Refused(BACKEND_UNAVAILABLE) if nothing suits, Refused(BAD_CREDENTIALS) if the octets can't be said.
    """
    message = sasl.initial_response(replay)
    mechanism = replay.mechanism.encode("ascii")
    if mechanism not in capabilities.get(b"SASL", b"").upper().split():
        raise Refused(Refusal.BACKEND_UNAVAILABLE, f"The store offers no way to log in by {replay.mechanism}")
    return b'AUTHENTICATE "%b" %b' % (mechanism, response(message))


def response(octets: bytes) -> bytes:
    """Return a line of a SASL exchange."""
    return grammar.string(lines.encoded(octets), b"+") + b"\r\n"


def xclient(origin: Origin) -> bytes:
    """Return the command that tells who is behind us."""
    return (
        f"XCLIENT ADDR={origin.address.host} PORT={origin.address.port}"
        f" DESTADDR={origin.local.host} DESTPORT={origin.local.port} SESSION={origin.session} TTL={origin.ttl}\r\n"
    ).encode()
