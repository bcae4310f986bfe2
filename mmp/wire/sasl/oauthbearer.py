"""OAUTHBEARER, both halves: an access token, and on whose behalf, in one message (RFC 7628, 3).

A store that takes no such token says why in a challenge, which the client answers with a control-A before it is
refused (3.2.3).
"""

from __future__ import annotations

from mmp.model import Credentials, Replay
from mmp.wire.sasl import bearer, gs2
from mmp.wire.sasl.mechanism import SASLError, identity


class OAuthBearerServer:
    """Takes the one message of a client."""

    def next(self, response: bytes | None) -> bytes | Credentials:
        """Challenge with nothing while there is no message yet, else take it apart.

        The user is the authorization identity, or what some clients give as ``user`` as in XOAUTH2. A message without
        either is refused: what the token says is for the store to read.
        """
        if response is None:
            return b""
        header, name = gs2.header(response)
        if response[len(header) : len(header) + 1] != b"\x01":
            raise SASLError("Not a list of pairs")
        found = bearer.pairs(response[len(header) + 1 :])
        user = identity(name or found.get(b"user", b""))
        return Credentials(mechanism="OAUTHBEARER", user=user, secret=bearer.token(found))


def initial_response(replay: Replay) -> bytes:
    """Return the client's message."""
    return b"n,a=%b,\x01auth=Bearer %b\x01\x01" % (gs2.encoded(replay.user.encode()), replay.secret)
