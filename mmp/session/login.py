"""One attempt to log in: who is it, may they, and does the store agree."""

from __future__ import annotations

from typing import Protocol

from attrs import define, frozen

from mmp.errors import Refused
from mmp.interfaces import Ask, Authenticator, Backend, Dialer, Lease, Limits
from mmp.model import Credentials, Refusal
from mmp.session.record import Record


@frozen
class Relayed:
    """What a successful login leaves: a store connection on which the user is logged in, and the slot it takes."""

    backend: Backend
    lease: Lease

    def close(self) -> None:
        """Give both up."""
        self.backend.channel.abort()
        self.lease.close()


class LogIn(Protocol):
    """Makes one attempt to log a client in; policies wrap it."""

    async def __call__(self, record: Record, credentials: Credentials, ask: Ask) -> Relayed:
        """Return what the relay takes over, or raise Refused; ``record`` learns on the way what becomes known."""


@define(eq=False)
class Login:
    """Locate, admit, connect; the store's yes is the login's."""

    authenticator: Authenticator
    limits: Limits
    dialer: Dialer

    async def __call__(self, record: Record, credentials: Credentials, ask: Ask) -> Relayed:
        """Return what the relay takes over, or raise Refused; a cancelled attempt gives back what it held."""
        if record.client.ttl <= 1:  # before anybody is looked up: whoever says so must not learn who exists
            raise Refused(Refusal.INTERNAL, "through too many proxies already: they seem to form a loop")
        account = await self.authenticator.locate(record.client, credentials, ask)
        record.user, record.backend = account.user, account.host
        record.note, record.standing = account.note, account.standing
        lease = await self.limits.admit(record.client, account)
        try:
            backend = await self.dialer.connect(record.client, account, credentials, ask)
        except BaseException:
            lease.close()
            raise
        record.backend = backend.name
        return Relayed(backend, lease)
