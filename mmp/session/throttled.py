"""Slowing down those who guess, around a whole login attempt.

Around all of it, because where the store judges the password only its answer tells whether it was right.
"""

from __future__ import annotations

from typing import Final

from attrs import define

from mmp.errors import Refused
from mmp.interfaces import Ask, Throttle
from mmp.model import Credentials, Refusal
from mmp.session.login import LogIn, Relayed
from mmp.session.record import Record

_FAILURES: Final = frozenset({Refusal.BAD_CREDENTIALS, Refusal.ACCOUNT_LOCKED})
"""A lock is mostly there for the guesses before this one, and is told to whoever guesses next."""


@define(eq=False)
class Throttled:
    """A login attempt that may be held back first, and whose outcome is remembered."""

    throttle: Throttle
    log_in: LogIn

    async def __call__(self, record: Record, credentials: Credentials, ask: Ask) -> Relayed:
        """Return what ``log_in`` returns; a directory or a store that is away is nobody's fault."""
        attempt = await self.throttle.hold(record.client, credentials)
        try:
            relayed = await self.log_in(record, credentials, ask)
            try:
                attempt.succeeded()
            except BaseException:
                relayed.close()
                raise
        except Refused as refused:
            if refused.refusal in _FAILURES:
                attempt.failed()
            raise
        finally:
            attempt.close()
        return relayed
