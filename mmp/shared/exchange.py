"""Questions to a store that hosts share, and its answers: in batches, over one connection, never waited for for long.

Who asks goes on without an answer that is late; the store is counted on as long as it answers at all.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from attrs import define
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from mmp.interfaces import Log
from mmp.shared.store import Question, Store, StoreError

PATIENCE: Final = 0.05
"""Seconds that somebody waits for an answer. A login asks twice, so it waits for a tenth of a second at most."""
SILENCE: Final = 0.5
"""Seconds without any answer after which nobody waits for one any more: a busy machine is late, and soon back."""
DEAD: Final = 5.0
"""Seconds without an answer after which the connection is given up."""
RETRY: Final = 2.0
"""Seconds between attempts to connect."""
BATCH: Final = 100
"""Questions at a time: the store answers nobody else meanwhile."""
SELDOM: Final = 60.0
"""Seconds between two lines about late answers."""


class Reach(enum.Enum):
    """Where the store is: out of reach, silent although connected, or there."""

    GONE = enum.auto()
    SILENT = enum.auto()
    THERE = enum.auto()


def nothing(_reply: object = None) -> None:
    """Do nothing with a reply, or without one."""


@define(eq=False)
class Asked:
    """A question, who gets the reply, and who is to go on if there is none: in time if ``waits``, else ever.

    ``afterwards`` gets a reply that comes when nobody waits for it any more.
    """

    question: Question
    answered: Callable[[Any], object]
    missed: Callable[[], object]
    waits: bool
    afterwards: Callable[[Any], object] = nothing


@define(eq=False)
class Batch:
    """What has been asked at once, and when; ``late`` once nobody waits any more."""

    asked: list[Asked]
    sent: float
    late: bool = False


class Exchange:
    """One host's conversation with the store."""

    _faults = Logger()

    def __init__(self, reactor: Any, store: Store, log: Log) -> None:
        self.joined: Callable[[], object] = nothing
        """Told whenever the store is there after it was not."""
        self.nudged: Callable[[], object] = nothing
        """Told when another host has announced something."""
        self.more: Callable[[], Iterable[Question]] = tuple
        """Asked what else is to be said, whenever something is."""
        self.why = "not connected yet"
        """Why the store cannot be asked; empty if it can."""
        self._reactor = reactor
        self._store = store
        self._log = log
        self._soon = getattr(reactor, "soon", None) or partial(reactor.callLater, 0)
        self._reach = Reach.GONE
        self._said_why = False
        self._late_said = -SELDOM
        self._stopped = False
        self._batch: list[Asked] = []
        self._flushing = False
        self._sent: deque[Batch] = deque()
        self._look: IDelayedCall | None = None
        self._retry: IDelayedCall | None = None

    @property
    def is_there(self) -> bool:
        """Whether it is any use to ask."""
        return self._reach is Reach.THERE

    # Asking

    def ask(
        self,
        question: Question,
        answered: Callable[[Any], object],
        missed: Callable[[], object],
        afterwards: Callable[[Any], object] = nothing,
    ) -> None:
        """Ask for somebody who waits: ``answered`` or ``missed`` is called, perhaps at once, and within ``PATIENCE``.

        ``afterwards`` gets what is answered after that.
        """
        self._put(Asked(question, answered, missed, waits=True, afterwards=afterwards))

    def tell(
        self, question: Question, missed: Callable[[], object], answered: Callable[[Any], object] = nothing
    ) -> None:
        """Tell something for which nobody waits; ``missed`` is called if the store may not have heard it."""
        self._put(Asked(question, answered, missed, waits=False))

    def _put(self, asked: Asked) -> None:
        if self.is_there:
            self._batch.append(asked)
            self.flush_soon()
        else:
            asked.missed()

    def flush_soon(self) -> None:
        """Say at the end of this turn what has been put together until then."""
        if not self._flushing:
            self._flushing = True
            self._soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        batch, self._batch = self._batch, []
        if not self.is_there:
            _give_up(batch)
            return
        batch += (Asked(question, nothing, nothing, waits=False) for question in self.more())
        for start in range(0, len(batch), BATCH):
            self._send(batch[start : start + BATCH])

    def _send(self, asked: list[Asked]) -> None:
        batch = Batch(asked, self._reactor.seconds())
        self._sent.append(batch)
        replies = self._store.ask([each.question for each in asked])
        replies.addCallbacks(self._replied, self._failed, callbackArgs=(batch,))
        replies.addErrback(self._fault)
        self._look_by(batch.sent + PATIENCE)

    def _replied(self, replies: list[Any], batch: Batch) -> None:
        if not self._sent or self._sent[0] is not batch:  # of a connection that was given up
            return
        self._sent.popleft()
        if self._reach is Reach.SILENT:
            self._join()
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

    # The store is late, or silent

    def _look_by(self, when: float) -> None:
        after = max(0.0, when - self._reactor.seconds())
        if self._look is None:
            self._look = self._reactor.callLater(after, self._look_again)
        elif self._look.getTime() > when:
            self._look.reset(after)

    def _look_again(self) -> None:
        """Look for what is late once what has come is read: it may be this host that is late."""
        self._look = self._reactor.callLater(0, self._look_for_late)

    def _look_for_late(self) -> None:
        """One timer for all: let those go on who have waited long enough, and come again for the next of them."""
        self._look = None
        now = self._reactor.seconds()
        for batch in [each for each in self._sent if each.sent + PATIENCE <= now and not each.late]:
            self._late(batch, now)
        if self._sent and now >= self._sent[0].sent + SILENCE and self.is_there:
            self._part(Reach.SILENT, f"no answer within {SILENCE * 1000:g} ms")
        if self._sent and now >= self._sent[0].sent + DEAD:
            self._store.disconnect()
        elif self._sent:
            self._look_by(self._next_look())

    def _next_look(self) -> float:
        dues = [each.sent + PATIENCE for each in self._sent if not each.late]
        return min([*dues, self._sent[0].sent + (SILENCE if self.is_there else DEAD)])

    def _late(self, batch: Batch, now: float) -> None:
        batch.late = True
        waiting = [each for each in batch.asked if each.waits]
        if waiting and now >= self._late_said + SELDOM:
            self._late_said = now
            self._log.event("shared", result="late", reason=f"no answer within {PATIENCE * 1000:g} ms")
        for each in waiting:
            missed, each.answered, each.missed = each.missed, each.afterwards, nothing
            missed()

    def _part(self, reach: Reach, why: str) -> None:
        if self.is_there or not self._said_why:
            self._said_why = True
            self._log.event("shared", "warn", result="alone", reason=why)
        self._reach, self.why = reach, why

    def _join(self) -> None:
        self._reach, self.why, self._said_why = Reach.THERE, "", True
        self.joined()

    # Connecting

    def start(self) -> None:
        """Connect, and go on trying to."""
        self._retry = None
        connecting = self._store.connect(self._lost, self.nudged)
        connecting.addTimeout(DEAD, self._reactor, lambda _failure, seconds: _too_late(seconds))
        connecting.addCallbacks(lambda _: self._connected(), self._not_connected)

    def stop(self) -> None:
        """Have nothing more to do with the store; whoever waits for an answer goes on without it."""
        self._stopped = self._said_why = True
        self._reach = Reach.GONE
        for call in (self._retry, self._look):
            if call is not None and call.active():
                call.cancel()
        self._store.disconnect()
        asked = [each for batch in self._sent for each in batch.asked] + self._batch
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
        _give_up(each for batch in sent for each in batch.asked)
        self._try_again()

    def _try_again(self) -> None:
        if self._retry is None:
            self._retry = self._reactor.callLater(RETRY, self.start)


def _too_late(seconds: float) -> None:
    raise StoreError(f"not connected within {seconds:g} s")


def _give_up(asked: Iterable[Asked]) -> None:
    for each in asked:
        each.missed()
