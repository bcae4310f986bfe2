"""The home of what the workers of a host know together: what is held, how often who came, who is bad, who is banned."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Container, Iterator, Mapping
from ipaddress import ip_network
from typing import Any, Final, Protocol

from attrs import field, frozen

from mmp.policy.badness import Penalties
from mmp.policy.bans import Bans, Network, Threshold, network_of
from mmp.policy.counts import Counts
from mmp.policy.rate import HOUR, MINUTE, Rate
from mmp.policy.sessions import SessionLimits
from mmp.policy.throttle import Attempt, Throttle, Turn
from mmp.shared.others import Nobody, Others

CONNECTIONS: Final = "connections_per_minute"
LOGINS: Final = "logins_per_minute"

RATED: Final = 100_000
"""Addresses, or users, of which each rate keeps count."""

EXCEEDED: Final = 1_000
"""Users who submit too much, of whom is told."""


class Worker(Protocol):
    """A worker, as far as the home tells it something that it has not asked for."""

    def tell(self, number: int, attempt: Attempt, /) -> None:
        """Say how long an attempt waits, or that too many do."""

    def tell_ban(self, network: Network, seconds: float, /) -> None:
        """Say for how long a network is banned; 0: no more."""


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
        self.queued: dict[Attempt, tuple[Worker, int]] = {}
        self.bans = Bans()
        self.workers: set[Worker] = set()
        self.exceeded: OrderedDict[tuple[str, bytes], float] = OrderedDict()
        """Of limits and users who were refused: until when there was no room."""
        self.too_many_failures: Callable[[Network, float, int], None] = lambda network, seconds, _: self.ban(
            network, seconds
        )
        """Bans a network for so many seconds, after so many failures."""
        self.would_ban: Callable[[Network, float, int], None] = lambda _network, _seconds, _failures: None
        """Told the same where the throttle is only observed, and nobody is banned."""
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
            CONNECTIONS: (rules.connections_per_minute, MINUTE),
            LOGINS: (rules.logins_per_minute, MINUTE),
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

    def rates_of(self, key: bytes) -> Iterator[tuple[str, int, float]]:
        """Yield each rate that speaks of addresses, how many it allows, and in how many seconds there is room."""
        for limit in (CONNECTIONS, LOGINS):
            if limit in self._rates:
                most, rate = self._rates[limit]
                yield limit, most, rate.room(self.now(), key)

    def wait(self, limit: str, key: bytes, answered: Callable[[float], None]) -> None:
        """Count an event under a rate, at all hosts; answer in how many seconds there is room for it."""
        asked = self.others.asked
        if asked is None or limit not in self._rates or not key:
            answered(self.count(limit, key))
        else:
            asked.wait(limit, key, self._rates[limit][1], answered)

    def count(self, limit: str, key: bytes) -> float:
        """Count an event under a rate, here alone; return in how many seconds there is room for it."""
        rated = self._rates.get(limit)
        return rated[1].wait(self.now(), key) if rated is not None and key else 0.0

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
        for worker in self.workers:
            worker.tell_ban(network, seconds)

    def unban(self, network: Network) -> list[Network]:
        """Lift every ban that covers a network or lies in it; return which."""
        lifted = self.bans.lift(network)
        self._tell_lifted(lifted)
        return lifted

    def unban_one(self, network: Network) -> bool:
        """Lift the ban of this very network, if there is one, and say so."""
        there = self.bans.lift_one(network)
        self._tell_lifted([network] if there else [])
        return there

    def _tell_lifted(self, lifted: list[Network]) -> None:
        for network in lifted:
            for worker in self.workers:
                worker.tell_ban(network, 0.0)

    def failed(self, attempt: Attempt) -> None:
        """Ban whoever fails too often."""
        if self.rules.ban_after:
            self.others.strike(
                attempt.household, attempt.digest, self._threshold, lambda: self._too_often(attempt.household)
            )

    def _too_often(self, household: bytes) -> None:
        network = network_of(household)
        if not any(network.version == each.version and network.overlaps(each) for each in self.rules.never_banned):
            reached = self.would_ban if self.rules.observe_throttle else self.too_many_failures
            reached(network, self.rules.ban_time, self.rules.ban_after)

    # For the program that replaces this one

    def state(self) -> dict[str, Any]:
        """Return what is known, in builtin types, for ``restore``; what is held is in the states of the workers."""
        return {
            "key": self.key,
            "throttle": self.throttle.state(),
            "failures": self._threshold.state(),
            "bans": [(str(network), until, reason) for network, until, reason in self.bans.listed(self.now())],
            "rates": {limit: rate.state() for limit, (_, rate) in self._rates.items()},
            "exceeded": [(limit, user, until) for (limit, user), until in self.exceeded.items()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what ``state`` told, on the same clock; of what the rules do not ask for any more nothing is kept."""
        self.key = state["key"]
        self.throttle.restore(state["throttle"])
        self._threshold.restore(state["failures"])
        for network, until, reason in state["bans"]:
            self.bans.ban(self.now(), ip_network(network), until, reason)
        for limit in self._rates.keys() & state["rates"].keys():
            self._rates[limit][1].restore(state["rates"][limit])
        self.exceeded = OrderedDict(((limit, user), until) for limit, user, until in state["exceeded"])

    # Attempts

    def tell(self, attempts: list[Attempt]) -> None:
        """Tell those who queued what has become of that."""
        for attempt in attempts:
            worker, number = self.queued.pop(attempt)
            worker.tell(number, attempt)
