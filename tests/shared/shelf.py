"""A store in the test's own memory, on the test's clock: what Redis and memcached have to be like."""

from collections import deque

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed

from mmp.policy.badness import Badness, Record
from mmp.policy.bans import Threshold
from mmp.policy.rate import Rate
from mmp.policy.throttle import Known
from mmp.shared.store import (
    Announce,
    Count,
    Fail,
    Fetch,
    Forget,
    Heard,
    Hold,
    Item,
    Look,
    StoreError,
    Strike,
    Take,
    Uncount,
    Vouch,
)


@define(eq=False)
class Shelf:
    """What is in it: by key, who holds how many until when; by key, rates, the bad, and until when who is vouched."""

    clock: object
    held: dict = field(factory=dict)
    rates: dict = field(factory=dict)
    bad: dict = field(factory=dict)
    vouched: dict = field(factory=dict)
    strikes: dict = field(factory=dict)
    news: dict = field(factory=dict)
    era: int = 1
    last: int = 0
    ears: list = field(factory=list)

    def lose_everything(self):
        """Be an empty store, as after a restart."""
        for table in (self.held, self.rates, self.bad, self.vouched, self.strikes, self.news):
            table.clear()
        self.era, self.last = self.era + 1, 0

    def holds(self, key):
        """Return how many all hosts hold that live."""
        return sum(own for own, until in self.held.get(key, {}).values() if until > self.clock.seconds())

    def total(self):
        return sum(map(self.holds, self.held))


@define(eq=False)
class ShelfStore:
    """One host's use of it. While it is ``deaf``, replies wait; while ``away``, nobody can connect."""

    shelf: Shelf
    host: str
    lease: float
    deaf: bool = False
    away: bool = False
    asked: list = field(factory=list)
    _lost: object = None
    _nudged: object = None
    _waiting: deque = field(factory=deque)

    @property
    def announces(self):
        return True

    def connect(self, lost, nudged):
        if self.away:
            return fail(StoreError("nobody there"))
        self._lost = lost
        self._nudged = nudged
        self.shelf.ears.append(nudged)
        return succeed(None)

    def ask(self, questions):
        self.asked.append(list(questions))
        if self._lost is None:
            return fail(StoreError("not connected"))
        reply = Deferred()
        self._waiting.append((questions, reply))
        self.hear()
        return reply

    def hear(self):
        """Reply to what has been asked, unless deaf."""
        while self._waiting and not self.deaf:
            questions, reply = self._waiting.popleft()
            reply.callback([_ANSWERS[type(each)](self, each) for each in questions])

    def disconnect(self):
        if self._lost is not None:
            lost, self._lost = self._lost, None
            self.shelf.ears.remove(self._nudged)
            waiting, self._waiting = self._waiting, deque()
            for _, reply in waiting:
                reply.errback(StoreError("closed"))
            lost("closed")

    def take(self, question):
        full = [self._others(slot.key) + slot.own > slot.most for slot in question.slots]
        if not any(each and not slot.observed for each, slot in zip(full, question.slots, strict=True)):
            for slot in question.slots:
                self.hold(slot)
        return sum(1 << number for number, each in enumerate(full) if each)

    def _others(self, key):
        mine = self.shelf.held.get(key, {}).get(self.host, (0, 0.0))
        return self.shelf.holds(key) - (mine[0] if mine[1] > self.shelf.clock.seconds() else 0)

    def hold(self, question):
        self.shelf.held.setdefault(question.key, {})[self.host] = (
            question.own,
            self.shelf.clock.seconds() + self.lease,
        )

    def count(self, question):
        rate = self.shelf.rates.setdefault(
            question.key, Rate(round(question.period / question.step), 10, question.period)
        )
        return rate.wait(self.shelf.clock.seconds(), 0)

    def uncount(self, question):
        if question.key in self.shelf.rates:
            self.shelf.rates[question.key].give_back(0)

    def look(self, question):
        now = self.shelf.clock.seconds()
        left = max(0.0, self.shelf.vouched.get(question.vouched, 0.0) - now)
        return Known(self._record(question.household), self._record(question.user), left)

    def _record(self, key):
        table, now = self.shelf.bad.get(key), self.shelf.clock.seconds()
        if table is None or not table.of(now, 0):
            return None
        bad = table._bad[0]
        return Record(bad.badness, now - bad.since, bad.failures, tuple(bad.seen))

    def fail(self, question):
        table = self.shelf.bad.setdefault(question.key, Badness(question.penalties))
        table.add(self.shelf.clock.seconds(), 0, question.digest)

    def forget(self, question):
        self.shelf.bad.pop(question.key, None)
        self.shelf.vouched.pop(question.key, None)

    def vouch(self, question):
        self.shelf.vouched[question.key] = self.shelf.clock.seconds() + question.seconds

    def strike(self, question):
        threshold = self.shelf.strikes.setdefault(question.key, Threshold(question.after, question.window, 10))
        return int(threshold.reached(self.shelf.clock.seconds(), b"", question.digest))

    def announce(self, question):
        self.shelf.last += 1
        until = self.shelf.clock.seconds() + question.seconds
        self.shelf.news[question.subject] = self.shelf.last, self.host, until, question.text
        for nudged in list(self.shelf.ears):
            nudged()
        return 0

    def fetch(self, question):
        shelf, era = self.shelf, str(self.shelf.era)
        anew = question.era != era or question.number > shelf.last
        since = 0 if anew else question.number
        found = sorted((each, subject) for subject, each in shelf.news.items() if each[0] > since)
        items = [
            Item(subject, host == self.host, until - shelf.clock.seconds(), text)
            for (_, host, until, text), subject in found[:PAGE]
        ]
        number = found[:PAGE][-1][0][0] if found else since
        return Heard(era, number, anew, len(found) > PAGE, tuple(items))


PAGE = 100
"""Announcements that are told at once."""

_ANSWERS = {
    Take: ShelfStore.take,
    Hold: ShelfStore.hold,
    Count: ShelfStore.count,
    Uncount: ShelfStore.uncount,
    Look: ShelfStore.look,
    Fail: ShelfStore.fail,
    Forget: ShelfStore.forget,
    Vouch: ShelfStore.vouch,
    Strike: ShelfStore.strike,
    Announce: ShelfStore.announce,
    Fetch: ShelfStore.fetch,
}
