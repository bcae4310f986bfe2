"""What a worker tells of its sessions, and how it ends some of them: a page at a time, others are served in between.

A page goes over some hundred sessions, whether they match or not.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from mmp.admin.matching import matching
from mmp.model import Refusal, Standing
from mmp.net.listen import Arrival, Arrivals
from mmp.net.relay import Relay
from mmp.net.takeover import Relays
from mmp.net.wheel import Deadline, Wheel
from mmp.session.record import Record
from mmp.shared.asking import Page

PAGE = 100
"""Sessions looked at without serving others in between: about a millisecond."""
STEP = 0.25
"""Seconds between two batches where ending sessions is spread over time."""


@frozen
class Sessions:
    """The sessions of one worker; ``now`` is the time of day in seconds."""

    arrivals: Arrivals
    relays: Relays
    wheel: Wheel
    now: Callable[[], float]

    def __len__(self) -> int:
        return len(self.arrivals) + len(self.relays)

    def listed(self, wanted: Mapping[str, str]) -> Iterator[Page]:
        """Yield what ``mmp who`` tells of the sessions that have all of the wanted properties."""
        matches = matching(wanted)
        for batch in self._batches():
            yield [self._row(each, record) for each, record in batch if matches(record, _phase(each))]

    def numbers(self) -> Iterator[Counter[tuple[str, ...]]]:
        """Yield how many sessions there are, and what those that last have moved, in parts that are to be added up."""
        for batch in self._batches():
            numbers: Counter[tuple[str, ...]] = Counter()
            for each, record in batch:
                service = record.client.service.value
                numbers["sessions", service, _phase(each)] += 1
                if isinstance(each, Relay):
                    numbers["backend_sessions", record.backend, service] += 1
                    numbers["relay_bytes_total", service, "in"] += each.client.received
                    numbers["relay_bytes_total", service, "out"] += each.backend.received
            yield numbers

    def ended(self, wanted: Mapping[str, str], why: str) -> Iterator[Page]:
        """End the sessions that have all of the wanted properties; yield how many, in each page one number."""
        matches = matching(wanted)
        for batch in self._batches():
            found = [each for each, record in batch if matches(record, _phase(each))]
            for each in found:
                end(each, why)
            yield [len(found)]

    def standing(self) -> Iterator[list[tuple[Relay | Arrival, Record, Standing]]]:
        """Yield the sessions of which it is known what they were let in by."""
        for batch in self._batches():
            yield [(each, record, record.standing) for each, record in batch if record.standing is not None]

    def ended_slowly(self, wanted: Mapping[str, str], why: str, seconds: float) -> Iterator[Page]:
        """The same, spread over so many seconds; the number is of those that will be."""
        matches = matching(wanted)
        found = [each for batch in self._batches() for each, record in batch if matches(record, _phase(each))]
        self._end_some(found, why, max(1, -int(-len(found) * STEP // max(seconds, STEP))))
        yield [len(found)]

    def _end_some(self, rest: list[Relay | Arrival], why: str, size: int) -> None:
        for each in rest[:size]:
            end(each, why)
        if rest[size:]:
            Deadline(self.wheel, STEP, lambda: self._end_some(rest[size:], why, size))

    def _batches(self) -> Iterator[list[tuple[Relay | Arrival, Record]]]:
        """Yield the sessions that are there now, except those that have ended when it is their turn."""
        present: Iterator[tuple[Relay | Arrival, Record]]
        present = iter((*self.relays.sessions(), *self.arrivals.sessions()))
        while batch := list(itertools.islice(present, PAGE)):
            yield [(each, record) for each, record in batch if not record.finished]

    def _row(self, session: Relay | Arrival, record: Record) -> dict[str, Any]:
        client = record.client
        row = {
            "session": client.session,
            "worker": os.getpid(),
            "service": client.service.value,
            "user": record.user or record.typed,
            "address": client.address.host,
            "port": client.address.port,
            "backend": record.backend,
            "mechanism": record.mechanism,
            "tls": client.security.version,
            "phase": _phase(session),
            "since": stamp(self.now() - (self.wheel.seconds() - record.started)),
        }
        if isinstance(session, Arrival):
            return row | {"idle": None, "bytes_in": 0, "bytes_out": 0}
        return row | {
            "idle": round(session.idle(), 3),
            "bytes_in": session.client.received,
            "bytes_out": session.backend.received,
        }


def stamp(seconds: float) -> str:
    """Return a time of day in UTC to the millisecond (RFC 3339), as the log has it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _phase(session: Relay | Arrival) -> str:
    if isinstance(session, Arrival):
        return "login"
    return "closing" if session.why else "relay"


def end(session: Relay | Arrival, why: str) -> None:
    """End it from our side."""
    if isinstance(session, Arrival):
        session.turn_out(Refusal.SHUTTING_DOWN, why)
    else:
        session.close(why)
