"""SCRAM-SHA-256 and SCRAM-SHA-1, passed through: we read who it is, client and store do the rest (RFC 5802, RFC 7677).

The messages reach the store as they are, since the proof covers them: no name in them can be changed on the way.
"""

from __future__ import annotations

import re

from attrs import frozen

from mmp.errors import Refused
from mmp.model import Credentials, Refusal, Replay
from mmp.wire.sasl import gs2
from mmp.wire.sasl.mechanism import SASLError, identity

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
        raise Refused(Refusal.BACKEND_UNAVAILABLE, "SCRAM tells the store the name as it was typed, and no other")
    return replay.secret
