"""Keeps an eye on certificates: tells of those that end soon, and notices when their files are written anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import define, field
from cryptography.x509 import load_pem_x509_certificates
from twisted.internet.interfaces import IDelayedCall

from mmp.interfaces import Level, Log

LOOK_EVERY = 10.0
"""Seconds between two looks at the files. A change is told when the next look finds no other: it is complete then."""
TELL_EVERY = 86400.0

Traces = Mapping[str, tuple[int, int, int] | None]


@define(eq=False)
class CertificateWatch:
    """Watches the files that were given last; ``now`` knows its time zone, ``changed`` is called after a change."""

    reactor: Any
    log: Log
    now: Callable[[], datetime]
    changed: Callable[[], None]
    _files: Sequence[str] = field(default=(), init=False)
    _known: Traces = field(factory=dict, init=False)
    _seen: Traces = field(factory=dict, init=False)
    _calls: list[IDelayedCall] = field(factory=list, init=False)

    def watch(self, files: Sequence[str], shown: Mapping[str, float], contents: Mapping[str, bytes]) -> None:
        """Watch these files from now on, and tell of those ``shown`` whose end is less than so many seconds away."""
        self.stop()
        self._files = files
        self._known = self._seen = self._traces()
        ends = {name: (end_of(contents[name]), warning) for name, warning in shown.items()}
        self._every(TELL_EVERY, lambda: self._tell(ends))
        self._tell(ends)
        if files:
            self._every(LOOK_EVERY, self._look)

    def stop(self) -> None:
        """Watch no more."""
        for call in self._calls:
            if call.active():
                call.cancel()
        self._calls.clear()

    def _every(self, seconds: float, call: Callable[[], None]) -> None:
        place = len(self._calls)

        def go_on() -> None:
            self._calls[place] = self.reactor.callLater(seconds, go_on)
            call()

        self._calls.append(self.reactor.callLater(seconds, go_on))

    def _look(self) -> None:
        before, self._seen = self._seen, self._traces()
        if self._seen == before != self._known:
            self._known = self._seen  # told once, whatever comes of it
            self.changed()

    def _traces(self) -> Traces:
        return {path: _trace(path) for path in self._files}

    def _tell(self, ends: Mapping[str, tuple[datetime, float]]) -> None:
        now = self.now()
        for name, (end, warning) in ends.items():
            left = (end - now).total_seconds()
            if left < warning:
                level: Level = "warn" if left > 0 else "error"
                self.log.event("certificate", level, file=name, ends=f"{end:%Y-%m-%dT%H:%MZ}", days=(end - now).days)


def end_of(pem: bytes) -> datetime:
    """Return when the first certificate of a chain ends."""
    return load_pem_x509_certificates(pem)[0].not_valid_after_utc


def _trace(path: str) -> tuple[int, int, int] | None:
    """Return what is different once a file has been written or replaced; None if it is not there."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
