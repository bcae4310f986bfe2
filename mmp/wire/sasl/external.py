"""EXTERNAL, the half toward the client: what TLS has shown already says who it is (RFC 4422, appendix A)."""

from __future__ import annotations

from mmp.model import Credentials
from mmp.wire.sasl.mechanism import identity


class ExternalServer:
    """Takes the one message of a client: whom it wants to act as, or nothing, which leaves that to the certificate.

    It says nothing of a password, and so can prove none: whoever does not know of certificates lets nobody in.
    """

    def next(self, response: bytes | None) -> bytes | Credentials:
        """Challenge with nothing while there is no message yet."""
        if response is None:
            return b""
        user = identity(response) if response else ""
        return Credentials(mechanism="EXTERNAL", user=user, secret=b"", proves=_no_password)


def _no_password(_password: bytes) -> bool:
    return False
