"""Which of several hosts is whose: always the same one, whoever asks and in whatever order the hosts are given.

When a host is added, users move only to it, and only its share of them; when one goes, only its own users move. Each
host gets a number for the user, the highest wins (rendezvous hashing).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def host_of(user: str, hosts: Sequence[str]) -> str:
    """Return the host that is this user's."""
    return max(hosts, key=lambda host: _weight(user, host.lower()))


def _weight(user: str, host: str) -> bytes:
    return hashlib.blake2b(f"{host} {user}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
