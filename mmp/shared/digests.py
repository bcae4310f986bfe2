"""Digests under which the throttle knows users, the same at all hosts."""

from __future__ import annotations

import hashlib
from typing import Final

SIZE: Final = 8
"""Octets."""


def of_user(name: str) -> bytes:
    """Return the digest of a user's name as typed; letters in upper and lower case are the same."""
    return hashlib.blake2b(plain(name), digest_size=SIZE).digest()


def plain(name: str) -> bytes:
    """Return what of a name is digested."""
    return name.lower().encode("utf-8", "surrogateescape")
