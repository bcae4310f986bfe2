"""What one worker asks of the home, and what it holds there: taken back when the worker is gone.

Where other hosts count together with this one, they are asked before the answer is yes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Final

from attrs import define

from mmp.policy.bans import Network
from mmp.policy.counts import Claim, Verdict
from mmp.policy.sessions import household
from mmp.policy.throttle import FAILED, OPEN, SUCCEEDED, Attempt, Known, Outcome
from mmp.shared import link as wire
from mmp.shared.link import Kind
from mmp.shared.local import CONNECTIONS, LOGINS, Home
from mmp.shared.others import Claims

Answer = Callable[[Kind, bytes], None]

_GRANTED, _DENIED, _WAIT = Kind.GRANTED, Kind.DENIED, Kind.WAIT
"""By themselves, as in ``mmp.net.stream``."""
METERED_AGAIN: Final = 1.0
"""Seconds for which a worker says no to more of a submission by itself: what a relay refuses makes room at any time."""
_OUTCOMES: Final = tuple(Outcome)
"""By number."""


@define(eq=False)
class _Both:
    """Two answers that are asked for at once: ``done`` gets both when both are there."""

    done: Callable[[float, Verdict], None]
    seconds: float | None = None
    there: Verdict | None = None

    def waits(self, seconds: float) -> None:
        """Take the one."""
        self.seconds = seconds
        if self.there is not None:
            self.done(seconds, self.there)

    def told(self, there: Verdict) -> None:
        """Take the other."""
        self.there = there
        if self.seconds is not None:
            self.done(self.seconds, there)


class Guest:
    """One worker, as the home knows it: what it holds under the numbers that it gave."""

    def __init__(self, home: Home, answer: Answer) -> None:
        self._home = home
        home.workers.add(self)
        self._answer = answer
        self._asked: set[int] = set()
        """Numbers of questions that wait for what others say."""
        self._held: dict[int, Claims] = {}
        self._attempts: dict[int, Attempt] = {}
        self._metered: dict[int, tuple[str, bytes]] = {}
        """What was counted of submissions and not accepted yet, by limit and user."""
        self._takes = {
            Kind.DOOR: self._door,
            Kind.ACCOUNT: self._account,
            Kind.ATTEMPT: self._attempt,
            Kind.METER: self._meter,
            Kind.OUTCOME: self._outcome,
            Kind.GIVE: self._give,
        }

    def received(self, kind: Kind, payload: bytes) -> bool:
        """Take a frame; False if it is for somebody else."""
        take = self._takes.get(kind)
        if take is None:
            return False
        take(payload)
        return True

    def _is_wanted(self, number: int) -> bool:
        """Tell whether the answer to a question is still wanted, and take it for answered."""
        if number not in self._asked:
            return False
        self._asked.remove(number)
        return True

    # Sessions

    def _door(self, payload: bytes) -> None:
        number, anyway = wire.LEASE.unpack_from(payload)
        octets = payload[wire.LEASE.size :]
        self._lease(number, self._home.rules.sessions.at_the_door(octets), anyway, household(octets))

    def _account(self, payload: bytes) -> None:
        number, anyway = wire.LEASE.unpack_from(payload)
        user, _, backend = payload[wire.LEASE.size :].decode("utf-8", "surrogateescape").partition("\0")
        self._lease(number, self._home.rules.sessions.of_account(user, backend), anyway)

    def _lease(self, number: int, claims: Claims, anyway: int, comer: bytes = b"") -> None:
        """Hold slots if there is room here, and then ask others whether there is room there.

        At once, since nobody is to wait twice, ask whether there is room under the rate for whoever comes.
        """
        home = self._home
        if anyway:
            home.counts.take_anyway(claims)
            home.others.took(claims)
            self._grant(number, claims, ())
            return
        here = home.counts.take(claims)
        asked = home.others.asked
        self._asked.add(number)
        if asked is None:
            there = here if here.refused else home.others.alone
            self._settle_lease(number, claims, here, home.count(CONNECTIONS, comer), there)
            return
        both = _Both(lambda seconds, there: self._settle_lease(number, claims, here, seconds, there))
        home.wait(CONNECTIONS, comer, both.waits)
        if here.refused:
            both.told(here)
        else:
            asked.take(claims, both.told)

    def _settle_lease(self, number: int, claims: Claims, here: Verdict, seconds: float, there: Verdict) -> None:
        observed = (CONNECTIONS,) if seconds and CONNECTIONS in self._home.rules.observed else ()
        refused = CONNECTIONS if seconds and not observed else there.refused
        wanted = self._is_wanted(number)
        if (refused or not wanted) and not here.refused:
            self._home.counts.give_back(claims)
            self._home.others.gave_back(claims)
        if wanted and refused:
            self._deny(number, refused, seconds if refused == CONNECTIONS else 0.0)
        elif wanted:
            self._grant(number, claims, (*observed, *(there.observed or here.observed)))

    def _grant(self, number: int, claims: Claims, observed: tuple[str, ...]) -> None:
        if claims:
            self._held[number] = claims
        self._answer(_GRANTED, wire.NUMBER.pack(number) + ("\0".join(observed).encode() if observed else b""))

    def _deny(self, number: int, limit: str, seconds: float = 0.0) -> None:
        self._answer(_DENIED, wire.DENIED.pack(number, seconds) + limit.encode())

    def _give(self, payload: bytes) -> None:
        self._give_back(wire.NUMBER.unpack(payload)[0])

    def _give_back(self, number: int) -> None:
        if (claims := self._held.pop(number, None)) is not None:
            self._home.counts.give_back(claims)
            self._home.others.gave_back(claims)
        elif self._is_wanted(number):
            self._deny(number, "")  # nobody waits for it, but a desk that went on alone hears that the home is there
        else:
            self._end(number, OPEN)

    # Submissions

    def _meter(self, payload: bytes) -> None:
        (number,) = wire.NUMBER.unpack_from(payload)
        named, _, user = payload[wire.NUMBER.size :].partition(b"\0")
        home, limit = self._home, named.decode()

        def waits(seconds: float) -> None:
            if not self._is_wanted(number):
                if not seconds:
                    home.uncount(limit, user)
            elif seconds and limit not in home.rules.observed:
                home.refused(limit, user, seconds)
                self._deny(number, limit, min(seconds, METERED_AGAIN))
            else:
                if not seconds:
                    self._metered[number] = limit, user
                self._grant(number, (), (limit,) if seconds else ())

        self._asked.add(number)
        home.wait(limit, user, waits)

    def _settle(self, number: int, outcome: Outcome) -> bool:
        """Say whether this is about a submission, which counts only if the relay has accepted it."""
        metered = self._metered.pop(number, None)
        if metered is not None and outcome is not SUCCEEDED:
            self._home.uncount(*metered)
        return metered is not None

    # Attempts

    def _attempt(self, payload: bytes) -> None:
        """Ask whether there is room under the rate, and at once how bad the address is: nobody is to wait twice."""
        number, user, digest = wire.ATTEMPT.unpack_from(payload)
        origin = household(payload[wire.ATTEMPT.size :])
        home = self._home
        asked = home.others.asked
        if asked is None:
            seconds = home.count(LOGINS, origin)
            if not self._is_denied(number, seconds, home.others.alone.refused):
                self._begin(number, origin, user, digest, LOGINS if seconds else "")
            return
        waits: list[float] = []
        began = home.now()

        def knows(known: Known | None, refusal: str) -> None:
            seconds = waits[0]
            if not self._is_wanted(number) or self._is_denied(number, seconds, refusal):
                return
            if known is not None:
                home.throttle.learn(home.now(), origin, user, known, asked=began)
            self._begin(number, origin, user, digest, LOGINS if seconds else "")

        self._asked.add(number)
        home.wait(LOGINS, origin, waits.append)
        asked.look(origin, user, knows)

    def _is_denied(self, number: int, seconds: float, refusal: str) -> bool:
        """Say whether an attempt is refused before it begins, and tell the worker so."""
        if seconds and LOGINS not in self._home.rules.observed:
            self._deny(number, LOGINS, seconds)
        elif refusal:
            self._deny(number, refusal)
        else:
            return False
        return True

    def _begin(self, number: int, origin: bytes, user: bytes, digest: bytes, observed: str) -> None:
        home = self._home
        attempt, told = home.throttle.begin(home.now(), origin, user, digest)
        if told:
            home.tell(told)
        if attempt.wait is None and not attempt.refused:
            home.queued[attempt] = self, number
        self._attempts[number] = attempt
        self.tell(number, attempt, observed)

    def tell(self, number: int, attempt: Attempt, observed: str = "") -> None:
        """Say how long an attempt waits, or that too many do."""
        if attempt.refused:
            del self._attempts[number]
            self._deny(number, "throttle")
        else:
            seconds = inf if attempt.wait is None else attempt.wait
            self._answer(_WAIT, wire.WAIT.pack(number, seconds, self._home.throttle.observe) + observed.encode())

    def _outcome(self, payload: bytes) -> None:
        number, outcome = wire.OUTCOME.unpack(payload)
        self._end(number, _OUTCOMES[outcome])

    def _end(self, number: int, outcome: Outcome) -> None:
        if self._metered and self._settle(number, outcome):
            return
        attempt = self._attempts.pop(number, None)
        if attempt is None:
            return
        home = self._home
        if attempt in home.queued:
            del home.queued[attempt]
        if told := home.throttle.end(home.now(), attempt, outcome):
            home.tell(told)
        if outcome is FAILED:
            if attempt.counted:
                home.failed(attempt)
            failures = attempt.failures if attempt.counted else 0
            self._answer(Kind.BAD, wire.BAD.pack(number, attempt.badness, failures))

    # For the program that replaces this one

    def state(self) -> dict[str, Any]:
        """Return what the worker holds and has asked for, in builtin types, for ``restore``."""
        queued = self._home.queued
        return {
            "asked": list(self._asked),
            "held": [
                (number, [(each.limit, each.key, each.most, each.observed) for each in claims])
                for number, claims in self._held.items()
            ],
            "attempts": [
                (number, each.household, each.user, each.digest, each in queued)
                for number, each in self._attempts.items()
            ],
            "metered": [(number, *metered) for number, metered in self._metered.items()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Hold again what ``state`` told. Attempts that were queued begin anew; the others wait, or run, already."""
        self._asked = set(state["asked"])
        self._held = {number: tuple(Claim(*claim) for claim in claims) for number, claims in state["held"]}
        for claims in self._held.values():
            self._home.counts.take_anyway(claims)
        self._metered = {number: (limit, user) for number, limit, user in state["metered"]}
        for number, origin, user, digest, is_queued in state["attempts"]:
            if is_queued:
                self._begin(number, origin, user, digest, "")
            else:
                self._attempts[number] = Attempt(origin, user, digest, wait=0.0)

    # Bans

    def greet(self) -> None:
        """Tell a worker that begins what it has to know."""
        self._answer(Kind.KEY, self._home.key)
        now = self._home.now()
        for network, until, _ in self._home.bans.listed(now):
            self.tell_ban(network, until - now)

    def tell_ban(self, network: Network, seconds: float) -> None:
        """Say for how long a network is banned; 0: no more."""
        self._answer(Kind.BAN, wire.BAN.pack(seconds, network.prefixlen) + network.network_address.packed)

    def leave(self) -> None:
        """Give back all that it holds: it is gone."""
        self._home.workers.discard(self)
        self._asked.clear()
        self._metered.clear()  # the relay may have accepted it
        for number in (*self._held, *self._attempts):
            self._give_back(number)
