"""What things are called in a store that hosts share: names as long and as plain for a user as for anything else."""

from __future__ import annotations

import hashlib

from attrs import frozen

from mmp.policy.counts import Claim


@frozen
class Names:
    """All begin with ``prefix``. Nothing in them tells of users; addresses that are bad can be read."""

    prefix: str

    def _name(self, *parts: str) -> bytes:
        return ":".join((self.prefix, *parts)).encode()

    def held(self, claim: Claim) -> bytes:
        """Return the name for slots under a limit and key."""
        return self._name("held", _digest(f"{claim.limit}\0{claim.key}".encode("utf-8", "surrogateescape")))

    def rate(self, limit: str, key: bytes) -> bytes:
        """Return the name for events under a rate."""
        return self._name("rate", _digest(limit.encode() + b"\0" + key))

    def household(self, household: bytes) -> bytes:
        """Return the name for how bad an address is."""
        return self._name("bad", household.hex())

    def user(self, user: bytes) -> bytes:
        """Return the name for how much an account, by its digest, is guessed at."""
        return self._name("user", user.hex())

    def vouched(self, household: bytes, user: bytes) -> bytes:
        """Return the name for that a user has logged in from an address."""
        return self._name("vouched", _digest(household + user))

    def strikes(self, household: bytes) -> bytes:
        """Return the name for failures that may come to a ban."""
        return self._name("strikes", household.hex())

    @property
    def news(self) -> tuple[bytes, bytes, bytes]:
        """The names for what is announced, for its order, and for when each ends."""
        return self._name("news"), self._name("news", "order"), self._name("news", "ends")


def _digest(name: bytes) -> str:
    return hashlib.blake2b(name, digest_size=16).hexdigest()
