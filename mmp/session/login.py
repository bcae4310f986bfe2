"""One attempt to log in: who is it, may they, and does the store agree."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Protocol

from attrs import define, frozen

from mmp.interfaces import Ask, Authenticator, Backend, Dialer, Lease, Limits
from mmp.model import Credentials
from mmp.session.record import Record


@frozen
class Relayed:
    """What a successful login leaves: a store connection on which the user is logged in, and the slot it takes."""

    backend: Backend
    lease: Lease

    def closing(self) -> ExitStack:
        """Return a stack that closes both, unless it is disarmed with ``pop_all``."""
        stack = ExitStack()
        stack.callback(self.lease.close)
        stack.callback(self.backend.channel.abort)
        return stack


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
        account = await self.authenticator.locate(record.client, credentials, ask)
        record.user, record.backend = account.user, account.host
        with ExitStack() as held:
            lease = await self.limits.admit(record.client, account)
            held.callback(lease.close)
            backend = await self.dialer.connect(record.client, account, credentials, ask)
            held.pop_all()
        return Relayed(backend, lease)
