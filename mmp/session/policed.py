"""Having somebody else judge each login attempt before it is made, and telling them how it went."""

from __future__ import annotations

from attrs import define

from mmp.errors import Refused
from mmp.interfaces import Ask, Policy
from mmp.model import Credentials, Refusal
from mmp.session.login import LogIn, Relayed
from mmp.session.record import Record


@define(eq=False)
class Policed:
    """A login attempt that a policy may slow down or refuse."""

    policy: Policy
    log_in: LogIn

    async def __call__(self, record: Record, credentials: Credentials, ask: Ask) -> Relayed:
        """Return what ``log_in`` returns; an outage of a directory or a store is not told."""
        await self.policy.allow(record.client, credentials)
        try:
            relayed = await self.log_in(record, credentials, ask)
        except Refused as refused:
            if refused.refusal is Refusal.BAD_CREDENTIALS:
                self.policy.report(record.client, credentials, success=False)
            raise
        try:
            self.policy.report(record.client, credentials, success=True)
        except BaseException:
            relayed.close()
            raise
        return relayed
