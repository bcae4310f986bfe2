"""CRAM-MD5, the half toward the client: a challenge, and a digest of it with the password as the key (RFC 2195).

Toward a store it is not needed: who can say a CRAM-MD5 response knows the password and can say that.
"""

from __future__ import annotations

import hmac
import re

from attrs import frozen

from mmp.model import Credentials
from mmp.wire.sasl.mechanism import SASLError, identity

_RESPONSE = re.compile(rb"(.*) ([0-9a-f]{32})", re.DOTALL)


@frozen
class CramMD5Server:
    """Challenges with a timestamp."""

    _timestamp: bytes

    def next(self, response: bytes | None) -> bytes | Credentials:
        """Challenge, then take the answer apart: what is in front of the digest is the name, blanks and all."""
        if response is None:
            return self._timestamp
        match = _RESPONSE.fullmatch(response)
        if match is None:
            raise SASLError("CRAM-MD5 takes a user name and a digest, in answer to its challenge")
        timestamp, digest = self._timestamp, match[2].decode()
        return Credentials(
            mechanism="CRAM-MD5",
            user=identity(match[1]),
            secret=b"",
            proves=lambda password: hmac.compare_digest(hmac.digest(password, timestamp, "md5").hex(), digest),
        )
