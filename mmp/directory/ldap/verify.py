"""Judges passwords by a bind as the user (RFC 4511, 4.2), on connections that are for nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from attrs import define, field, frozen
from twisted.internet.defer import DeferredSemaphore

from mmp.directory.availability import Pace
from mmp.directory.entry import Entry
from mmp.directory.ldap import policy
from mmp.directory.ldap.link import Answer, Link
from mmp.directory.ldap.replica import Opening
from mmp.directory.ldap.requests import Simple
from mmp.directory.ldap.responses import BIND_RESPONSE, INVALID_CREDENTIALS, SUCCESS
from mmp.directory.verify import WRONG, Judge, Verdict
from mmp.errors import Refused
from mmp.interfaces import Ask
from mmp.model import Credentials, Refusal
from mmp.wire.sasl import replayed

USER_PASSWORD: Final = "userPassword"  # noqa: S105 - the attribute's name
"""The attribute that holds the password (RFC 4519, 2.41), for mechanisms that a bind cannot judge."""
_NOT_THIS_PASSWORD: Final = frozenset({32, 48, INVALID_CREDENTIALS, 53})
"""Codes by which servers say no to a name and password: no such object, inappropriate authentication, invalid
credentials, and unwilling to perform, which is what an account that was closed gets."""
_REFUSALS: Final = {
    policy.PASSWORD_EXPIRED: Refusal.PASSWORD_EXPIRED,
    policy.ACCOUNT_LOCKED: Refusal.ACCOUNT_LOCKED,
    policy.CHANGE_AFTER_RESET: Refusal.PASSWORD_MUST_CHANGE,
}
"""What the errors of a password policy mean, beside a yes too: a bind that is good for nothing but a new password."""
_MOST_UNDER_WAY: Final = 32
"""Binds at a time to each server, each on a connection of its own: who guesses by the thousand shall not take all that
the server has. More wait. OpenLDAP works at 16 (olcThreads)."""
_MOST_IDLE: Final = 8
"""Connections kept for each server."""
_AVOIDED: Final = 5.0
"""Seconds."""


@define(eq=False)
class BindingReplica:
    """A server, and the connections to it on which nothing is under way.

    A bind takes a connection for itself, since it ends whatever else is under way there.
    """

    opening: Opening
    """Without credentials: the users' are what the connections are for."""
    pace: Pace
    _turns: DeferredSemaphore = field(factory=lambda: DeferredSemaphore(_MOST_UNDER_WAY), init=False)
    _idle: list[Link] = field(factory=list, init=False)
    _avoid_until: float = field(default=0.0, init=False)

    @property
    def avoided(self) -> bool:
        """Whether it failed a moment ago, so that others are asked first."""
        return self.opening.clock.seconds() < self._avoid_until

    async def bind(self, credentials: Simple) -> Answer:
        """Return the answer to a bind; ConnectionError or TimeoutError if there is none."""
        waits = not self._turns.tokens
        await self._turns.acquire()
        try:
            if waits and self.avoided:
                raise ConnectionError("it has failed others meanwhile")
            if (idle := self._take()) is not None:
                with suppress(ConnectionError):  # servers close what is idle, perhaps this moment
                    return await self._ask(idle, credentials)
            return await self._ask(await self.opening.link(), credentials)
        except OSError:
            self._avoid_until = self.opening.clock.seconds() + _AVOIDED
            raise
        finally:
            self._turns.release()

    async def _ask(self, link: Link, credentials: Simple) -> Answer:
        try:
            answer = await self.pace.measured(link.ask(credentials.operation(), BIND_RESPONSE))
        except BaseException:  # a cancellation too: what is answered late must not be taken for another's answer
            link.abort("not answered")
            raise
        if len(self._idle) < _MOST_IDLE:
            self._idle.append(link)
        else:
            link.close()
        return answer

    def _take(self) -> Link | None:
        while self._idle:
            link = self._idle.pop()
            if link.usable:
                return link
        return None


@frozen
class BindJudge:
    """Judges passwords by the first replica that answers; by the entry what is no password."""

    replicas: Sequence[BindingReplica]
    base: str
    """Where users are; a name below it that nobody has stands for an unknown user."""
    by_entry: Judge
    others: Mapping[str, Sequence[BindingReplica]] = field(factory=dict)
    """Servers that the directory may refer to, as entries name them: who was found there is judged there."""

    async def __call__(self, entry: Entry | None, credentials: Credentials, ask: Ask) -> Verdict:
        """Judge the secret by this entry's name; an empty password is never right."""
        if credentials.proves is not None or replayed(credentials.mechanism) != "PLAIN":
            return await self.by_entry(entry, credentials, ask)
        if not credentials.secret:
            return WRONG
        name = entry.name if entry else f"cn=nobody,{self.base}"
        if not name.isprintable():
            return WRONG
        replicas = self.others.get(entry.at, self.replicas) if entry else self.replicas
        answer = await _bind(replicas, Simple(name, credentials.secret))
        return WRONG if entry is None else _verdict(answer)


async def _bind(replicas: Sequence[BindingReplica], credentials: Simple) -> Answer:
    """Return the first answer that says whether the password is right; Refused if there is none."""
    failures = []
    for replica in sorted(replicas, key=lambda each: each.avoided):
        try:
            answer = await replica.bind(credentials)
        except OSError as error:
            failures.append(f"{replica.opening.url}: {error}")
            continue
        if answer.result.code == SUCCESS or answer.result.code in _NOT_THIS_PASSWORD:
            return answer
        failures.append(f"{replica.opening.url}: bind failed: {answer.result}")
    raise Refused(Refusal.DIRECTORY_UNAVAILABLE, "; ".join(failures))


def _verdict(answer: Answer) -> Verdict:
    """Return what an answer means; Refused if the password policy wants it."""
    refusal = None if answer.policy.error is None else _REFUSALS.get(answer.policy.error)
    if refusal is not None:
        raise Refused(refusal, f"{answer.policy} (says the directory)")
    if answer.result.code == SUCCESS:
        return Verdict(right=True, note=str(answer.policy), policy_spoke=answer.policy.spoke)
    usual = answer.result.code == INVALID_CREDENTIALS and not answer.result.diagnostic
    return WRONG if usual else Verdict(right=False, note=f"wrong password: {answer.result}")
