"""PLAIN, both halves: authzid NUL authcid NUL password, in one message (RFC 4616)."""

from __future__ import annotations

from mmp.errors import Refused
from mmp.model import Credentials, Refusal, Replay
from mmp.wire.sasl.mechanism import SASLError, identity

_NULS = 2
"""In a message: one between each two parts."""


class PlainServer:
    """Takes the one message of a client."""

    def next(self, response: bytes | None) -> bytes | Credentials:
        """Challenge with nothing while there is no message yet, else take it apart."""
        if response is None:
            return b""
        try:
            authzid, authcid, secret = response.split(b"\0")
        except ValueError:
            raise SASLError("PLAIN takes two NULs") from None
        return Credentials(
            mechanism="PLAIN",
            user=identity(authcid),
            secret=secret,
            authzid=identity(authzid) if authzid and authzid != authcid else "",
        )


def initial_response(replay: Replay) -> bytes:
    """Return the client's message; no part may hold a NUL."""
    message = b"\0".join((replay.authzid.encode(), replay.user.encode(), replay.secret))
    if message.count(b"\0") != _NULS:
        raise Refused(Refusal.BAD_CREDENTIALS, "NUL in the user name or password to replay")
    return message
