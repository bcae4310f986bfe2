"""Finds the account of somebody who logs in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from attrs import evolve, field, frozen

from mmp.directory.access import AccessByEntry
from mmp.directory.changes import comparable
from mmp.directory.domains import Domain, Domains
from mmp.directory.entry import AccountRules, Entry
from mmp.directory.interface import Directory
from mmp.directory.names import Names, Naming
from mmp.directory.state import AccountState
from mmp.directory.status import USER_STATUS, check_status
from mmp.directory.verify import RIGHT, Authority, Verdict
from mmp.errors import Refused
from mmp.interfaces import Ask
from mmp.model import Account, Administrator, Client, Credentials, Refusal, Standing
from mmp.wire.sasl import TOKENS
from mmp.wire.sasl.scram import DIGESTS

_WITHOUT_PASSWORD: Final = TOKENS | {"EXTERNAL"}


class Memory(Protocol):
    """What is remembered of a directory."""

    @property
    def changes(self) -> int:
        """How often something may have changed."""

    def doubt(self, names: Names) -> bool:
        """Have the directory asked anew for what is remembered; say whether that makes sense."""


@frozen
class NoMemory:
    """That of a directory of which nothing is remembered."""

    changes: int = 0

    def doubt(self, names: Names) -> bool:  # noqa: ARG002 - as Memory has it
        """Say that it makes no sense."""
        return False


@frozen
class Locator:
    """Looks the user up, and has the secret judged as far as that is not for the store to do.

    ``number`` is this locator's among all. ``marks`` are attributes that are changed with a password; None if nobody
    tells of changes.
    """

    directory: Directory[Entry]
    naming: Naming = field(factory=Naming)
    rules: AccountRules = field(factory=AccountRules)
    authority: Authority = field(factory=Authority)
    domains: Domains | None = None
    access: AccessByEntry | None = None
    state: AccountState = field(factory=AccountState)
    memory: Memory = field(factory=NoMemory)
    number: int = 0
    marks: tuple[str, ...] | None = None
    _barring: frozenset[str] = field(init=False, repr=False, eq=False)
    """The attributes of a user's entry, in lower case, that may keep the user out."""

    @_barring.default
    def _all_that_bar(self) -> frozenset[str]:
        access = () if self.access is None else (self.access.attribute,)
        return frozenset(map(str.lower, (*USER_STATUS, *access, *self.state.attributes)))

    _marking: tuple[str, ...] = field(init=False, repr=False, eq=False)
    """Those that mark a password, in lower case."""

    @_marking.default
    def _lower_marks(self) -> tuple[str, ...]:
        return tuple(map(str.lower, self.marks or ()))

    async def locate(self, client: Client, credentials: Credentials, ask: Ask) -> Account:
        """Return the account of the user, or of whom the administrator wants to act as; or raise Refused.

        What is wrong with an account is told only to somebody who knows its secret, where we are the ones to judge it.
        """
        authority, note = self.authority, ""
        acting = bool(credentials.authzid) and authority.acts_for_another(credentials)
        if acting and authority.needs_membership(credentials):
            authority = evolve(authority, everything=True)
            credentials, note = await self._promoted(client, credentials, ask)
        changes = self.memory.changes
        typed = credentials.authzid if acting else credentials.user
        names = self.naming.names(client, typed)
        if self.domains is not None:
            names = await self.domains.place(names)
            authority = authority if acting else self._authority(names.within)
        judged = authority.judges(credentials)
        entries = await self.directory.find(names)
        if len(entries) == 1 and not (acting or judged):  # nearly always: the secret is the store's to judge
            entry, administrator, verdict = entries[0], None, RIGHT
        else:
            entry, administrator, verdict = await self._judged(authority, names, entries, credentials, ask)
        if changes != self.memory.changes:
            names, entry = await self._anew(client, typed, entry, judged=judged)
        by_password = not (acting or verdict.policy_spoke or credentials.mechanism in _WITHOUT_PASSWORD)
        self._check(client, names, entry, by_password=by_password)
        account = self.rules.account(names, entry)
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
        changes = self.memory.changes
        names = await self._place(self.naming.names(client, credentials.user))
        authority = evolve(self.authority, everything=True)
        entries = await self.directory.find(names)
        member, _, verdict = await self._judged(authority, names, entries, evolve(credentials, authzid=""), ask)
        if changes != self.memory.changes:
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
            acting = self.authority.acts_for_another(credentials)
            whom = credentials.authzid if acting else credentials.user
            self.memory.doubt(await self._place(self.naming.names(client, whom)))
            now = await self.locate(client, credentials, ask)
        except Refused as refused:
            if refused.refusal is Refusal.DIRECTORY_UNAVAILABLE:
                return None
            raise
        return now if (now.host, now.replay_user) != (account.host, account.replay_user) else None

    async def _place(self, names: Names) -> Names:
        return names if self.domains is None else await self.domains.place(names)

    async def _judged(
        self, authority: Authority, names: Names, entries: Sequence[Entry], credentials: Credentials, ask: Ask
    ) -> tuple[Entry, Administrator | None, Verdict]:
        """Return the one entry, who has to log in at the store in place of the user, and what was found of the secret.

        ``entries`` are those that were found by the names. Refused as ``locate`` does.
        """
        entry = entries[0] if len(entries) == 1 else None
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
        if refused.refusal is not Refusal.BAD_CREDENTIALS or exchanged or not self.memory.doubt(names):
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

    def _check(self, client: Client, names: Names, user: Entry, *, by_password: bool) -> None:
        """Refused if the directory does not let the user in, or not from there."""
        if names.within is None and user.lacks(self._barring):  # mostly nothing is said, and a dozen calls are saved
            return
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
        return hash(tuple([user.attributes.get(mark, ()) for mark in self._marking]))

    async def objection(self, client: Client, standing: Standing) -> str:
        """Return why a session that was let in by this would not be any more; empty if it would.

        Refused if the directory cannot say.
        """
        try:
            names = await self._place(self.naming.names(client, standing.name)._replace(current=True))
            entries = await self.directory.find(names)
            if len(entries) != 1:
                return "several entries match" if entries else self._unknown(names)
            self._check(client, names, entries[0], by_password=False)
            account = self.rules.account(names, entries[0])
        except Refused as refused:
            if refused.refusal is Refusal.DIRECTORY_UNAVAILABLE:
                raise
            return refused.reason
        if account.host != standing.host:
            return f"the store is {account.host} now"
        return "" if self._mark(entries[0]) == standing.mark else "the password was changed"
