"""The home of what the workers of a host know together: it counts and decides, and takes back what the dead held.

Where other hosts count together with this one, they are asked before the answer is yes.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Callable, Container

from attrs import field, frozen

from mmp.policy.badness import Penalties
from mmp.policy.bans import Bans, Network, Threshold, network_of
from mmp.policy.counts import Counts, Verdict
from mmp.policy.rate import HOUR, MINUTE, Rate
from mmp.policy.sessions import SessionLimits, household
from mmp.policy.throttle import Attempt, Known, Outcome, Throttle, Turn
from mmp.shared import link as wire
from mmp.shared.link import Kind
from mmp.shared.others import Claims, Nobody, Others

RATED = 100_000
"""Addresses, or users, of which each rate keeps count."""

EXCEEDED = 1_000
"""Users who submit too much, of whom is told."""

Answer = Callable[[Kind, bytes], None]


@frozen
class Rules:
    """What is decided by. A rate of 0 means no limit; ``observed`` names limits that only tell.

    ``ban_after`` failures within ``ban_window`` seconds ban for ``ban_time`` seconds; ``never_banned`` are spared that.
    """

    sessions: SessionLimits = field(factory=SessionLimits)
    connections_per_minute: int = 0
    logins_per_minute: int = 0
    messages_per_hour: int = 0
    recipients_per_hour: int = 0
    penalties: Penalties = field(factory=Penalties)
    per_user: bool = False
    observe_throttle: bool = False
    ban_after: int = 0
    ban_window: float = 600.0
    ban_time: float = 3600.0
    never_banned: tuple[Network, ...] = ()
    observed: Container[str] = ()


class Home:
    """What is held, how often who came, and who is bad; ``now`` is a monotonic clock."""

    def __init__(self, rules: Rules, now: Callable[[], float]) -> None:
        self.now = now
        self.key = os.urandom(32)
        """For digests of passwords, which nobody without it can try passwords against."""
        self.counts = Counts()
        self.others: Others = Nobody(now)
        self.throttle = Throttle(rules.penalties, tell=self._changed)
        self.queued: dict[Attempt, tuple[Guest, int]] = {}
        self.bans = Bans()
        self.guests: set[Guest] = set()
        self.exceeded: OrderedDict[tuple[str, bytes], float] = OrderedDict()
        """Of limits and users who were refused: until when there was no room."""
        self.too_many_failures: Callable[[Network, float, int], None] = lambda network, seconds, _: self.ban(
            network, seconds
        )
        """Bans a network for so many seconds, after so many failures."""
        self._threshold = Threshold(0, 0.0, 0)
        self._rates: dict[str, tuple[int, Rate]] = {}
        self.change(rules)

    def change(self, rules: Rules) -> None:
        """Decide by other rules from now on; what is held stays held, and who is bad stays bad."""
        self.rules = rules
        self.throttle.change(rules.penalties, per_user=rules.per_user, observe=rules.observe_throttle)
        after, window = rules.ban_after, rules.ban_window
        if (after, window) != (self._threshold.after, self._threshold.window):
            self._threshold = Threshold(after, window, rules.penalties.size)
        wanted = {
            "connections_per_minute": (rules.connections_per_minute, MINUTE),
            "logins_per_minute": (rules.logins_per_minute, MINUTE),
            "messages_per_hour": (rules.messages_per_hour, HOUR),
            "recipients_per_hour": (rules.recipients_per_hour, HOUR),
        }
        self._rates = {
            limit: self._rates[limit] if self._rates.get(limit, (0,))[0] == most else (most, Rate(most, RATED, period))
            for limit, (most, period) in wanted.items()
            if most
        }

    def _changed(self, turn: Turn, attempt: Attempt) -> None:
        self.others.changed(turn, attempt)

    def wait(self, limit: str, key: bytes, answered: Callable[[float], None]) -> None:
        """Count an event under a rate; answer in how many seconds there is room for it."""
        if limit not in self._rates or not key:
            answered(0.0)
        else:
            self.others.wait(limit, key, self._rates[limit][1], answered)

    def refused(self, limit: str, user: bytes, seconds: float) -> None:
        """Remember who submits too much."""
        self.exceeded[limit, user] = self.now() + seconds
        self.exceeded.move_to_end((limit, user))
        if len(self.exceeded) > EXCEEDED:
            self.exceeded.popitem(last=False)

    def uncount(self, limit: str, key: bytes) -> None:
        """Take an event for one that has not happened."""
        if limit in self._rates:
            self.others.uncount(limit, key, self._rates[limit][1])

    # Bans

    def ban(self, network: Network, seconds: float, reason: str = "") -> None:
        """Ban a network for so many seconds, which may be infinite, in all workers."""
        now = self.now()
        self.bans.ban(now, network, now + seconds, reason)
        for guest in self.guests:
            guest.tell_ban(network, seconds)

    def unban(self, network: Network) -> list[Network]:
        """Lift every ban that covers a network or lies in it; return which."""
        lifted = self.bans.lift(network)
        for each in lifted:
            for guest in self.guests:
                guest.tell_ban(each, 0.0)
        return lifted

    def failed(self, attempt: Attempt) -> None:
        """Ban whoever fails too often."""
        rules = self.rules
        if not rules.ban_after or not self._threshold.reached(self.now(), attempt.household, attempt.digest):
            return
        network = network_of(attempt.household)
        if not any(network.version == each.version and network.overlaps(each) for each in rules.never_banned):
            self.too_many_failures(network, rules.ban_time, rules.ban_after)

    def tell(self, attempts: list[Attempt]) -> None:
        """Tell those who queued what has become of that."""
        for attempt in attempts:
            guest, number = self.queued.pop(attempt)
            guest.tell(number, attempt)


class Guest:
    """One worker, as the home knows it: what it holds under the numbers that it gave."""

    def __init__(self, home: Home, answer: Answer) -> None:
        self._home = home
        home.guests.add(self)
        self._answer = answer
        self._asked: set[int] = set()
        """Numbers of questions that wait for what others say."""
        self._held: dict[int, Claims] = {}
        self._attempts: dict[int, Attempt] = {}
        self._metered: dict[int, tuple[str, bytes]] = {}
        """What was counted of submissions and not accepted yet, by limit and user."""

    def received(self, kind: Kind, payload: bytes) -> bool:
        """Take a frame; False if it is for somebody else."""
        if kind is Kind.DOOR:
            self._door(payload)
        elif kind is Kind.ACCOUNT:
            self._account(payload)
        elif kind is Kind.ATTEMPT:
            self._attempt(payload)
        elif kind is Kind.METER:
            self._meter(payload)
        elif kind is Kind.OUTCOME:
            number, outcome = wire.OUTCOME.unpack(payload)
            self._outcome(number, Outcome(outcome))
        elif kind is Kind.GIVE:
            self._give_back(wire.NUMBER.unpack(payload)[0])
        else:
            return False
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
        limit = "connections_per_minute"

        def waits(seconds: float) -> None:
            if not self._is_wanted(number):
                return
            if seconds and limit not in self._home.rules.observed:
                self._deny(number, limit, seconds)
            else:
                claims = self._home.rules.sessions.at_the_door(octets)
                self._lease(number, claims, anyway, (limit,) if seconds else ())

        self._asked.add(number)
        if anyway:
            waits(0.0)
        else:
            self._home.wait(limit, household(octets), waits)

    def _account(self, payload: bytes) -> None:
        number, anyway = wire.LEASE.unpack_from(payload)
        user, _, backend = payload[wire.LEASE.size :].decode("utf-8", "surrogateescape").partition("\0")
        self._lease(number, self._home.rules.sessions.of_account(user, backend), anyway, ())

    def _lease(self, number: int, claims: Claims, anyway: int, observed: tuple[str, ...]) -> None:
        """Hold slots if there is room here, and then ask others whether there is room there."""
        counts, others = self._home.counts, self._home.others
        if anyway:
            counts.take_anyway(claims)
            others.took(claims)
            self._grant(number, claims, observed)
            return
        here = counts.take(claims)
        if here.refused:
            self._deny(number, here.refused)
            return

        def answered(there: Verdict) -> None:
            wanted = self._is_wanted(number)
            if there.refused or not wanted:
                counts.give_back(claims)
                others.gave_back(claims)
            if wanted and there.refused:
                self._deny(number, there.refused)
            elif wanted:
                self._grant(number, claims, (*observed, *(there.observed or here.observed)))

        self._asked.add(number)
        others.take(claims, answered)

    def _grant(self, number: int, claims: Claims, observed: tuple[str, ...]) -> None:
        if claims:
            self._held[number] = claims
        self._answer(Kind.GRANTED, wire.NUMBER.pack(number) + "\0".join(observed).encode())

    def _deny(self, number: int, limit: str, seconds: float = 0.0) -> None:
        self._answer(Kind.DENIED, wire.DENIED.pack(number, seconds) + limit.encode())

    def _give_back(self, number: int) -> None:
        if self._is_wanted(number):
            self._deny(number, "")  # nobody waits for it, but a desk that went on alone hears that the home is there
        if claims := self._held.pop(number, ()):
            self._home.counts.give_back(claims)
            self._home.others.gave_back(claims)
        self._outcome(number, Outcome.OPEN)

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
                self._deny(number, limit, seconds)
            else:
                if not seconds:
                    self._metered[number] = limit, user
                self._grant(number, (), (limit,) if seconds else ())

        self._asked.add(number)
        home.wait(limit, user, waits)

    def _settle(self, number: int, outcome: Outcome) -> bool:
        """Say whether this is about a submission, which counts only if the relay has accepted it."""
        metered = self._metered.pop(number, None)
        if metered is not None and outcome is not Outcome.SUCCEEDED:
            self._home.uncount(*metered)
        return metered is not None

    # Attempts

    def _attempt(self, payload: bytes) -> None:
        number, user, digest = wire.ATTEMPT.unpack_from(payload)
        octets = payload[wire.ATTEMPT.size :]
        home, limit = self._home, "logins_per_minute"

        def waits(seconds: float) -> None:
            if seconds and limit not in home.rules.observed:
                if self._is_wanted(number):
                    self._deny(number, limit, seconds)
            else:
                observed = limit if seconds else ""
                home.others.look(household(octets), user, lambda known, refusal: knows(known, refusal, observed))

        def knows(known: Known | None, refusal: str, observed: str) -> None:
            if not self._is_wanted(number):
                return
            if refusal:
                self._deny(number, refusal)
                return
            if known is not None:
                home.throttle.learn(home.now(), household(octets), user, known)
            self._begin(number, household(octets), user, digest, observed)

        self._asked.add(number)
        home.wait(limit, household(octets), waits)

    def _begin(self, number: int, origin: bytes, user: bytes, digest: bytes, observed: str) -> None:
        attempt, told = self._home.throttle.begin(self._home.now(), origin, user, digest)
        self._home.tell(told)
        if attempt.wait is None and not attempt.refused:
            self._home.queued[attempt] = self, number
        self._attempts[number] = attempt
        self.tell(number, attempt, observed)

    def tell(self, number: int, attempt: Attempt, observed: str = "") -> None:
        """Say how long an attempt waits, or that too many do."""
        if attempt.refused:
            del self._attempts[number]
            self._deny(number, "throttle")
        else:
            seconds = math.inf if attempt.wait is None else attempt.wait
            self._answer(Kind.WAIT, wire.WAIT.pack(number, seconds, self._home.throttle.observe) + observed.encode())

    def _outcome(self, number: int, outcome: Outcome) -> None:
        if self._settle(number, outcome):
            return
        attempt = self._attempts.pop(number, None)
        if attempt is None:
            return
        home = self._home
        home.queued.pop(attempt, None)
        home.tell(home.throttle.end(home.now(), attempt, outcome))
        if outcome is Outcome.FAILED:
            if attempt.counted:
                home.failed(attempt)
            failures = attempt.failures if attempt.counted else 0
            self._answer(Kind.BAD, wire.BAD.pack(number, attempt.badness, failures))

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
        self._home.guests.discard(self)
        self._asked.clear()
        self._metered.clear()  # the relay may have accepted it
        for number in (*self._held, *self._attempts):
            self._give_back(number)
