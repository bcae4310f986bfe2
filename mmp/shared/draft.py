"""Answers questions on values that were fetched from a store that decides nothing itself; what has changed goes back.

It means what the script for Redis means, with the hosts' own time of day in place of the store's: their clocks have to
agree to within a second or so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from mmp.policy.badness import REMEMBERED, Record
from mmp.policy.throttle import Known
from mmp.shared.store import Announce, Count, Fail, Fetch, Forget, Hold, Look, Question, Strike, Take, Uncount, Vouch

_TOLERANCE: Final = 1e-6


def keys_of(question: Question) -> tuple[bytes, ...]:
    """Return the keys that an answer depends on, or changes."""
    if isinstance(question, Take):
        return tuple(slot.key for slot in question.slots)
    if isinstance(question, Look):
        return question.household, question.user, question.vouched
    if isinstance(question, Announce | Fetch):  # never asked of a store that tells nobody
        return question.keys
    return (question.key,)


class Draft:
    """Values by key, as one host sees and changes them at one moment; ``host`` and ``lease`` are that host's."""

    def __init__(self, values: Mapping[bytes, bytes | None], host: str, lease: float, now: float) -> None:
        self._values: dict[bytes, Any] = {key: json.loads(value) if value else None for key, value in values.items()}
        self._host = host
        self._lease = lease
        self._now = now
        self._kept: dict[bytes, float] = {}

    def changes(self) -> dict[bytes, tuple[bytes, int]]:
        """Return the values that have changed, each with the seconds for which it is to be kept."""
        return {
            key: (json.dumps(self._values[key], separators=(",", ":")).encode(), max(1, int(seconds) + 1))
            for key, seconds in self._kept.items()
        }

    def answer(self, question: Question) -> Any:
        """Return the reply."""
        return _ANSWERS[type(question)](self, question)

    def _keep(self, key: bytes, value: Any, seconds: float) -> None:
        self._values[key] = value
        self._kept[key] = seconds

    def _forget(self, key: bytes) -> None:
        if self._values[key] is not None:
            self._keep(key, None, 0.0)

    # Slots: by host, how many it holds and until when that counts

    def _hold(self, key: bytes, own: int) -> None:
        held = {host: (count, until) for host, (count, until) in (self._values[key] or {}).items() if until > self._now}
        held.pop(self._host, None)
        if own:
            held[self._host] = own, self._now + self._lease
        if held:
            self._keep(key, held, max(until for _, until in held.values()) - self._now)
        else:
            self._forget(key)

    def _held_by_others(self, key: bytes) -> int:
        held = self._values[key] or {}
        return sum(count for host, (count, until) in held.items() if host != self._host and until > self._now)

    def take(self, question: Take) -> int:
        """Take slots."""
        full = [self._held_by_others(slot.key) + slot.own > slot.most for slot in question.slots]
        if not any(each and not slot.observed for each, slot in zip(full, question.slots, strict=True)):
            for slot in question.slots:
                self._hold(slot.key, slot.own)
        return sum(1 << number for number, each in enumerate(full) if each)

    def hold(self, question: Hold) -> None:
        """Say how many are held."""
        self._hold(question.key, question.own)

    # Rates: the second at which all events would be over if they came evenly

    def count(self, question: Count) -> float:
        """Count an event."""
        over = max(self._now, self._values[question.key] or 0.0) + question.step
        if (wait := over - self._now - question.period) > _TOLERANCE:
            return float(wait)
        self._keep(question.key, over, over - self._now)
        return 0.0

    def uncount(self, question: Uncount) -> None:
        """Count it no more."""
        over = (self._values[question.key] or 0.0) - question.step
        if over > self._now:
            self._keep(question.key, over, over - self._now)
        else:
            self._forget(question.key)

    # Badness: how much, since when, how many failures, and the digests of the last

    def look(self, question: Look) -> Known:
        """Tell what is known."""
        left = (self._values[question.vouched] or 0.0) - self._now
        return Known(self._record(question.household), self._record(question.user), max(0.0, left))

    def _record(self, key: bytes) -> Record | None:
        if self._values[key] is None:
            return None
        badness, since, failures, seen, decay = self._values[key]
        age = max(0.0, self._now - since)
        return Record(badness, age, failures, tuple(map(bytes.fromhex, seen))) if age < decay else None

    def fail(self, question: Fail) -> None:
        """Count a failure."""
        rules, digest = question.penalties, question.digest.hex()
        left, failures, seen = 0.0, 0, []
        if (record := self._record(question.key)) is not None and record.age < rules.decay:
            left = record.badness * (1 - record.age / rules.decay if rules.linear else 1)
            failures, seen = record.failures, [each.hex() for each in record.seen]
        if digest not in seen:
            badness = min(left + rules.penalty, rules.most)
            seen = [*seen[1 - REMEMBERED :], digest]
            self._keep(question.key, [badness, self._now, failures + 1, seen, rules.decay], rules.decay)

    def forget(self, question: Forget) -> None:
        """Know nothing more."""
        self._forget(question.key)

    def vouch(self, question: Vouch) -> None:
        """Vouch for somebody."""
        self._keep(question.key, self._now + question.seconds, question.seconds)

    # Strikes: of each failure when it was, and its digest

    def strike(self, question: Strike) -> int:
        """Count a failure that may come to a ban."""
        since, digest = self._now - question.window, question.digest.hex()
        recent = [[when, seen] for when, seen in self._values[question.key] or () if when > since]
        if all(seen != digest for _, seen in recent):
            recent.append([self._now, digest])
        if len(recent) >= question.after:
            self._forget(question.key)
            return 1
        self._keep(question.key, recent, question.window)
        return 0


_ANSWERS: Final[Mapping[type, Callable[[Draft, Any], Any]]] = {
    Take: Draft.take,
    Hold: Draft.hold,
    Count: Draft.count,
    Uncount: Draft.uncount,
    Look: Draft.look,
    Fail: Draft.fail,
    Forget: Draft.forget,
    Vouch: Draft.vouch,
    Strike: Draft.strike,
}
