"""The home of what the workers of a host know together: it counts and decides, and takes back what the dead held."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Container

from attrs import field, frozen

from mmp.policy.badness import Penalties
from mmp.policy.counts import Claim, Counts, Verdict
from mmp.policy.rate import Rate
from mmp.policy.sessions import SessionLimits, household
from mmp.policy.throttle import Attempt, Outcome, Throttle
from mmp.shared import link as wire
from mmp.shared.link import Kind

RATED = 100_000
"""Addresses of which each rate keeps count."""

Answer = Callable[[Kind, bytes], None]


@frozen
class Rules:
    """What is decided by. A rate of 0 means no limit; ``observed`` names limits that only tell."""

    sessions: SessionLimits = field(factory=SessionLimits)
    connections_per_minute: int = 0
    logins_per_minute: int = 0
    penalties: Penalties = field(factory=Penalties)
    per_user: bool = False
    observe_throttle: bool = False
    observed: Container[str] = ()


class Home:
    """What is held, how often who came, and who is bad; ``now`` is a monotonic clock."""

    def __init__(self, rules: Rules, now: Callable[[], float]) -> None:
        self.now = now
        self.key = os.urandom(32)
        """For digests of passwords, which nobody without it can try passwords against."""
        self.counts = Counts()
        self.throttle = Throttle(rules.penalties)
        self.queued: dict[Attempt, tuple[Guest, int]] = {}
        self._rates: dict[str, tuple[int, Rate]] = {}
        self.change(rules)

    def change(self, rules: Rules) -> None:
        """Decide by other rules from now on; what is held stays held, and who is bad stays bad."""
        self.rules = rules
        self.throttle.change(rules.penalties, per_user=rules.per_user, observe=rules.observe_throttle)
        wanted = {
            "connections_per_minute": rules.connections_per_minute,
            "logins_per_minute": rules.logins_per_minute,
        }
        self._rates = {
            limit: self._rates[limit] if self._rates.get(limit, (0,))[0] == most else (most, Rate(most, RATED))
            for limit, most in wanted.items()
            if most
        }

    def wait(self, limit: str, octets: bytes) -> float:
        """Count an event under a rate; return in how many seconds there is room for it."""
        if limit not in self._rates or not octets:
            return 0.0
        return self._rates[limit][1].wait(self.now(), household(octets))

    def tell(self, attempts: list[Attempt]) -> None:
        """Tell those who queued what has become of that."""
        for attempt in attempts:
            guest, number = self.queued.pop(attempt)
            guest.tell(number, attempt)


class Guest:
    """One worker, as the home knows it: what it holds under the numbers that it gave."""

    def __init__(self, home: Home, answer: Answer) -> None:
        self._home = home
        self._answer = answer
        self._held: dict[int, tuple[Claim, ...]] = {}
        self._attempts: dict[int, Attempt] = {}

    def received(self, kind: Kind, payload: bytes) -> bool:
        """Take a frame; False if it is for somebody else."""
        if kind is Kind.DOOR:
            self._door(payload)
        elif kind is Kind.ACCOUNT:
            self._account(payload)
        elif kind is Kind.ATTEMPT:
            self._attempt(payload)
        elif kind is Kind.OUTCOME:
            number, outcome = wire.OUTCOME.unpack(payload)
            self._outcome(number, Outcome(outcome))
        elif kind is Kind.GIVE:
            self._give_back(wire.NUMBER.unpack(payload)[0])
        else:
            return False
        return True

    # Sessions

    def _door(self, payload: bytes) -> None:
        number, anyway = wire.LEASE.unpack_from(payload)
        octets = payload[wire.LEASE.size :]
        home, limit = self._home, "connections_per_minute"
        wait = 0.0 if anyway else home.wait(limit, octets)
        if wait and limit not in home.rules.observed:
            self._deny(number, limit, wait)
        else:
            self._lease(number, home.rules.sessions.at_the_door(octets), anyway, (limit,) if wait else ())

    def _account(self, payload: bytes) -> None:
        number, anyway = wire.LEASE.unpack_from(payload)
        user, _, backend = payload[wire.LEASE.size :].decode("utf-8", "surrogateescape").partition("\0")
        self._lease(number, self._home.rules.sessions.of_account(user, backend), anyway, ())

    def _lease(self, number: int, claims: tuple[Claim, ...], anyway: int, observed: tuple[str, ...]) -> None:
        if anyway:
            self._home.counts.take_anyway(claims)
            verdict = Verdict()
        else:
            verdict = self._home.counts.take(claims)
        if verdict.refused:
            self._deny(number, verdict.refused)
            return
        self._held[number] = claims
        self._answer(Kind.GRANTED, wire.NUMBER.pack(number) + "\0".join(observed + verdict.observed).encode())

    def _deny(self, number: int, limit: str, seconds: float = 0.0) -> None:
        self._answer(Kind.DENIED, wire.DENIED.pack(number, seconds) + limit.encode())

    def _give_back(self, number: int) -> None:
        self._home.counts.give_back(self._held.pop(number, ()))
        self._outcome(number, Outcome.OPEN)

    # Attempts

    def _attempt(self, payload: bytes) -> None:
        number, user, digest = wire.ATTEMPT.unpack_from(payload)
        octets = payload[wire.ATTEMPT.size :]
        home, limit = self._home, "logins_per_minute"
        wait = home.wait(limit, octets)
        if wait and limit not in home.rules.observed:
            self._deny(number, limit, wait)
            return
        attempt, told = home.throttle.begin(home.now(), household(octets), user, digest)
        home.tell(told)
        if attempt.wait is None and not attempt.refused:
            home.queued[attempt] = self, number
        self._attempts[number] = attempt
        self.tell(number, attempt, limit if wait else "")

    def tell(self, number: int, attempt: Attempt, observed: str = "") -> None:
        """Say how long an attempt waits, or that too many do."""
        if attempt.refused:
            del self._attempts[number]
            self._deny(number, "throttle")
        else:
            seconds = math.inf if attempt.wait is None else attempt.wait
            self._answer(Kind.WAIT, wire.WAIT.pack(number, seconds, self._home.throttle.observe) + observed.encode())

    def _outcome(self, number: int, outcome: Outcome) -> None:
        attempt = self._attempts.pop(number, None)
        if attempt is None:
            return
        home = self._home
        home.queued.pop(attempt, None)
        home.tell(home.throttle.end(home.now(), attempt, outcome))
        if outcome is Outcome.FAILED:
            failures = attempt.failures if attempt.counted else 0
            self._answer(Kind.BAD, wire.BAD.pack(number, attempt.badness, failures))

    def leave(self) -> None:
        """Give back all that it holds: it is gone."""
        for number in (*self._held, *self._attempts):
            self._give_back(number)
