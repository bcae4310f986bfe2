"""Finds the account of somebody who logs in."""

from __future__ import annotations

from attrs import evolve, field, frozen

from mmp.directory.entry import AccountRules
from mmp.directory.interface import Directory
from mmp.directory.names import Naming
from mmp.directory.verify import Authority
from mmp.errors import Refused
from mmp.interfaces import Ask
from mmp.model import Account, Client, Credentials, Refusal


@frozen
class Locator:
    """Looks the user up, and has the secret judged as far as that is not for the store to do."""

    directory: Directory
    naming: Naming = field(factory=Naming)
    rules: AccountRules = field(factory=AccountRules)
    authority: Authority = field(factory=Authority)

    async def locate(self, client: Client, credentials: Credentials, ask: Ask) -> Account:
        """Return the account of the user, or of whom the administrator wants to act as; or raise Refused.

        What is wrong with an account is told only to somebody who knows its secret, where we are the ones to judge it.
        """
        acting = self.authority.acts_for_another(credentials)
        names = self.naming.names(client, credentials.authzid if acting else credentials.user)
        entries = await self.directory.find(names)
        entry = entries[0] if len(entries) == 1 else None
        administrator = await self.authority.stand_in(entry, credentials, ask)
        if entry is None:
            raise Refused(Refusal.BAD_CREDENTIALS, "several entries match" if entries else "unknown user")
        judged = self.authority.judges(credentials)
        return evolve(self.rules.account(names, entry), administrator=administrator, judged=judged)
