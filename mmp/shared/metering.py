"""What one session submits, counted with all else that its user does: asks at the desk, and tells how it went."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from mmp.interfaces import Level, Log
from mmp.net.running import Running
from mmp.shared import link as wire
from mmp.shared.desk import Desk
from mmp.shared.link import Kind


class Meter:
    """Counts under the user's canonical name; what would exceed a limit is told to the log, the first time loudly."""

    _log = Logger()

    def __init__(self, desk: Desk, limits: frozenset[str], log: Log, facts: dict[str, object]) -> None:
        """``facts`` are those of the session; ``user`` is among them."""
        self.limits = limits
        self.go_on: Callable[[], None] = lambda: None
        self._desk = desk
        self._events = log
        self._facts = facts
        self._user = str(facts["user"]).encode("utf-8", "surrogateescape")
        self._granted: deque[int] = deque()
        """What the store has not answered yet."""
        self._asking: Running[None] | None = None
        self._waits = False
        self._told: set[tuple[str, str]] = set()

    def ask(self, limit: str, told: Callable[[bool], None]) -> None:
        """Ask whether there is room for one more; ``told`` is called with the answer, perhaps at once."""
        self._waits = False
        self._asking = Running(self._ask(limit, told), self._asked)
        self._asking.go_on()
        self._waits = True

    async def _ask(self, limit: str, told: Callable[[bool], None]) -> None:
        number, kind, payload = await self._desk.ask(Kind.METER, limit.encode() + b"\0" + self._user)
        if kind is Kind.DENIED:
            self._tell("refused", limit)
        else:
            self._granted.append(number)
            if payload[wire.NUMBER.size :]:
                self._tell("observed", limit)
        told(kind is not Kind.DENIED)

    def _tell(self, result: str, limit: str) -> None:
        level: Level = "debug" if (result, limit) in self._told else "warn"
        self._told.add((result, limit))
        self._events.event("metered", level, result=result, reason=f"limit: {limit}", **self._facts)

    def _asked(self, result: BaseException | None) -> None:
        if result is None:
            if self._waits:
                self.go_on()
        elif not isinstance(result, CancelledError):
            self._log.failure("unexpected error in metering", Failure(result))

    def settle(self, *, accepted: bool) -> None:
        """Tell whether the store has accepted it: of all for which there was room, in that order."""
        number = self._granted.popleft()
        if accepted:
            self._desk.succeeded(number)
        else:
            self._desk.give(number)

    def close(self) -> None:
        """Ask no more; what the store has not answered counts, since it may accept it when nobody listens any more."""
        if self._asking is not None:
            self._asking.cancel()
        while self._granted:
            self.settle(accepted=True)
