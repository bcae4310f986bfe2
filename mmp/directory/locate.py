"""Finds the account of somebody who logs in."""

from __future__ import annotations

from attrs import field, frozen

from mmp.directory.entry import AccountRules
from mmp.directory.interface import Directory
from mmp.directory.names import Naming
from mmp.errors import Refused
from mmp.interfaces import Ask
from mmp.model import Account, Client, Credentials, Refusal


@frozen
class Locator:
    """The authenticator for stores that judge the password themselves: it finds the user and looks at no secret."""

    directory: Directory
    naming: Naming = field(factory=Naming)
    rules: AccountRules = field(factory=AccountRules)

    async def locate(self, client: Client, credentials: Credentials, ask: Ask) -> Account:  # noqa: ARG002 - the seam's
        """Return the account, or raise Refused."""
        if credentials.authzid not in {"", credentials.user}:
            raise Refused(Refusal.NOT_AUTHORIZED, "nobody may act as another user")
        names = self.naming.names(client, credentials.user)
        entries = await self.directory.find(names)
        if len(entries) != 1:
            raise Refused(Refusal.BAD_CREDENTIALS, "several entries match" if entries else "unknown user")
        return self.rules.account(names, entries[0])
