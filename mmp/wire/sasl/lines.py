"""SASL's messages in lines of base64 (RFC 9051, 6.2.2; RFC 5034, 4; RFC 4954, 4)."""

from __future__ import annotations

import binascii

from mmp.wire.sasl.mechanism import Cancelled, SASLError


def encoded(octets: bytes) -> bytes:
    """Return a message as it stands in a line."""
    return binascii.b2a_base64(octets, newline=False)


def decoded(octets: bytes) -> bytes:
    """Return the message that stands in a line; SASLError if it is no base64."""
    try:
        return binascii.a2b_base64(octets, strict_mode=True)
    except binascii.Error:
        raise SASLError("Invalid base64") from None


def initial_response(octets: bytes | None) -> bytes | None:
    """Decode the one in the command itself: None is the absent one, ``=`` the empty one (RFC 4959, 3)."""
    return None if octets is None else b"" if octets == b"=" else decoded(octets)


def response(line: bytes) -> bytes:
    """Decode a client's whole line; Cancelled if it is ``*``."""
    if not line.endswith(b"\r\n"):
        raise SASLError("A line ends with CR LF")
    if line == b"*\r\n":
        raise Cancelled
    return decoded(line[:-2])
