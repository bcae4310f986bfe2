"""Judges by the secret that an entry holds: passwords, proofs of one (CRAM-MD5, APOP), exchanges about one (SCRAM)."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from attrs import field, frozen

from mmp.directory import passwords
from mmp.directory.entry import Entry
from mmp.directory.verify import RIGHT, WRONG, Verdict
from mmp.interfaces import Ask
from mmp.model import Credentials
from mmp.wire.sasl.scram import DIGESTS, Keys, Verification

T = TypeVar("T")

_SALT = 16
"""Octets of a salt."""


class Offload(Protocol):
    """Runs what would keep the event loop waiting."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Return what the work returns; Refused if there is too much to do already."""


@frozen
class SecretJudge:
    """Compares what the client shows with the values of an attribute, any of which may be the secret.

    ``nonce`` returns printable octets that never come again. ``key`` makes up what a user without a secret would have,
    so that nobody can tell them from others; ``decoy`` is a secret to compare their passwords with, for the time that
    it takes.
    """

    attribute: str
    offload: Offload
    nonce: Callable[[], bytes]
    key: bytes = field(repr=False)
    decoy: str = field(default="", repr=False)

    async def __call__(self, entry: Entry | None, credentials: Credentials, ask: Ask) -> Verdict:
        """Judge the secret by what the entry keeps."""
        return RIGHT if await self._is_right(entry, credentials, ask) else WRONG

    async def _is_right(self, entry: Entry | None, credentials: Credentials, ask: Ask) -> bool:
        kept = entry.get(self.attribute) if entry else ()
        if credentials.proves is not None:
            return any(clear and credentials.proves(clear) for clear in map(passwords.cleartext, kept))
        if credentials.mechanism in DIGESTS:
            return await self._exchange(kept, credentials, ask)
        work = partial(_any_matches, kept or (self.decoy,), credentials.secret)
        return await self.offload(work) and bool(kept)

    async def _exchange(self, kept: Sequence[str], credentials: Credentials, ask: Ask) -> bool:
        """Ask for a proof, and prove to the client in turn that we know its password."""
        made_up = self._made_up("secret", credentials.user).hex().encode()
        salt = self._made_up("salt", credentials.user)[:_SALT]
        keys = await self.offload(partial(_first_keys, kept, made_up, credentials.mechanism, salt))
        exchange = Verification(credentials, keys, self.nonce())
        proof = exchange.verdict(await ask(exchange.challenge))
        return proof is not None and await ask(proof) == b""

    def _made_up(self, what: str, user: str) -> bytes:
        return hmac.digest(self.key, f"{what} {user}".encode(), "sha256")


def _any_matches(kept: Sequence[str], password: bytes) -> bool:
    return any(passwords.matches(each, password) for each in kept)


def _first_keys(kept: Sequence[str], made_up: bytes, mechanism: str, salt: bytes) -> Keys:
    """Return the keys of the first secret that has any, else those of the one made up.

    Keys are made of a password, in milliseconds, whether there is one or keys are kept or nothing is.
    """
    found = next((keys for each in kept if (keys := passwords.keys(each, mechanism, salt))), None)
    if found is not None and found.salt == salt:
        return found
    made = Keys.derive(mechanism, made_up, salt)
    return found or made
