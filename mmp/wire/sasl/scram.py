"""SCRAM-SHA-256 and SCRAM-SHA-1 (RFC 5802, RFC 7677): passed through to the store, or judged here.

Passed through we only read who it is, client and store do the rest. The messages reach the store as they are, since the
proof covers them: no name in them can be changed on the way.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
import stringprep
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

from attrs import field, frozen

from mmp.errors import Refused
from mmp.model import Credentials, Refusal, Replay
from mmp.wire.sasl import gs2
from mmp.wire.sasl.mechanism import SASLError, identity

DIGESTS: Mapping[str, str] = MappingProxyType({"SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"})
"""The hash function of each of these mechanisms."""
ITERATIONS = 4096
"""The least that RFC 7677, 4, allows; what directories keep was mostly made with it."""

_BARE = re.compile(rb"n=%b,r=[\x21-\x2b\x2d-\x7e]++(?:,[A-Za-z]=[^\0,]++)*+" % gs2.NAME)
"""The client's first message behind the header (RFC 5802, 7); an extension that must be understood comes first."""


@frozen
class ScramServer:
    """Takes the client's first message, which is the secret as far as we go."""

    _mechanism: str

    def next(self, response: bytes | None) -> bytes | Credentials:
        """Challenge with nothing while there is no message yet, else read the names in it."""
        if response is None:
            return b""
        user, authzid = names(response)
        return Credentials(self._mechanism, user, response, authzid if authzid != user else "")


def names(message: bytes) -> tuple[str, str]:
    """Return user and authorization identity, empty if there is none, of a client's first message."""
    header, authzid = gs2.header(message)
    match = _BARE.fullmatch(message, len(header))
    if match is None:
        raise SASLError("Not a first message of SCRAM")
    return identity(gs2.decoded(match[1])), identity(authzid) if authzid else ""


def initial_response(replay: Replay) -> bytes:
    """Return the client's own message; Refused if the store is to be told other names than stand in it."""
    user, authzid = names(replay.secret)
    if (user, authzid or user) != (replay.user, replay.authzid or replay.user):
        raise Refused(Refusal.NOT_AUTHORIZED, "SCRAM tells the store the name as it was typed, and no other")
    return replay.secret


# Judged here


@frozen
class Keys:
    """What is kept of a password to judge proofs by: whoever has it cannot say the password (RFC 5802, 3)."""

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    @classmethod
    def derive(cls, mechanism: str, password: bytes, salt: bytes, iterations: int = ITERATIONS) -> Keys:
        """Return those of a password, which takes milliseconds by design."""
        digest = DIGESTS[mechanism]
        salted = hashlib.pbkdf2_hmac(digest, _prepared(password), salt, iterations)
        client_key = hmac.digest(salted, b"Client Key", digest)
        stored_key = hashlib.new(digest, client_key).digest()
        return cls(salt, iterations, stored_key, hmac.digest(salted, b"Server Key", digest))


class Verification:
    """One exchange, judged by keys."""

    def __init__(self, credentials: Credentials, keys: Keys, nonce: bytes) -> None:
        """``nonce`` is printable ASCII without commas, and never comes again."""
        message = credentials.secret
        header, _ = gs2.header(message)
        self._digest = DIGESTS[credentials.mechanism]
        self._keys = keys
        self._bound = b"c=" + binascii.b2a_base64(header, newline=False)
        self._first = message[len(header) :]
        self._nonce = self._first.split(b",")[1] + nonce
        self.challenge = b"%b,s=%b,i=%d" % (self._nonce, binascii.b2a_base64(keys.salt, newline=False), keys.iterations)
        """What the client has to answer."""

    def verdict(self, response: bytes) -> bytes | None:
        """Return what proves to the client that we know its password too, or None if it has not proven that it does."""
        message, _, proof = response.rpartition(b",p=")
        signed = b",".join((self._first, self.challenge, message))
        signature = hmac.digest(self._keys.stored_key, signed, self._digest)
        try:
            client_key = _xor(binascii.a2b_base64(proof, strict_mode=True), signature)
        except ValueError:
            return None
        proven = hmac.compare_digest(hashlib.new(self._digest, client_key).digest(), self._keys.stored_key)
        expected = b"%b,%b" % (self._bound, self._nonce)
        if not proven or not (message == expected or message.startswith(expected + b",")):
            return None
        return b"v=" + binascii.b2a_base64(hmac.digest(self._keys.server_key, signed, self._digest), newline=False)


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _prepared(password: bytes) -> bytes:
    """Return a password in the form in which all that look alike are the same octets (SASLprep: RFC 4013, 2.1 and 2.2).

    What SASLprep forbids is left as it is: no client that keeps to the rule can say it.
    """
    try:
        text = password.decode()
    except UnicodeDecodeError:
        return password
    mapped = (" " if stringprep.in_table_c12(each) else each for each in text if not stringprep.in_table_b1(each))
    return unicodedata.normalize("NFKC", "".join(mapped)).encode()
