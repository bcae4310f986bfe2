"""The worker's end of what is known together: asks the home over the link, and counts alone while that is silent.

Each ask has a number, which is the lease's if it is granted. Whoever gives up asking sends the lease back behind the
ask on the same link, so a grant that comes late is not lost.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from ipaddress import ip_network
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mmp.interfaces import Log
from mmp.net.running import Wait
from mmp.policy.bans import Bans, Network
from mmp.policy.throttle import FAILED, SUCCEEDED
from mmp.shared import link as wire
from mmp.shared.guest import Answer, Guest
from mmp.shared.link import Kind
from mmp.shared.local import Home

PATIENCE: Final = 0.1
"""Seconds that the home may take to answer."""
OWN: Final = 1 << 31
"""Set in the numbers of what this worker has decided alone."""

REFUSALS: Final = 10_000
"""Questions known to be refused; whoever is forgotten is asked for again."""

_DENIED, _GIVE, _OUTCOME, _BAD, _BAN = Kind.DENIED, Kind.GIVE, Kind.OUTCOME, Kind.BAD, Kind.BAN
"""By themselves, as in ``mmp.net.stream``."""
_ANSWERS: Final = frozenset({Kind.GRANTED, Kind.WAIT, _DENIED, _BAD})

Said = tuple[int, Kind, bytes]
"""The number asked under, and the frame that answers."""


class Slot:
    """A lease, under the number that it has at present."""

    __slots__ = ("_desk", "number")

    def __init__(self, desk: Desk, number: int) -> None:
        self._desk = desk
        self.number = number

    def close(self) -> None:
        """Give the slot back."""
        number, self.number = self.number, 0
        if number:
            self._desk.give(number)


class Desk:
    """Puts questions to the home and hands its answers back."""

    def __init__(self, clock: IReactorTime, say: Answer, tell: Answer, log: Log, own: Home) -> None:
        """``tell`` sends what nobody waits for, behind what went before; ``own`` decides while the home is silent."""
        self._clock = clock
        self._log = log
        self._say_home = say
        self._tell_home = tell
        self._own = Guest(own, self._answered)
        self._numbers = (number % (OWN - 1) + 1 for number in itertools.count())  # none is 0
        self._waiting: dict[int, Wait[tuple[Kind, bytes] | None]] = {}
        self._due: deque[tuple[float, int, object]] = deque()
        self._look: IDelayedCall | None = None
        self._alone = False
        self._slots: dict[int, tuple[Slot, Kind, bytes]] = {}
        """Those that the host does not know of, with what was asked for them."""
        self._refusals: dict[tuple[Kind, bytes], tuple[float, bytes]] = {}
        """By question, its kind and body: until when the answer is this, whoever asks."""
        self._bad: dict[int, Callable[[float, int], None]] = {}
        self.bans = Bans()
        self.key = own.key
        """For digests of passwords; the home's, once it has told it."""

    # Asking

    async def ask(self, kind: Kind, body: bytes) -> Said:
        """Return the answer to a question; if it takes longer than ``PATIENCE``, this worker's own."""
        if (refusal := self._refusals.get((kind, body))) is not None and self._clock.seconds() < refusal[0]:
            return 0, _DENIED, refusal[1]
        if not self._alone:
            number = next(self._numbers)
            waiting = self._waiting[number] = Wait()
            self._expect_soon(number, waiting)
            self._say_home(kind, wire.NUMBER.pack(number) + body)
            try:
                said = await waiting
            except BaseException:
                self._give_up(number)
                raise
            if said is not None:
                if said[0] is _DENIED:
                    self._remember((kind, body), said[1])
                return number, *said
        return await self._decide(kind, body)

    def _remember(self, question: tuple[Kind, bytes], payload: bytes) -> None:
        """Know for how long a question need not be asked again, if that was told."""
        if seconds := wire.DENIED.unpack_from(payload)[1]:
            if len(self._refusals) >= REFUSALS:
                self._refusals.clear()
            self._refusals[question] = self._clock.seconds() + seconds, payload

    async def _decide(self, kind: Kind, body: bytes) -> Said:
        """Return this worker's own answer to a question."""
        number = next(self._numbers) | OWN
        waiting = self._waiting[number] = Wait()
        self._own.received(kind, wire.NUMBER.pack(number) + body)
        return number, *await self._answer_to(number, waiting)

    async def later(self, number: int) -> tuple[Kind, bytes]:
        """Return what is said next to what has this number, however long that takes."""
        waiting = self._waiting[number] = Wait()
        return await self._answer_to(number, waiting)

    async def _answer_to(self, number: int, waiting: Wait[tuple[Kind, bytes] | None]) -> tuple[Kind, bytes]:
        try:
            said = await waiting
        except BaseException:
            self._give_up(number)
            raise
        assert said is not None  # noqa: S101 - nothing of this can be late
        return said

    def _give_up(self, number: int) -> None:
        self._waiting.pop(number, None)
        self.give(number)

    def _say(self, number: int, kind: Kind, payload: bytes) -> None:
        if number & OWN:
            self._own.received(kind, payload)
        else:
            self._say_home(kind, payload)

    def _tell(self, number: int, kind: Kind, payload: bytes) -> None:
        if number & OWN:
            self._own.received(kind, payload)
        else:
            self._tell_home(kind, payload)

    # What is held

    def slot(self, number: int, kind: Kind, body: bytes) -> Slot:
        """Return the lease that was granted under a number, in answer to this."""
        slot = Slot(self, number)
        if number & OWN:
            self._slots[number] = slot, kind, body
        return slot

    def give(self, number: int) -> None:
        """Give back what has this number, be it a lease or an attempt."""
        self._slots.pop(number, None)
        self._tell(number, _GIVE, wire.NUMBER.pack(number))

    def succeeded(self, number: int) -> None:
        """Tell that an attempt's password was right."""
        self._tell(number, _OUTCOME, wire.OUTCOME.pack(number, SUCCEEDED))

    def failed(self, number: int, bad: Callable[[float, int], None]) -> None:
        """Tell that it was wrong; ``bad`` is then told the badness of the address and its failures, if this is new."""
        self._bad[number] = bad
        self._say(number, _OUTCOME, wire.OUTCOME.pack(number, FAILED))

    # Answers

    def received(self, kind: Kind, payload: bytes) -> bool:
        """Take a frame of the host's home; False if it is not from there."""
        if kind in _ANSWERS:
            if self._alone:
                self._rejoin()
            self._answered(kind, payload)
        elif kind is _BAN:
            self._banned(payload)
        elif kind is Kind.KEY:
            self.key = payload
        else:
            return False
        return True

    def banned(self, octets: bytes) -> Network | None:
        """Return the banned network that an address is in."""
        return self.bans.covering(self._clock.seconds(), octets)

    def _banned(self, payload: bytes) -> None:
        seconds, bits = wire.BAN.unpack_from(payload)
        network = ip_network((payload[wire.BAN.size :], bits))
        if seconds:
            now = self._clock.seconds()
            self.bans.ban(now, network, now + seconds)
        else:
            self.bans.lift_one(network)

    def _answered(self, kind: Kind, payload: bytes) -> None:
        if kind is _BAN:
            self._banned(payload)
            return
        (number,) = wire.NUMBER.unpack_from(payload)
        if kind is _BAD:
            _, badness, failures = wire.BAD.unpack(payload)
            bad = self._bad.pop(number)
            if failures:
                bad(badness, failures)
        elif (waiting := self._waiting.pop(number, None)) is not None:  # else it was given up, and given back
            waiting.done((kind, payload))

    # The home is silent

    def _expect_soon(self, number: int, waiting: object) -> None:
        self._due.append((self._clock.seconds() + PATIENCE, number, waiting))
        if self._look is None:
            self._look = self._clock.callLater(PATIENCE, self._look_for_late)

    def _look_for_late(self) -> None:
        """One timer for all: give up what is late, and come again for the first that may yet be."""
        self._look = None
        now = self._clock.seconds()
        while self._due and (self._due[0][0] <= now or not self._is_open(*self._due[0][1:])):
            _, number, asked = self._due.popleft()
            if self._is_open(number, asked):
                self.give(number)
                self._part()
                self._waiting.pop(number).done(None)
        if self._due:
            self._look = self._clock.callLater(max(0.0, self._due[0][0] - now), self._look_for_late)

    def _is_open(self, number: int, asked: object) -> bool:
        return self._waiting.get(number) is asked

    def _part(self) -> None:
        if not self._alone:
            self._alone = True
            self._log.event("shared", "warn", result="alone", reason=f"no answer within {PATIENCE * 1000:g} ms")

    def _rejoin(self) -> None:
        """The answer that was late has come: tell of what was granted in between."""
        self._alone = False
        self._log.event("shared", result="rejoined", leases=len(self._slots))
        slots, self._slots = self._slots, {}
        for own, (slot, kind, body) in slots.items():
            self._own.received(_GIVE, wire.NUMBER.pack(own))
            slot.number = next(self._numbers)
            self._say_home(kind, wire.LEASE.pack(slot.number, 1) + body[1:])
