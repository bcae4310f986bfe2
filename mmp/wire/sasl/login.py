"""LOGIN, both halves: the user name, then the password, each when asked for (draft-murchison-sasl-login)."""

from __future__ import annotations

from attrs import define, field

from mmp.model import Credentials, Replay
from mmp.wire.sasl.mechanism import SASLError, identity


@define(eq=False, repr=False)
class LoginServer:
    """Asks in the two words that clients look for."""

    _user: str = field(default="", init=False)

    def next(self, response: bytes | None) -> bytes | Credentials:
        """Ask for the name, then for the password; an initial response is the name, as many clients send it."""
        if response is None:
            return b"Username:"
        if not self._user:
            self._user = identity(response)
            return b"Password:"
        if b"\0" in response:
            raise SASLError("NUL in the password")
        return Credentials(mechanism="LOGIN", user=self._user, secret=response)


def responses(replay: Replay) -> tuple[bytes, bytes]:
    """Return what the store asks for, in order; for an authzid LOGIN has no place."""
    return replay.user.encode(), replay.secret
