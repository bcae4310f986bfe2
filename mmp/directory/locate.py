"""Finds the account of somebody who logs in."""

from __future__ import annotations

from typing import Final

from attrs import evolve, field, frozen

from mmp.directory.access import AccessByEntry
from mmp.directory.domains import Domain, Domains
from mmp.directory.entry import AccountRules, Entry
from mmp.directory.interface import Directory
from mmp.directory.names import Names, Naming
from mmp.directory.state import AccountState
from mmp.directory.status import check_status
from mmp.directory.verify import Authority
from mmp.interfaces import Ask
from mmp.model import Account, Client, Credentials
from mmp.wire.sasl import TOKENS
from mmp.wire.sasl.scram import DIGESTS

_WITHOUT_PASSWORD: Final = TOKENS | {"EXTERNAL"}


@frozen
class Locator:
    """Looks the user up, and has the secret judged as far as that is not for the store to do."""

    directory: Directory[Entry]
    naming: Naming = field(factory=Naming)
    rules: AccountRules = field(factory=AccountRules)
    authority: Authority = field(factory=Authority)
    domains: Domains | None = None
    access: AccessByEntry | None = None
    state: AccountState = field(factory=AccountState)

    async def locate(self, client: Client, credentials: Credentials, ask: Ask) -> Account:
        """Return the account of the user, or of whom the administrator wants to act as; or raise Refused.

        What is wrong with an account is told only to somebody who knows its secret, where we are the ones to judge it.
        """
        acting = self.authority.acts_for_another(credentials)
        names = self.naming.names(client, credentials.authzid if acting else credentials.user)
        if self.domains is not None:
            names = await self.domains.place(names)
        entries = await self.directory.find(names)
        entry = entries[0] if len(entries) == 1 else None
        authority = self.authority if acting else self._authority(names.within)
        administrator, verdict = await authority.stand_in(entry, credentials, ask)
        if entry is None:
            why = "several entries match" if entries else self._unknown(names)
            raise await authority.nobody_there(credentials, ask, why)
        self._check(client, names.within, entry)
        by_password = not (acting or verdict.policy_spoke or credentials.mechanism in _WITHOUT_PASSWORD)
        self.state.check(entry, by_password=by_password)
        account = self.rules.account(names, entry)
        judged = authority.judges(credentials)
        if not judged and credentials.mechanism in DIGESTS and account.replay_user != credentials.user:
            why = "SCRAM tells the store the name as it was typed, and no other"
            raise await authority.nobody_there(credentials, ask, why)
        if administrator is None and not judged:
            return account
        return evolve(account, administrator=administrator, judged=judged, note=verdict.note)

    def _authority(self, domain: Domain | None) -> Authority:
        if domain is None or domain.verified_here is None:
            return self.authority
        return evolve(self.authority, everything=domain.verified_here)

    def _check(self, client: Client, domain: Domain | None, user: Entry) -> None:
        """Raise Refused if the directory does not let the user in, or not from there."""
        of_domain = None if domain is None else domain.entry
        check_status(of_domain, user)
        if self.access is not None:
            self.access.check(client, of_domain, user)

    def _unknown(self, names: Names) -> str:
        return "unknown user" if self.domains is None or names.within is not None else "unknown or ambiguous domain"
