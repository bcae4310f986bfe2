"""The other hosts, as far as a store that all of them share tells: asked in batches, and never waited for for long.

While the store is silent this host counts alone. What it has to tell it tells when the store is back.
"""

from __future__ import annotations

import enum
import hashlib
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from attrs import define, frozen
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from mmp.interfaces import Log
from mmp.policy.counts import ROOM, Claim, Verdict
from mmp.policy.rate import Rate
from mmp.policy.throttle import Attempt, Known, Turn
from mmp.shared.local import Home
from mmp.shared.others import UNREACHABLE, Claims
from mmp.shared.store import Count, Fail, Forget, Hold, Look, Question, Slot, Store, StoreError, Take, Uncount, Vouch

PATIENCE: Final = 0.05
"""Seconds that the store may take to answer: half of what a worker waits for its supervisor."""
DEAD: Final = 5.0
"""Seconds without an answer after which the connection is given up."""
RETRY: Final = 2.0
"""Seconds between attempts to connect."""
BATCH: Final = 100
"""Questions at a time: the store answers nobody else meanwhile."""
UNSAID: Final = 10_000
"""Outcomes of attempts, and keys of slots, that are kept to be told later."""
SPACING: Final = 0.02
"""Seconds between two batches of what is told again and again."""


class Reach(enum.Enum):
    """Where the store is: out of reach, silent for too long although connected, or there."""

    GONE = enum.auto()
    SILENT = enum.auto()
    THERE = enum.auto()


@frozen
class Terms:
    """How a store is used: names in it begin with ``prefix``, what a host holds counts for ``lease`` seconds.

    ``refusing``: nobody is let in while the store cannot be asked.
    """

    prefix: str = "mmp"
    lease: float = 30.0
    refusing: bool = False


@frozen
class Asked:
    """A question, who gets the reply, and who is to go on if there is none in time."""

    question: Question
    answered: Callable[[Any], object]
    late: Callable[[], object]


@define(eq=False)
class Batch:
    """What has been asked at once; ``due`` is when it is late, if it is not already."""

    asked: list[Asked]
    due: float
    late: bool = False


def _nothing(_reply: object = None) -> None:
    """Do nothing with the reply."""


class Hosts:
    """Keeps one home in step with those of other hosts."""

    _faults = Logger()

    def __init__(self, reactor: Any, store: Store, home: Home, log: Log, terms: Terms) -> None:
        self._reactor = reactor
        self._store = store
        self._home = home
        self._log = log
        self._terms = terms
        self._soon = getattr(reactor, "soon", None) or partial(reactor.callLater, 0)
        self._alone = Verdict(UNREACHABLE) if terms.refusing else ROOM
        self._reach = Reach.GONE
        self.why = "not connected yet"
        """Why the store cannot be asked; empty if it can."""
        self._said_why = False
        self._stopped = False
        self._batch: list[Asked] = []
        self._changed: dict[tuple[str, object], Claim] = {}
        """Under which limits and keys the store is to be told anew how many are held."""
        self._flushing = False
        self._sent: deque[Batch] = deque()
        self._look_at: IDelayedCall | None = None
        self._retry: IDelayedCall | None = None
        self._telling: IDelayedCall | None = None
        self._unsaid: deque[Question] = deque(maxlen=UNSAID)

    # What a home asks and tells

    def take(self, claims: Claims, answered: Callable[[Verdict], None]) -> None:
        """Ask whether slots may be held that have been taken here; those refused are then given back here."""
        if self._reach is not Reach.THERE:
            answered(self._alone)
        elif not claims:
            answered(ROOM)
        else:
            held = self._home.counts.held
            slots = tuple(Slot(self._key_of(each), held(each), each.most, each.observed) for each in claims)
            self._ask(Take(slots), lambda full: answered(_verdict(claims, full)), lambda: answered(self._alone))

    def gave_back(self, claims: Claims) -> None:
        """Tell that slots are held here no more; if there is no room to remember whose, a lease's end tells as well."""
        for claim in claims:
            if len(self._changed) < UNSAID:
                self._changed[claim.limit, claim.key] = claim
        if self._reach is Reach.THERE:
            self._flush_soon()

    took = gave_back

    def wait(self, limit: str, key: bytes, rate: Rate, answered: Callable[[float], None]) -> None:
        """Count an event, here if others cannot be asked; answer in how many seconds there is room for it."""

        def alone() -> None:
            answered(rate.wait(self._home.now(), key))

        if self._reach is Reach.THERE:
            self._ask(Count(self._key_of_rate(limit, key), rate.step, rate.period), answered, alone)
        else:
            alone()

    def uncount(self, limit: str, key: bytes, rate: Rate) -> None:
        """Tell that an event that was counted has not happened."""
        if self._reach is Reach.THERE:
            self._ask(Uncount(self._key_of_rate(limit, key), rate.step), _nothing, _nothing)
        else:
            rate.give_back(key)

    def look(self, household: bytes, user: bytes, answered: Callable[[Known | None, str], None]) -> None:
        """Ask what is known of a household and a user; or the answer is the limit that refuses for want of others."""

        def alone() -> None:
            answered(None, self._alone.refused)

        if self._reach is Reach.THERE:
            question = Look(self._of_household(household), self._of_user(user), self._of_both(household, user))
            self._ask(question, lambda known: answered(known, ""), alone)
        else:
            alone()

    def changed(self, turn: Turn, attempt: Attempt) -> None:
        """Tell of what has become of an attempt, later if it cannot be told now."""
        for question in self._questions(turn, attempt):
            if self._reach is Reach.THERE:
                self._ask(question, _nothing, partial(self._unsaid.append, question))
            else:
                self._unsaid.append(question)

    def _questions(self, turn: Turn, attempt: Attempt) -> list[Question]:
        penalties = self._home.rules.penalties
        both = self._of_both(attempt.household, attempt.user)
        if turn is Turn.DISTRUSTED:
            return [Forget(both)]
        if turn is Turn.SUCCEEDED:
            return [Forget(self._of_household(attempt.household)), Vouch(both, penalties.decay)]
        keys = [self._of_household(attempt.household)]
        if self._home.throttle.per_user:
            keys.append(self._of_user(attempt.user))
        return [Fail(key, attempt.digest, penalties) for key in keys]

    # Names in the store

    def _key(self, *parts: str) -> bytes:
        return ":".join((self._terms.prefix, *parts)).encode()

    def _key_of(self, claim: Claim) -> bytes:
        """Return a name that is as long and as plain for a user's name as for anything else."""
        name = f"{claim.limit}\0{claim.key}".encode("utf-8", "surrogateescape")
        return self._key("held", hashlib.blake2b(name, digest_size=16).hexdigest())

    def _key_of_rate(self, limit: str, key: bytes) -> bytes:
        return self._key("rate", hashlib.blake2b(limit.encode() + b"\0" + key, digest_size=16).hexdigest())

    def _of_household(self, household: bytes) -> bytes:
        return self._key("bad", household.hex())

    def _of_user(self, user: bytes) -> bytes:
        return self._key("user", user.hex())

    def _of_both(self, household: bytes, user: bytes) -> bytes:
        return self._key("vouched", household.hex(), user.hex())

    # Asking

    def _ask(self, question: Question, answered: Callable[[Any], object], late: Callable[[], object]) -> None:
        self._batch.append(Asked(question, answered, late))
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._soon(self._flush)

    def _flush(self) -> None:
        """Send what has been asked during one turn."""
        self._flushing = False
        if self._reach is not Reach.THERE:
            batch, self._batch = self._batch, []
            _give_up(batch)
            return
        held = self._home.counts.held
        changed = [Hold(self._key_of(claim), held(claim)) for claim in self._changed.values()]
        batch = self._batch + [Asked(question, _nothing, _nothing) for question in changed]
        self._batch = []
        self._changed.clear()
        for start in range(0, len(batch), BATCH):
            self._send(batch[start : start + BATCH])

    def _send(self, asked: list[Asked]) -> None:
        batch = Batch(asked, self._reactor.seconds() + PATIENCE)
        self._sent.append(batch)
        replies = self._store.ask([each.question for each in asked])
        replies.addCallbacks(self._replied, self._failed, callbackArgs=(batch,))
        replies.addErrback(self._fault)
        if self._look_at is None:
            self._look_at = self._reactor.callLater(PATIENCE, self._look_for_late)

    def _replied(self, replies: list[Any], batch: Batch) -> None:
        if not self._sent or self._sent[0] is not batch:  # of a connection that was given up
            return
        self._sent.popleft()
        if batch.late:
            if self._reach is Reach.SILENT:
                self._join()
            return
        for number, (each, reply) in enumerate(zip(batch.asked, replies, strict=True), 1):
            try:
                each.answered(reply)
            except Exception:
                _give_up(batch.asked[number:])  # who asked at the same time is not to wait for ever
                raise

    def _failed(self, failure: Failure) -> None:
        self._store.disconnect()
        self._part(Reach.GONE, failure.getErrorMessage())

    def _fault(self, failure: Failure) -> None:
        self._faults.failure("unexpected error in what a shared store answered", failure)
        self._store.disconnect()
        self._part(Reach.GONE, "an answer could not be used")

    # The store is silent

    def _look_for_late(self) -> None:
        """One timer for all: give up what is late, and come again for the first that may yet be."""
        self._look_at = None
        now = self._reactor.seconds()
        for batch in [each for each in self._sent if each.due <= now and not each.late]:
            batch.late = True
            self._part(Reach.SILENT, f"no answer within {PATIENCE * 1000:g} ms")
            _give_up(batch.asked)
        if self._sent and now >= self._sent[0].due - PATIENCE + DEAD:
            self._store.disconnect()
        elif self._sent:
            soonest = min((each.due for each in self._sent if not each.late), default=now + 1.0)
            self._look_at = self._reactor.callLater(max(0.0, soonest - now), self._look_for_late)

    def _part(self, reach: Reach, why: str) -> None:
        if self._reach is Reach.THERE or not self._said_why:
            self._said_why = True
            self._log.event("shared", "warn", result="alone", reason=why)
        self._reach, self.why = reach, why

    def _join(self) -> None:
        """Tell all that happened meanwhile."""
        unsaid, self._unsaid = self._unsaid, deque(maxlen=UNSAID)
        self._reach, self.why, self._said_why = Reach.THERE, "", True
        for question in unsaid:
            self._ask(question, _nothing, partial(self._unsaid.append, question))
        self._log.event("shared", result="rejoined", leases=len(self._home.counts))
        self._tell_all()

    # Connecting

    def start(self) -> None:
        """Connect, and go on trying to."""
        self._retry = None
        connecting = self._store.connect(self._lost)
        connecting.addTimeout(DEAD, self._reactor, lambda _failure, seconds: _too_late(seconds))
        connecting.addCallbacks(lambda _: self._connected(), self._not_connected)

    def stop(self) -> None:
        """Have nothing more to do with the store; what is still held here counts there until its lease ends.

        Whoever waits for an answer goes on without it.
        """
        self._stopped = self._said_why = True
        self._reach = Reach.GONE
        for call in (self._retry, self._telling, self._look_at):
            if call is not None and call.active():
                call.cancel()
        self._store.disconnect()
        asked = [each for batch in self._sent if not batch.late for each in batch.asked] + self._batch
        self._sent.clear()
        self._batch = []
        _give_up(asked)

    def _connected(self) -> None:
        if self._stopped:
            self._store.disconnect()
        else:
            self._join()

    def _not_connected(self, failure: Failure) -> None:
        if not self._stopped:
            self._part(Reach.GONE, failure.getErrorMessage())
            self._try_again()

    def _lost(self, why: str) -> None:
        if self._stopped:
            return
        self._part(Reach.GONE, why)
        sent, self._sent = self._sent, deque()
        for batch in sent:
            if not batch.late:
                _give_up(batch.asked)
        self._try_again()

    def _try_again(self) -> None:
        if self._retry is None:
            self._retry = self._reactor.callLater(RETRY, self.start)

    # Again and again

    def _tell_all(self) -> None:
        """Tell everything that is held, so that it does not expire: in pieces, within half of the time there is."""
        if self._telling is not None and self._telling.active():
            self._telling.cancel()
        held = self._home.counts.everything()
        piece = max(BATCH, int(len(held) * SPACING * 6 / self._terms.lease) + 1)
        self._tell(held, piece)

    def _tell(self, held: list[Claim], piece: int) -> None:
        self.took(tuple(held[:piece]))
        if rest := held[piece:]:
            self._telling = self._reactor.callLater(SPACING, self._tell, rest, piece)
        else:
            self._telling = self._reactor.callLater(self._terms.lease / 3, self._tell_all)


def _too_late(seconds: float) -> None:
    raise StoreError(f"not connected within {seconds:g} s")


def _verdict(claims: Claims, full: int) -> Verdict:
    if not full:
        return ROOM
    those = [claim for number, claim in enumerate(claims) if full >> number & 1]
    refusing = next((claim.limit for claim in those if not claim.observed), "")
    return Verdict(refusing, tuple(claim.limit for claim in those if claim.observed))


def _give_up(asked: list[Asked]) -> None:
    for each in asked:
        each.late()
