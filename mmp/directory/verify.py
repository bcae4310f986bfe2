"""Who judges the secret, who may act as another user, and by whose login the store is then reached."""

from __future__ import annotations

import hmac
from typing import Final, Protocol

from attrs import evolve, frozen

from mmp.directory.entry import Entry
from mmp.directory.group import Group
from mmp.errors import Refused
from mmp.interfaces import Ask
from mmp.model import Administrator, Credentials, Refusal
from mmp.wire.sasl import TOKENS, replayed
from mmp.wire.sasl.scram import DIGESTS


@frozen
class Verdict:
    """Whether the client knows the secret.

    ``note`` is what the log should know besides: of a wrong one why, of one that is right that it will not be for long.
    ``policy_spoke``: whether the directory's own password policy has had its say, so that we need not think of it.
    """

    right: bool
    note: str = ""
    policy_spoke: bool = False


RIGHT: Final = Verdict(right=True)
WRONG: Final = Verdict(right=False)


class Judge(Protocol):
    """Knows what a user's secret is."""

    async def __call__(self, entry: Entry | None, credentials: Credentials, ask: Ask) -> Verdict:
        """Judge whether the client knows the secret of this entry; Refused if that cannot be said now, or is no use.

        It takes as long, and asks as much, where there is no such user.
        """


async def nobody(entry: Entry | None, credentials: Credentials, ask: Ask) -> Verdict:  # noqa: ARG001 - a judge's
    """Judge where no secret is known: none is right."""
    return WRONG


@frozen
class Authority:
    """What is judged here: everything but tokens, or only what cannot be said again to the store.

    The latter are the mechanisms that prove that the client knows a password without showing it. What is not judged
    here, the store judges. ``group`` has the members who may act as the administrator does, if there are any such.
    """

    judge: Judge = nobody
    everything: bool = False
    administrator: Administrator | None = None
    group: Group | None = None

    def acts_for_another(self, credentials: Credentials) -> bool:
        """Tell whether somebody asks to act as another user; Refused if they may not, or not by this mechanism."""
        if credentials.authzid in {"", credentials.user}:
            return False
        if self.administrator is None or not (self.group or credentials.user == self.administrator.user):
            raise Refused(Refusal.NOT_AUTHORIZED, "only the administrator may act as another user")
        if credentials.proves is not None or replayed(credentials.mechanism) != "PLAIN":
            raise Refused(
                Refusal.NOT_AUTHORIZED, f"who acts as another user needs a password, not {credentials.mechanism}"
            )
        return True

    def needs_membership(self, credentials: Credentials) -> bool:
        """Tell whether somebody who asks to act as another user may do so only as a member of the group."""
        return self.administrator is not None and credentials.user != self.administrator.user

    async def promoted(self, member: Entry, credentials: Credentials) -> Credentials:
        """Return credentials of the administrator in place of those of a member; Refused if they are none."""
        if self.administrator is None or self.group is None or not await self.group.has(member):
            raise Refused(Refusal.NOT_AUTHORIZED, "not a member of the group that may act as another user")
        if credentials.authzid == self.administrator.user:  # it would pass for the administrator's own login
            raise Refused(Refusal.NOT_AUTHORIZED, "a member of the group may not act as the administrator")
        return evolve(credentials, user=self.administrator.user, secret=self.administrator.secret)

    def judges(self, credentials: Credentials) -> bool:
        """Tell whether the secret is for us to judge."""
        return credentials.proves is not None or (self.everything and credentials.mechanism not in TOKENS)

    async def stand_in(
        self, entry: Entry | None, credentials: Credentials, ask: Ask
    ) -> tuple[Administrator | None, Verdict]:
        """Judge what is to be judged here, and return who has to log in at the store in place of the user.

        With it comes what was found of the secret, which counts as right where it is not for us to judge. Refused if it
        is wrong.
        """
        if self.acts_for_another(credentials):
            return self._acting(credentials), RIGHT
        if not self.judges(credentials):
            return None, RIGHT
        verdict = await self.judge(entry, credentials, ask)
        if not verdict.right:
            raise Refused(Refusal.BAD_CREDENTIALS, (verdict.note or "wrong password") if entry else "unknown user")
        return self._replaying(credentials), verdict

    def _replaying(self, credentials: Credentials) -> Administrator | None:
        """Return who has to log in in place of a user whose secret is right and cannot be said again."""
        if credentials.proves is None and replayed(credentials.mechanism) == "PLAIN":
            return None
        if self.administrator is None or not self.administrator.secret:
            raise Refused(Refusal.BACKEND_UNAVAILABLE, "no password to say to the store, and no administrator's either")
        return self.administrator

    async def nobody_there(self, credentials: Credentials, ask: Ask, why: str) -> Refused:
        """Ask what a store would, where there is none to ask, since it would show at once that nobody is there.

        Return how it ends.
        """
        if credentials.mechanism in DIGESTS and not self.judges(credentials):
            await self.judge(None, credentials, ask)
        return Refused(Refusal.BAD_CREDENTIALS, why)

    def _acting(self, credentials: Credentials) -> Administrator:
        """Return the administrator with the password as given, which the store judges unless that is for us to do."""
        known = self.administrator
        if self.everything and not (known and hmac.compare_digest(credentials.secret, known.secret)):
            raise Refused(Refusal.BAD_CREDENTIALS, "wrong password of the administrator")
        return Administrator(credentials.user, credentials.secret)
