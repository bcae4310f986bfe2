"""What operators follow of a user's sessions: who said what when, without secrets; of the relay how many octets passed.

While nobody follows anybody, nothing of this is reached. Until a session has told whose it is, what it says is kept
aside, since it may turn out to be the user's.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product, starmap
from typing import Any, Final

from attrs import define, field

from mmp.interfaces import ClientCore, Guard, Level, Log, ServerCore
from mmp.session.record import Record

Entry = dict[str, Any]

MOST_SESSIONS: Final = 1000
"""Of which it is not known yet whose they are; others are not followed."""
KEPT: Final = 100
"""Entries kept of each of them: the last ones."""
MOST_ENTRIES: Final = 5000
"""Kept for an operator who does not read; then the oldest go."""
PAGE: Final = 100
LONGEST: Final = 500
"""Characters of an entry's text."""
_UNSAID: Final = frozenset({"session", "service", "client", "server", "user", "typed"})
"""Facts of an event that the entry has in another place, or that are the same all the time."""


@define(eq=False)
class Trace:
    """What one operator has yet to be told of one user, on a monotonic clock ``until`` some time."""

    user: str
    until: float
    _lost: int = field(default=0, init=False)
    """Entries that there was no room for."""
    _entries: deque[Entry] = field(factory=deque, init=False)

    def is_of(self, record: Record) -> bool:
        """Tell whether a session is the user's, as typed or as the directory names them."""
        return self.user in (record.user.casefold(), record.typed.casefold())

    def put(self, entry: Entry) -> None:
        """Have something to tell."""
        if len(self._entries) == MOST_ENTRIES:
            self._entries.popleft()
            self._lost += 1
        self._entries.append(entry)

    def page(self) -> list[Entry]:
        """Return some of it, and forget it; first of all how much there was no room for."""
        lost, self._lost = self._lost, 0
        page = [self._entries.popleft() for _ in range(min(PAGE, len(self._entries)))]
        return [{"lost": lost}, *page] if lost else page


class Traces:
    """All that operators follow of a worker; ``now`` is the time of day as entries have it, ``clock`` monotonic."""

    def __init__(
        self, log: Log, divert: Callable[[Log], None], now: Callable[[], str], clock: Callable[[], float]
    ) -> None:
        """``divert`` is told which log to write to: ours while somebody follows, else ``log``."""
        self._log = log
        self._divert = divert
        self._now = now
        self._clock = clock
        self.open: list[Trace] = []
        """Those that somebody reads."""
        self._sessions: dict[str, Transcript] = {}

    @contextmanager
    def opened(self, user: str, seconds: float) -> Iterator[Trace]:
        """Follow a user's sessions that begin from now on."""
        trace = Trace(user.casefold(), self._clock() + seconds)
        self.open.append(trace)
        self._divert(self)
        try:
            yield trace
        finally:
            self._close(trace)

    def _close(self, trace: Trace) -> None:
        if trace in self.open:
            self.open.remove(trace)
        if not self.open:
            self._divert(self._log)
            self._sessions.clear()

    def _close_old(self) -> None:
        """End those whose time is over: if the supervisor was replaced meanwhile, nobody else does."""
        for trace in [each for each in self.open if each.until <= self._clock()]:
            self._close(trace)

    def pages(self, user: str, seconds: float) -> Iterator[list[Entry]]:
        """Yield what there is to tell, each time it is asked for, until the time is over or nobody holds this."""
        with self.opened(user, seconds) as trace:
            while self._clock() < trace.until:
                for transcript in self._sessions.values():
                    transcript.tell_moved()
                yield trace.page()
        while page := trace.page():
            yield page

    # Told by others

    def begin(self, record: Record, core: ServerCore) -> None:
        """A session begins."""
        if self.open:
            self._close_old()
        if self.open and len(self._sessions) < MOST_SESSIONS:
            transcript = self._sessions[record.client.session] = Transcript(self, record)
            core.overhear(Leg(transcript, "client"))

    def dialling(self, session: str, core: ClientCore) -> None:
        """A store is about to be connected to for a session."""
        transcript = self._sessions.get(session)
        if transcript is not None:
            core.overhear(Leg(transcript, "store"))

    def relaying(self, record: Record, guard: Guard | None) -> Guard | None:
        """Return who watches over a session from now on: its guard, and somebody who counts if it is followed."""
        transcript = self._sessions.get(record.client.session)
        if transcript is None:
            return guard
        if not transcript.is_followed():
            del self._sessions[record.client.session]
            return guard
        return Counting(transcript, guard)

    def event(self, name: str, level: Level = "info", /, **facts: object) -> None:
        """Write an event, and show those that are about a session that is followed."""
        self.tell(name, level, facts)

    def tell(self, name: str, level: Level, facts: dict[str, object], /) -> None:
        """Write an event likewise."""
        self._log.tell(name, level, facts)
        transcript = self._sessions.get(str(facts.get("session", "")))
        if transcript is not None:
            said = {key: value for key, value in facts.items() if value and key not in _UNSAID}
            transcript.add("proxy", None, " ".join((name, *starmap(_fact, said.items()))))
            if name == "closed":
                self._sessions.pop(str(facts["session"]), None)

    def heeds(self, level: Level) -> bool:  # noqa: ARG002 - a log's
        """Heed everything: this is the log only while somebody follows."""
        return True

    # For transcripts

    def followers(self, record: Record) -> list[Trace]:
        """Return those that a session belongs to."""
        return [trace for trace in self.open if trace.is_of(record)]

    def stamp(self) -> str:
        """Return the time."""
        return self._now()


class Transcript:
    """One session's. What is known before it is known whose it is waits."""

    def __init__(self, traces: Traces, record: Record) -> None:
        self._traces = traces
        self._record = record
        self._followers: list[Trace] = []
        self._waiting: deque[Entry] = deque(maxlen=KEPT)
        self._moved: tuple[str, int] = "", 0
        """Who has sent how many octets through the relay since that was last told."""

    def is_followed(self) -> bool:
        """Tell whether it is the user's, as far as is known by now."""
        if not self._followers:
            self._followers = self._traces.followers(self._record)
            for entry, trace in product(self._waiting, self._followers):
                trace.put(entry)
            if self._followers:
                self._waiting.clear()
        return bool(self._followers)

    def add(self, source: str, target: str | None, text: str) -> None:
        """Have something to tell of it."""
        self.tell_moved()
        if not self._traces.open:  # the session has outlived whoever followed it
            return
        client = self._record.client
        entry: Entry = {
            "at": self._traces.stamp(),
            "session": client.session,
            "worker": os.getpid(),
            "service": client.service.value,
            "from": source,
            "to": target,
            "text": text[:LONGEST],
        }
        if self.is_followed():
            for trace in self._followers:
                trace.put(entry)
        else:
            self._waiting.append(entry)

    def moved(self, source: str, octets: int) -> None:
        """Count what passes; it is told once the other end speaks, or at the next page."""
        if self._moved[0] != source:
            self.tell_moved()
        self._moved = source, self._moved[1] + octets

    def tell_moved(self) -> None:
        """Tell what has passed since that was last told."""
        (source, octets), self._moved = self._moved, ("", 0)
        if octets:
            self.add(source, "store" if source == "client" else "client", f"{octets} octets")


@define(eq=False)
class Leg:
    """Looks on at what is said with the client, or with the store."""

    transcript: Transcript
    other: str

    def heard(self, text: bytes) -> None:
        """The other end has said this."""
        self.transcript.add(self.other, "proxy", _readable(text))

    def said(self, text: bytes) -> None:
        """We have."""
        self.transcript.add("proxy", self.other, _readable(text))


@define(eq=False)
class Counting:
    """A guard that lets everything pass, or asks the one that there is, and counts."""

    transcript: Transcript
    guard: Guard | None

    def from_client(self, octets: bytes) -> bytes:
        """Return what is to go to the store."""
        self.transcript.moved("client", len(octets))
        return octets if self.guard is None else self.guard.from_client(octets)

    def from_store(self, octets: bytes) -> bytes:
        """Return what is to go to the client."""
        self.transcript.moved("store", len(octets))
        return octets if self.guard is None else self.guard.from_store(octets)

    @property
    def waits(self) -> bool:
        """Whether the guard has to be told something before it goes on."""
        return self.guard is not None and self.guard.waits

    def answers(self) -> bytes:
        """Return what the guard has to say to the client at once."""
        return b"" if self.guard is None else self.guard.answers()

    def stop_if_ended(self) -> None:
        """Raise RemoteProtocolError if the guard would."""
        if self.guard is not None:
            self.guard.stop_if_ended()


def _fact(key: str, value: object) -> str:
    text = str(getattr(value, "value", value))
    return f"{key}={text}" if text.isprintable() and " " not in text else f"{key}={text!a}"


def _readable(text: bytes) -> str:
    """Return a line as text that does nothing to a terminal."""
    line = text.rstrip(b"\r\n").decode(errors="replace")
    return line if line.isprintable() else ascii(line)[1:-1]
