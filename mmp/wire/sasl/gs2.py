"""The header that mechanisms of the GS2 family begin with, and names within them (RFC 5801, 4)."""

from __future__ import annotations

import re

from mmp.wire.sasl.mechanism import SASLError

NAME = rb"((?:[^\0,=]|=2C|=3D)++)"
"""A saslname, as a group."""

_HEADER = re.compile(rb"[ny],(?:a=%b)?," % NAME)


def header(message: bytes) -> tuple[bytes, bytes]:
    """Return the header of a client's first message and the authorization identity in it, empty if there is none.

    SASLError if there is no header, or if it wants the channel bound: what binds our connection with the client is not
    what binds ours with the store. A client that could bind but was not offered it says ``y``, one that cannot ``n``.
    """
    if message.startswith(b"p="):
        raise SASLError("Channel binding is not offered")
    match = _HEADER.match(message)
    if match is None:
        raise SASLError("The message has no GS2 header")
    return match[0], decoded(match[1] or b"")


def decoded(name: bytes) -> bytes:
    """Return what a saslname stands for."""
    return name.replace(b"=2C", b",").replace(b"=3D", b"=")


def encoded(name: bytes) -> bytes:
    """Return a name as a saslname."""
    return name.replace(b"=", b"=3D").replace(b",", b"=2C")
