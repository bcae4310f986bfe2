"""XOAUTH2, both halves: a user name and an access token, in one message (Google's precursor of RFC 7628).

A store that takes no such token says why in a challenge, which the client answers with nothing before it is refused.
"""

from __future__ import annotations

from mmp.model import Credentials, Replay
from mmp.wire.sasl import bearer
from mmp.wire.sasl.mechanism import identity


class XOAuth2Server:
    """Takes the one message of a client."""

    def next(self, response: bytes | None) -> bytes | Credentials:
        """Challenge with nothing while there is no message yet, else take it apart."""
        if response is None:
            return b""
        found = bearer.pairs(response)
        return Credentials(mechanism="XOAUTH2", user=identity(found.get(b"user", b"")), secret=bearer.token(found))


def initial_response(replay: Replay) -> bytes:
    """Return the client's message."""
    return b"user=%b\x01auth=Bearer %b\x01\x01" % (replay.user.encode(), replay.secret)
