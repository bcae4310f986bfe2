"""One attempt to log in: who is it, may they, and does the store agree."""

from __future__ import annotations

from typing import Final, Protocol

from attrs import define, frozen

from mmp.errors import Refused
from mmp.interfaces import Ask, Authenticator, Backend, Dialer, Lease, Limits
from mmp.model import Account, Credentials, Refusal
from mmp.session.record import Record

_DOUBTFUL: Final = frozenset({Refusal.BAD_CREDENTIALS, Refusal.NOT_AUTHORIZED, Refusal.ACCOUNT_DISABLED})
"""What a store says of somebody whose mail it keeps no more."""


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
    """Locate, admit, connect; the store's yes is the login's, its no as well if the mail is still said to be there.

    ``relayed`` says that the directory does not choose the store, so that none is the wrong one.
    """

    authenticator: Authenticator
    limits: Limits
    dialer: Dialer
    relayed: bool = False

    async def __call__(self, record: Record, credentials: Credentials, ask: Ask) -> Relayed:
        """Return what the relay takes over, or raise Refused; a cancelled attempt gives back what it held."""
        if record.client.ttl <= 1:  # before anybody is looked up: whoever says so must not learn who exists
            raise Refused(Refusal.INTERNAL, "through too many proxies already: they seem to form a loop")
        account = await self.authenticator.locate(record.client, credentials, ask)
        try:
            return await self._log_in(record, account, credentials, ask)
        except Refused as refused:
            if self.relayed or refused.refusal not in _DOUBTFUL:
                raise
            moved = await self.authenticator.reconsider(record.client, credentials, ask, account)
            if moved is None:
                raise
        return await self._log_in(record, moved, credentials, ask)

    async def _log_in(self, record: Record, account: Account, credentials: Credentials, ask: Ask) -> Relayed:
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
