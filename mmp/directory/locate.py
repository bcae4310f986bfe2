"""Finds the account of somebody who logs in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import evolve, field, frozen

from mmp.directory.access import AccessByEntry
from mmp.directory.changes import comparable
from mmp.directory.domains import Domain, Domains
from mmp.directory.entry import AccountRules, Entry
from mmp.directory.interface import Directory
from mmp.directory.names import Names, Naming
from mmp.directory.state import AccountState
from mmp.directory.status import check_status
from mmp.directory.verify import RIGHT, Authority, Verdict
from mmp.errors import Refused
from mmp.interfaces import Ask
from mmp.model import Account, Administrator, Client, Credentials, Refusal, Standing
from mmp.wire.sasl import TOKENS
from mmp.wire.sasl.scram import DIGESTS

_WITHOUT_PASSWORD: Final = TOKENS | {"EXTERNAL"}


@frozen
class Locator:
    """Looks the user up, and has the secret judged as far as that is not for the store to do.

    ``doubt`` has the directory asked anew for what is remembered, and says whether that makes sense. ``changes`` tells
    how often something may have changed. ``number`` is this locator's among all. ``marks`` are attributes that are
    changed with a password; None if nobody tells of changes.
    """

    directory: Directory[Entry]
    naming: Naming = field(factory=Naming)
    rules: AccountRules = field(factory=AccountRules)
    authority: Authority = field(factory=Authority)
    domains: Domains | None = None
    access: AccessByEntry | None = None
    state: AccountState = field(factory=AccountState)
    doubt: Callable[[Names], bool] = lambda _: False
    changes: Callable[[], int] = lambda: 0
    number: int = 0
    marks: tuple[str, ...] | None = None

    async def locate(self, client: Client, credentials: Credentials, ask: Ask) -> Account:
        """Return the account of the user, or of whom the administrator wants to act as; or raise Refused.

        What is wrong with an account is told only to somebody who knows its secret, where we are the ones to judge it.
        """
        authority, note = self.authority, ""
        acting = authority.acts_for_another(credentials)
        if acting and authority.needs_membership(credentials):
            authority = evolve(authority, everything=True)
            credentials, note = await self._promoted(client, credentials, ask)
        changes = self.changes()
        typed = _whom(credentials, acting=acting)
        names = self.naming.names(client, typed)
        if self.domains is not None:
            names = await self.domains.place(names)
            authority = authority if acting else self._authority(names.within)
        judged = authority.judges(credentials)
        said_to_store = not (acting or judged)
        entry, administrator, verdict = await self._judged(authority, names, credentials, ask, alone=said_to_store)
        if changes != self.changes():
            names, entry = await self._anew(client, typed, entry, judged=judged)
        by_password = not (acting or verdict.policy_spoke or credentials.mechanism in _WITHOUT_PASSWORD)
        account = self._admit(client, names, entry, by_password=by_password)
        if not judged and credentials.mechanism in DIGESTS and account.replay_user != credentials.user:
            why = "SCRAM tells the store the name as it was typed, and no other"
            raise await authority.nobody_there(credentials, ask, why)
        standing = None if self.marks is None else self._standing(typed, names, entry, account.host)
        if not (administrator or judged or note or verdict.note or standing):
            return account
        return Account(
            account.user,
            account.replay_user,
            account.host,
            administrator,
            judged,
            note=note or verdict.note,
            standing=standing,
        )

    async def _promoted(self, client: Client, credentials: Credentials, ask: Ask) -> tuple[Credentials, str]:
        """Return the administrator's credentials for a member of the group, and what the log should know of the member.

        The password is judged here whoever judges those of others, since it is not said to any store. Refused as
        ``locate`` does.
        """
        changes = self.changes()
        names = await self._place(self.naming.names(client, credentials.user))
        authority = evolve(self.authority, everything=True)
        member, _, verdict = await self._judged(authority, names, evolve(credentials, authzid=""), ask)
        if changes != self.changes():
            names, member = await self._anew(client, credentials.user, member, judged=True)
        self._check(client, names, member, by_password=not verdict.policy_spoke)
        return await self.authority.promoted(member, credentials), verdict.note

    async def reconsider(self, client: Client, credentials: Credentials, ask: Ask, account: Account) -> Account | None:
        """Return the account as the directory has it now, if a login there would be another than the one refused.

        None also if the directory cannot say, and where the client would have to begin an exchange anew.
        """
        if credentials.mechanism in DIGESTS:
            return None
        try:
            whom = _whom(credentials, acting=self.authority.acts_for_another(credentials))
            self.doubt(await self._place(self.naming.names(client, whom)))
            now = await self.locate(client, credentials, ask)
        except Refused as refused:
            if refused.refusal is Refusal.DIRECTORY_UNAVAILABLE:
                return None
            raise
        return now if (now.host, now.replay_user) != (account.host, account.replay_user) else None

    async def _place(self, names: Names) -> Names:
        return names if self.domains is None else await self.domains.place(names)

    async def _judged(
        self, authority: Authority, names: Names, credentials: Credentials, ask: Ask, *, alone: bool = False
    ) -> tuple[Entry, Administrator | None, Verdict]:
        """Return the one entry, who has to log in at the store in place of the user, and what was found of the secret.

        ``alone``: the secret is the user's own, and the store's to judge. Refused as ``locate`` does.
        """
        entries = await self.directory.find(names)
        entry = entries[0] if len(entries) == 1 else None
        if alone and entry is not None:  # nearly always: there is nothing to ask of the authority
            return entry, None, RIGHT
        try:
            administrator, verdict = await authority.stand_in(entry, credentials, ask)
        except Refused as refused:
            fresh = await self._fresh(names, credentials, refused)
            if fresh is None or fresh == entry:
                raise
            entry = fresh
            administrator, verdict = await authority.stand_in(fresh, credentials, ask)
        if entry is None:
            why = "several entries match" if entries else self._unknown(names)
            raise await authority.nobody_there(credentials, ask, why)
        return entry, administrator, verdict

    async def _fresh(self, names: Names, credentials: Credentials, refused: Refused) -> Entry | None:
        """Return the entry as it is now, if a secret was wrong by a remembered one; an exchange cannot be repeated."""
        exchanged = credentials.mechanism in DIGESTS
        if refused.refusal is not Refusal.BAD_CREDENTIALS or exchanged or not self.doubt(names):
            return None
        entries = await self.directory.find(names)
        return entries[0] if len(entries) == 1 else None

    async def _anew(self, client: Client, typed: str, before: Entry, *, judged: bool) -> tuple[Names, Entry]:
        """Return what is known of a user now, since something has changed while the secret was judged.

        A client may take its time with an exchange, and nobody reviews a session of which it is not known yet whose it
        is. Refused if nobody is left, or the secret that was judged may be another, or another's, by now.
        """
        names = await self._place(self.naming.names(client, typed))
        entries = await self.directory.find(names)
        if len(entries) != 1:
            raise Refused(Refusal.BAD_CREDENTIALS, "several entries match" if entries else self._unknown(names))
        now = entries[0]
        if judged and (comparable(now.name), self._mark(now)) != (comparable(before.name), self._mark(before)):
            raise Refused(Refusal.DIRECTORY_UNAVAILABLE, "the user or the password was changed while it was judged")
        return names, now

    def _authority(self, domain: Domain | None) -> Authority:
        if domain is None or domain.verified_here is None:
            return self.authority
        return evolve(self.authority, everything=domain.verified_here)

    def _admit(self, client: Client, names: Names, user: Entry, *, by_password: bool) -> Account:
        self._check(client, names, user, by_password=by_password)
        return self.rules.account(names, user)

    def _check(self, client: Client, names: Names, user: Entry, *, by_password: bool) -> None:
        """Refused if the directory does not let the user in, or not from there."""
        of_domain = None if names.within is None else names.within.entry
        check_status(of_domain, user)
        if self.access is not None:
            self.access.check(client, of_domain, user)
        self.state.check(user, by_password=by_password)

    def _unknown(self, names: Names) -> str:
        return "unknown user" if self.domains is None or names.within is not None else "unknown or ambiguous domain"

    # Later

    def _standing(self, typed: str, names: Names, user: Entry, host: str) -> Standing:
        domain = names.within.entry.name if names.within is not None else ""
        return Standing(self.number, typed, user.name, domain, host, self._mark(user))

    def _mark(self, user: Entry) -> int:
        return hash(tuple(user.get(attribute) for attribute in self.marks or ()))

    async def objection(self, client: Client, standing: Standing) -> str:
        """Return why a session that was let in by this would not be any more; empty if it would.

        Refused if the directory cannot say.
        """
        try:
            names = await self._place(evolve(self.naming.names(client, standing.name), current=True))
            entries = await self.directory.find(names)
            if len(entries) != 1:
                return "several entries match" if entries else self._unknown(names)
            account = self._admit(client, names, entries[0], by_password=False)
        except Refused as refused:
            if refused.refusal is Refusal.DIRECTORY_UNAVAILABLE:
                raise
            return refused.reason
        if account.host != standing.host:
            return f"the store is {account.host} now"
        return "" if self._mark(entries[0]) == standing.mark else "the password was changed"


def _whom(credentials: Credentials, *, acting: bool) -> str:
    """Return the name, as typed, of the user in whose place the store is to let the client in."""
    return credentials.authzid if acting else credentials.user
