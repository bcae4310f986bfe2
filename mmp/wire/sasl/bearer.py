"""What XOAUTH2 and OAUTHBEARER have in common: key and value pairs, and a bearer token among them (RFC 7628, 3.1)."""

from __future__ import annotations

import re

from mmp.wire.sasl.mechanism import SASLError

_BEARER = re.compile(rb"(?i:Bearer) +([\x21-\x7e]++)")


def pairs(octets: bytes) -> dict[bytes, bytes]:
    """Return the pairs by key, each of which ends with a control-A, and all of them with one more."""
    listed = octets[:-2].split(b"\x01")
    if not octets.endswith(b"\x01\x01") or not all(b"=" in pair for pair in listed):
        raise SASLError("Not a list of pairs")
    found = dict(pair.split(b"=", 1) for pair in listed)
    if len(found) < len(listed):
        raise SASLError("A key that comes twice")
    return found


def token(found: dict[bytes, bytes]) -> bytes:
    """Return the access token (RFC 6750, 2.1)."""
    match = _BEARER.fullmatch(found.get(b"auth", b""))
    if match is None:
        raise SASLError("No bearer token")
    return match[1]
