"""Slowing down those who fail to log in, by address and perhaps by account, without slowing owners down.

An attempt waits for as many seconds as its address is bad. Attempts of one address queue behind each other: one at a
time while it is bad, and few enough at a time while it is not that a rush of guesses tells what it is.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import define, field, frozen

from mmp.policy.badness import Badness, Penalties, Record

PARALLEL: Final = 32
"""Attempts of one address whose outcomes are open; an office whose people all log in at once waits for milliseconds."""
QUEUE: Final = 256
"""Further attempts of an address that is not bad."""
BAD_QUEUE: Final = 10
"""Further attempts of an address that is."""
HELD: Final = 1000
"""Attempts that wait, of all addresses."""
FORGIVEN: Final = 4
"""Different wrong passwords for a user from an address at which that user has just logged in: old phones."""


class Outcome(enum.IntEnum):
    """What came of an attempt: the password was wrong, or right, or nobody has judged it."""

    OPEN = 0
    FAILED = 1
    SUCCEEDED = 2


OPEN, FAILED, SUCCEEDED = Outcome
"""By themselves: to find one in its class takes Python 3.11 half a microsecond, and every login asks for some."""


@define(eq=False)
class Attempt:
    """An attempt to log in from a household as a user, with something that is the same for the same password only.

    ``wait`` is in seconds from when it is told; None while it is queued, or ``refused`` since too many are.
    ``badness`` and ``failures`` are those of the address after a failure that ``counted``.
    """

    household: bytes
    user: bytes
    digest: bytes
    wait: float | None = None
    refused: bool = False
    counted: bool = False
    badness: float = 0.0
    failures: int = 0
    running: bool = field(default=False, init=False)
    held: bool = field(default=False, init=False)


@define(eq=False)
class _Line:
    """The attempts of a household: how many run, and who is next."""

    running: int = 0
    queue: deque[Attempt] = field(factory=deque)


@define(eq=False)
class _Vouched:
    """A user has logged in there; until when that counts, and which wrong passwords have been forgiven."""

    until: float
    forgiven: list[bytes] = field(factory=list)


class Turn(enum.Enum):
    """What has changed: a failure counts, a user has logged in, or has had more than forgiven where that was."""

    FAILED = 1
    SUCCEEDED = 2
    DISTRUSTED = 3


_LOGGED_IN: Final = Turn.SUCCEEDED


@frozen
class Known:
    """What other hosts know of the household and of the account that an attempt is made from and for.

    ``vouched`` is for how many seconds the user is still vouched for there.
    """

    household: Record | None = None
    user: Record | None = None
    vouched: float = 0.0


@frozen
class Standing:
    """How bad an address is, after how many failures, and how bad an account is; ``vouched``: that matters not."""

    address: float
    failures: int
    user: float
    vouched: bool


class Throttle:
    """What it knows of households, and with ``per_user`` of accounts too.

    With ``observe`` an attempt is told how long it would wait, and nothing else is done.
    """

    def __init__(
        self,
        penalties: Penalties,
        *,
        per_user: bool = False,
        observe: bool = False,
        tell: Callable[[Turn, Attempt], None] = lambda _turn, _attempt: None,
    ) -> None:
        """``tell`` is told of every change that other hosts want to know of."""
        self.observe = observe
        self._tell = tell
        self._penalties = penalties
        self._households = Badness(penalties)
        self._users = Badness(penalties) if per_user else None
        self._lines: dict[bytes, _Line] = {}
        self._held = 0
        self._vouched: OrderedDict[tuple[bytes, bytes], _Vouched] = OrderedDict()

    def change(self, penalties: Penalties, *, per_user: bool, observe: bool) -> None:
        """Go on under other rules with what is known already."""
        self.observe = observe
        self._penalties = self._households.penalties = penalties
        if not per_user:
            self._users = None
        elif self._users is None:
            self._users = Badness(penalties)
        else:
            self._users.penalties = penalties

    # Beginning

    def begin(self, now: float, household: bytes, user: bytes, digest: bytes) -> tuple[Attempt, list[Attempt]]:
        """Return an attempt, which has to be ended whatever becomes of it unless it is refused.

        Beside it, others that now know how long to wait, since time has made their address good again.
        """
        attempt = Attempt(household, user, digest)
        told: list[Attempt] = []
        if self._vouches(now, attempt):
            attempt.wait = 0.0
        elif self.observe:
            attempt.wait = self._delay(now, attempt)
        else:
            line = self._lines.get(household)
            if line is None:
                line = self._lines[household] = _Line()
            line.queue.append(attempt)
            self._held += 1
            attempt.held = True
            told = [each for each in self._advance(now, line) if each is not attempt]
            self._drop(line, household)
        return attempt, told

    def _vouches(self, now: float, attempt: Attempt) -> _Vouched | None:
        vouched = self._vouched.get((attempt.household, attempt.user))
        return vouched if vouched is not None and now < vouched.until else None

    def _delay(self, now: float, attempt: Attempt) -> float:
        delay = self._households.of(now, attempt.household)
        return delay if self._users is None else max(delay, self._users.of(now, attempt.user))

    def _advance(self, now: float, line: _Line) -> list[Attempt]:
        """Let those begin for whom there is room, and refuse those for whom there is none even to wait."""
        told = []
        while line.queue:
            delay = self._delay(now, line.queue[0])
            if line.running >= (1 if delay else PARALLEL):
                told += self._refuse(line, BAD_QUEUE if delay else QUEUE)
                break
            attempt = line.queue.popleft()
            line.running += 1
            attempt.running, attempt.wait = True, delay
            if not delay:
                self._release(attempt)
            elif self._held > HELD:
                self._stop(line, attempt)
                attempt.refused = True
            told.append(attempt)
        return told

    def _refuse(self, line: _Line, most: int) -> list[Attempt]:
        refused = []
        while len(line.queue) > most or (line.queue and self._held > HELD):
            attempt = line.queue.pop()
            attempt.refused = True
            self._release(attempt)
            refused.append(attempt)
        return refused

    def _release(self, attempt: Attempt) -> None:
        if attempt.held:
            attempt.held = False
            self._held -= 1

    def _stop(self, line: _Line, attempt: Attempt) -> None:
        if attempt.running:
            attempt.running = False
            line.running -= 1
        elif attempt in line.queue:
            line.queue.remove(attempt)
        self._release(attempt)

    def _drop(self, line: _Line, household: bytes) -> None:
        if not line.running and not line.queue:
            self._lines.pop(household, None)

    # Ending

    def end(self, now: float, attempt: Attempt, outcome: Outcome) -> list[Attempt]:
        """Learn what came of it; return those attempts that now know how long to wait, or are refused."""
        if outcome is FAILED:
            self._failed(now, attempt)
        elif outcome is SUCCEEDED:
            self._succeeded(now, attempt)
        line = self._lines.get(attempt.household)
        if line is None or not (attempt.running or attempt.held):
            return []
        self._stop(line, attempt)
        told = self._advance(now, line)
        self._drop(line, attempt.household)
        return told

    def _failed(self, now: float, attempt: Attempt) -> None:
        if (vouched := self._vouches(now, attempt)) is not None:
            if attempt.digest in vouched.forgiven:
                return
            if len(vouched.forgiven) < FORGIVEN:
                vouched.forgiven.append(attempt.digest)
                return
            del self._vouched[attempt.household, attempt.user]
            self._tell(Turn.DISTRUSTED, attempt)
        self._tell(Turn.FAILED, attempt)
        attempt.counted = self._households.add(now, attempt.household, attempt.digest)
        attempt.badness = self._households.of(now, attempt.household)
        attempt.failures = self._households.failures(attempt.household)
        if self._users is not None:
            self._users.add(now, attempt.user, attempt.digest)

    def _succeeded(self, now: float, attempt: Attempt) -> None:
        """Clear the address, and vouch for the user there; an account that others guess at stays slow for them."""
        self._tell(_LOGGED_IN, attempt)
        self._households.clear(attempt.household)
        self._vouch(attempt.household, attempt.user, now, self._penalties.decay)

    def _vouch(self, household: bytes, user: bytes, now: float, seconds: float) -> None:
        key = household, user
        vouched = self._vouched.get(key)
        if vouched is None or now >= vouched.until:
            vouched = _Vouched(0.0)
        vouched.until = now + seconds
        self._vouched[key] = vouched
        self._vouched.move_to_end(key)
        if len(self._vouched) > self._penalties.size:
            self._vouched.popitem(last=False)

    # From other hosts

    @property
    def per_user(self) -> bool:
        """Whether failures count against accounts too."""
        return self._users is not None

    def learn(self, now: float, household: bytes, user: bytes, known: Known, *, asked: float) -> None:
        """Take what is known elsewhere in place of what was known here when it was asked for."""
        self._households.learn(now, household, known.household, asked)
        if self._users is not None:
            self._users.learn(now, user, known.user, asked)
        if known.vouched:
            self._vouch(household, user, now, known.vouched)
        else:
            self._vouched.pop((household, user), None)

    # For the program that replaces this one

    def state(self) -> dict[str, Any]:
        """Return what is known, in builtin types, for ``restore``; attempts are whoever's who makes them."""
        return {
            "households": self._households.state(),
            "users": [] if self._users is None else self._users.state(),
            "vouched": [(*key, vouched.until, vouched.forgiven) for key, vouched in self._vouched.items()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what ``state`` told, on the same clock, in place of what is known."""
        self._households.restore(state["households"])
        if self._users is not None:
            self._users.restore(state["users"])
        self._vouched = OrderedDict(
            ((household, user), _Vouched(until, forgiven)) for household, user, until, forgiven in state["vouched"]
        )

    # For those who ask

    def badness(self, now: float, household: bytes, user: bytes) -> Standing:
        """Return how an attempt would be judged."""
        return Standing(
            address=self._households.of(now, household),
            failures=self._households.failures(household),
            user=0.0 if self._users is None else self._users.of(now, user),
            vouched=(known := self._vouched.get((household, user))) is not None and now < known.until,
        )

    @property
    def waiting(self) -> int:
        """How many attempts wait."""
        return self._held

    def listed(self, now: float) -> Iterator[tuple[bytes, float, int, float, int]]:
        """Yield each bad household: its badness, failures and end of that, and how many of its attempts wait."""
        for household, badness, failures, until in self._households.listed(now):
            line = self._lines.get(household)
            yield household, badness, failures, until, len(line.queue) + line.running if line is not None else 0

    @property
    def bad(self) -> int:
        """How many addresses are remembered as bad."""
        return len(self._households)
