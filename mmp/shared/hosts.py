"""The other hosts, as far as a store that all of them share tells: what a home asks of them, and tells them.

While the store is silent this host counts alone. What it has to tell it tells when the store is back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall

from mmp.interfaces import Log
from mmp.policy.bans import Network, Threshold
from mmp.policy.counts import ROOM, Claim, Verdict, verdict_on
from mmp.policy.rate import Rate
from mmp.policy.throttle import Attempt, Known, Turn
from mmp.shared.exchange import BATCH, Exchange, nothing
from mmp.shared.local import Home
from mmp.shared.names import Names
from mmp.shared.news import News
from mmp.shared.others import UNREACHABLE, Claims, Elsewhere
from mmp.shared.store import Count, Fail, Forget, Hold, Look, Question, Slot, Store, Strike, Take, Uncount, Vouch

UNSAID: Final = 10_000
"""Outcomes of attempts, and names of slots, that are kept to be told later; and names of those that are full."""
SPACING: Final = 0.02
"""Seconds between two batches of what is told again and again."""


@frozen
class Terms:
    """How a store is used: names in it begin with ``prefix``, what a host holds counts for ``lease`` seconds.

    ``refusing``: nobody is let in while the store cannot be asked.
    """

    prefix: str = "mmp"
    lease: float = 30.0
    refusing: bool = False


class Hosts:
    """Keeps one home in step with those of other hosts."""

    def __init__(self, reactor: Any, store: Store, home: Home, log: Log, terms: Terms, *, elsewhere: Elsewhere) -> None:
        """``elsewhere`` is told what is banned and kicked at other hosts."""
        self._reactor = reactor
        self._home = home
        self._log = log
        self._lease = terms.lease
        self._names = names = Names(terms.prefix)
        self.alone = Verdict(UNREACHABLE) if terms.refusing else ROOM
        self._exchange = exchange = Exchange(reactor, store, log)
        exchange.joined, exchange.more = self._joined, self._what_has_changed
        self._news = News(reactor, exchange, names.news, home, elsewhere) if store.announces else None
        self._changed: dict[tuple[str, object], Claim] = {}
        """Under which limits and keys the store is to be told anew how many are held."""
        self._full: dict[bytes, tuple[float, int]] = {}
        """Of slots for which the store has said last that there is no room: until when that is believed, and how few
        held here were too many."""
        self._telling: IDelayedCall | None = None
        self._unsaid: deque[Question] = deque(maxlen=UNSAID)

    @property
    def why(self) -> str:
        """Why the store cannot be asked; empty if it can."""
        return self._exchange.why

    # What a home asks

    @property
    def asked(self) -> Hosts | None:
        """Itself, if the store can be asked."""
        return self if self._exchange.is_there else None

    def take(self, claims: Claims, answered: Callable[[Verdict], None]) -> None:
        """Ask whether slots may be held that have been taken here; those refused are then given back here.

        If the answer is late, what was said last counts: else a store that is always late would refuse nobody.
        """

        def told(full: int) -> None:
            self._learn(slots, full)
            answered(_verdict(claims, full))

        def missed() -> None:
            self.took(claims)  # said behind what was asked, it is right whatever the answer would have been
            answered(self.alone if self.alone.refused else _verdict(claims, self._believed_full(slots)))

        if not claims:
            answered(ROOM)
        else:
            held, name = self._home.counts.held, self._names.held
            slots = tuple(Slot(name(each), held(each), each.most, each.observed) for each in claims)
            self._exchange.ask(Take(slots), told, missed, partial(self._learn, slots))

    def _learn(self, slots: tuple[Slot, ...], full: int) -> None:
        """Remember what the store has said: no room for so many is none for more, and room for so many is for fewer."""
        if not full and not self._full:
            return
        if len(self._full) >= UNSAID:
            self._full.clear()
        until = self._home.now() + self._lease
        for number, slot in enumerate(slots):
            _, fewest = self._full.get(slot.key, (0.0, slot.own))
            if full >> number & 1:
                self._full[slot.key] = until, min(slot.own, fewest)
            elif fewest <= slot.own:
                self._full.pop(slot.key, None)

    def _believed_full(self, slots: tuple[Slot, ...]) -> int:
        now, full = self._home.now(), 0
        for number, slot in enumerate(slots):
            until, fewest = self._full.get(slot.key, (0.0, 0))
            if until > now and slot.own >= fewest:
                full |= 1 << number
        return full

    def gave_back(self, claims: Claims) -> None:
        """Tell that slots are held here no more; if there is no room to remember whose, a lease's end tells as well."""
        for claim in claims:
            if len(self._changed) < UNSAID:
                self._changed[claim.limit, claim.key] = claim
        if self._exchange.is_there:
            self._exchange.flush_soon()

    took = gave_back

    def _what_has_changed(self) -> Iterator[Question]:
        changed, self._changed = self._changed, {}
        held = self._home.counts.held
        return (Hold(self._names.held(claim), held(claim)) for claim in changed.values())

    def wait(self, limit: str, key: bytes, rate: Rate, answered: Callable[[float], None]) -> None:
        """Count an event, here if the answer is late; answer in how many seconds there is room for it."""
        question = Count(self._names.rate(limit, key), rate.step, rate.period)
        self._exchange.ask(question, answered, lambda: answered(rate.wait(self._home.now(), key)))

    def uncount(self, limit: str, key: bytes, rate: Rate) -> None:
        """Tell that an event that was counted has not happened."""
        if self._exchange.is_there:
            self._exchange.tell(Uncount(self._names.rate(limit, key), rate.step), nothing)
        else:
            rate.give_back(key)

    def look(self, household: bytes, user: bytes, answered: Callable[[Known | None, str], None]) -> None:
        """Ask what is known of a household and a user; or the answer is the limit that refuses for want of others."""
        names = self._names
        question = Look(names.household(household), names.user(user), names.vouched(household, user))
        self._exchange.ask(question, lambda known: answered(known, ""), lambda: answered(None, self.alone.refused))

    # What a home tells

    def changed(self, turn: Turn, attempt: Attempt) -> None:
        """Tell of what has become of an attempt, later if it cannot be told now."""
        for question in self._questions(turn, attempt):
            self._tell(question)

    def _tell(self, question: Question) -> None:
        self._exchange.tell(question, partial(self._unsaid.append, question))

    def _questions(self, turn: Turn, attempt: Attempt) -> list[Question]:
        names, penalties = self._names, self._home.rules.penalties
        both = names.vouched(attempt.household, attempt.user)
        if turn is Turn.DISTRUSTED:
            return [Forget(both)]
        if turn is Turn.SUCCEEDED:
            return [Forget(names.household(attempt.household)), Vouch(both, penalties.decay)]
        keys = [names.household(attempt.household)]
        if self._home.throttle.per_user:
            keys.append(names.user(attempt.user))
        return [Fail(key, attempt.digest, penalties) for key in keys]

    def strike(self, household: bytes, digest: bytes, here: Threshold, reached: Callable[[], None]) -> None:
        """Count a failure that may come to a ban, here if others cannot be told."""

        def alone() -> None:
            if here.reached(self._home.now(), household, digest):
                reached()

        question = Strike(self._names.strikes(household), digest, here.after, here.window)
        self._exchange.tell(question, alone, lambda enough: reached() if enough else None)

    def banned(self, network: Network, seconds: float, reason: str) -> bool:
        """Have a network banned at all hosts; False if only this one can."""
        return self._news is not None and self._news.ban(network, seconds, reason)

    def lifted(self, network: Network) -> bool:
        """Have a ban lifted at all hosts; False if only this one can."""
        return self._news is not None and self._news.lift(network)

    def kicked(self, target: str) -> bool:
        """Have sessions ended at all hosts; False if only this one can."""
        return self._news is not None and self._news.kick(target)

    # The whole time

    def start(self) -> None:
        """Connect, and go on trying to."""
        self._exchange.start()
        if self._news is not None:
            self._news.start()

    def stop(self) -> None:
        """Have nothing more to do with the store; what is still held here counts there until its lease ends.

        Whoever waits for an answer goes on without it.
        """
        if self._news is not None:
            self._news.stop()
        if self._telling is not None and self._telling.active():
            self._telling.cancel()
        self._exchange.stop()

    def _joined(self) -> None:
        """Tell all that happened meanwhile."""
        unsaid, self._unsaid = self._unsaid, deque(maxlen=UNSAID)
        for question in unsaid:
            self._tell(question)
        self._log.event("shared", result="rejoined", leases=len(self._home.counts))
        self._tell_all()
        if self._news is not None:
            self._news.fetch()

    def _tell_all(self) -> None:
        """Tell everything that is held, so that it does not expire: in pieces, within half of the time there is."""
        if self._telling is not None and self._telling.active():
            self._telling.cancel()
        held = self._home.counts.everything()
        piece = max(BATCH, int(len(held) * SPACING * 6 / self._lease) + 1)
        self._tell_held(held, piece)

    def _tell_held(self, held: list[Claim], piece: int) -> None:
        self.took(tuple(held[:piece]))
        if rest := held[piece:]:
            self._telling = self._reactor.callLater(SPACING, self._tell_held, rest, piece)
        else:
            self._telling = self._reactor.callLater(self._lease / 3, self._tell_all)


def _verdict(claims: Claims, full: int) -> Verdict:
    """Return what comes of claims of which these, each a bit, are full."""
    return verdict_on([claim for number, claim in enumerate(claims) if full >> number & 1]) if full else ROOM
