"""What a worker counts, in plain numbers, mostly by listening to its own log; the supervisor adds workers up.

A key is a metric's name and the values of its labels, in the order in which ``mmp.observe.exposition`` names them.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from attrs import define, field

from mmp.interfaces import Level, Log

Key = tuple[str, ...]

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds; one more bucket is for what takes longer."""
PART = 10
"""Items in one part: with the longest names of stores a frame still holds them."""
_UP: Final = frozenset({"connected", "refused"})
_DOWN: Final = frozenset({"failed", "untrusted"})
_UP_OR_DOWN: Final = _UP | _DOWN
"""What was said of an attempt at a store that is there, and of one at a store that is not, or not to be trusted."""
MOST = 20_000
"""Keys at most: directories name the stores, and one that goes mad must not fill our memory."""


@define
class Counts:
    """Numbers that only grow. A histogram is the counts of its buckets, each by itself, and then the sum of seconds."""

    counts: dict[Key, int] = field(factory=dict)
    histograms: dict[Key, list[float]] = field(factory=dict)

    def add(self, key: Key, much: int = 1) -> None:
        """Count something."""
        known = self.counts.get(key)
        if known is not None:
            self.counts[key] = known + much
        elif len(self.counts) < MOST:
            self.counts[key] = much

    def took(self, key: Key, seconds: float) -> None:
        """Remember how long something took."""
        histogram = self.histograms.get(key)
        if histogram is None:
            if len(self.histograms) >= MOST:
                return
            histogram = self.histograms[key] = [0] * (len(BUCKETS) + 1) + [0.0]
        histogram[bisect_left(BUCKETS, seconds)] += 1
        histogram[-1] += seconds

    def add_all(self, other: Counts) -> None:
        """Add another's numbers."""
        for key, much in other.counts.items():
            self.counts[key] = self.counts.get(key, 0) + much
        for key, more in other.histograms.items():
            own = self.histograms.get(key, [0] * len(more))
            self.histograms[key] = [one + two for one, two in zip(own, more, strict=True)]

    def items(self) -> Iterator[tuple[Key, int | list[float]]]:
        """Yield all of it, as ``learn`` takes it."""
        yield from self.counts.items()
        yield from self.histograms.items()

    def learn(self, items: Iterable[tuple[Iterable[str], Any]]) -> None:
        """Put newer numbers in place of those that are known."""
        for key, value in items:
            if isinstance(value, list):
                self.histograms[tuple(key)] = value
            else:
                self.counts[tuple(key)] = value


def parts(counts: Counts) -> Iterator[bytes]:
    """Yield all of it as JSON lists, each of which ``learn`` takes and a frame on a link holds."""
    items = list(counts.items())
    for start in range(0, len(items), PART):
        yield json.dumps(items[start : start + PART], separators=(",", ":")).encode()


class Seen(NamedTuple):
    """How the last attempt at a store or a directory went, and when, on a clock that all processes share."""

    why: str
    """Why it is down; empty if it is up."""
    at: float


class Counted:
    """A log that counts what it is told before it writes it; and knows what has been said of stores and directories."""

    def __init__(self, log: Log, counts: Counts, clock: Callable[[], float]) -> None:
        self.counts = counts
        self.seen: dict[Key, Seen] = {}
        """Of "store", its name and the service; of "directory", "slow", "warning" or "watch" and a directory's URL; of
        "shared" and this process."""
        self._log = log
        self._clock = clock
        self._hear: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            "connected": self._connected,
            "refused": self._refused,
            "login": self._login,
            "closed": self._closed,
            "backend": self._backend,
            "directory": self._directory,
            "watch": self._watch,
            "shared": self._shared,
            "held": self._held,
            "metered": self._limited,
            "badguy": self._badguy,
        }

    def event(self, name: str, level: Level = "info", /, **facts: object) -> None:
        """Count, and write one event."""
        self.tell(name, level, facts)

    def tell(self, name: str, level: Level, facts: dict[str, object], /) -> None:
        """Count, and write one event."""
        hear = self._hear.get(name)
        if hear is not None:
            hear(facts)
        self._log.tell(name, level, facts)

    def pass_on_to(self, log: Log) -> None:
        """Write to this log from now on."""
        self._log = log

    def heeds(self, level: Level) -> bool:
        """Tell whether events of this level are written; all are counted."""
        return self._log.heeds(level)

    def _connected(self, facts: Mapping[str, Any]) -> None:
        self.counts.add(("connections_total", facts["service"], "accepted"))

    def _refused(self, facts: Mapping[str, Any]) -> None:
        result = _plain(facts.get("result") or "refused")
        if result != "observed":
            self.counts.add(("connections_total", _plain(facts["service"]), result))
        self._limited(facts)

    def _login(self, facts: Mapping[str, Any]) -> None:
        self.counts.add(("logins_total", facts["service"], facts["mechanism"], _plain(facts["result"])))
        if facts.get("reason"):
            self._limited(facts)

    def _limited(self, facts: Mapping[str, Any]) -> None:
        reason = facts.get("reason") or ""
        if reason.startswith("limit: "):  # never in the words of a store, which come behind its name
            observed = " (observed)" if facts.get("result") == "observed" else ""
            self.counts.add(("limit_refusals_total", reason.removeprefix("limit: ") + observed))

    def _closed(self, facts: Mapping[str, Any]) -> None:
        if facts["bytes_in"] or facts["bytes_out"]:
            self.counts.add(("relay_bytes_total", facts["service"], "in"), facts["bytes_in"])
            self.counts.add(("relay_bytes_total", facts["service"], "out"), facts["bytes_out"])

    def _backend(self, facts: Mapping[str, Any]) -> None:
        result = facts["result"]
        if result in _UP_OR_DOWN:
            key = "store", facts["backend"], _plain(facts["service"])
            self._see(key, facts["reason"] if result in _DOWN else "")

    def _directory(self, facts: Mapping[str, Any]) -> None:
        """Learn how a server is: ``up`` ends all that was said of it before."""
        url, result, reason = facts["url"], facts["result"], facts.get("reason") or ""
        if result in {"up", "down"}:
            self._see(("directory", url), reason if result == "down" else "")
        if result in {"slow", "warning"}:
            self._see((result, url), reason)
        elif result == "up":
            for key in [key for key in self.seen if key in {("slow", url), ("warning", url)}]:
                self._see(key, "")

    def _watch(self, facts: Mapping[str, Any]) -> None:
        self._see(("watch", str(facts["url"])), facts["reason"] if facts["result"] == "none" else "")

    def _shared(self, facts: Mapping[str, Any]) -> None:
        self._see(("shared", str(os.getpid())), facts["reason"] if facts["result"] == "alone" else "")

    def _held(self, _facts: Mapping[str, Any]) -> None:
        self.counts.add(("throttle_delays_total",))

    def _badguy(self, facts: Mapping[str, Any]) -> None:
        if facts.get("result") == "observed":
            self.counts.add(("throttle_delays_observed_total",))

    def _see(self, key: Key, why: str) -> None:
        if key in self.seen or len(self.seen) < MOST:
            self.seen[key] = Seen(why, self._clock())


def _plain(value: Any) -> str:
    return value if type(value) is str else str(getattr(value, "value", value))
