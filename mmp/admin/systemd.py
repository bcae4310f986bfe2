"""What systemd is told of us (sd_notify(3)): when we serve, reload and end, and that we are alive."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall


@define(eq=False)
class Systemd:
    """Tells whoever started us, if that is systemd and it wants to know; ``environment`` says so."""

    reactor: Any
    environment: Mapping[str, str]
    _next: IDelayedCall | None = field(default=None, init=False)

    def ready(self) -> None:
        """All that we have to do for a start or a reload is done."""
        self._tell("READY=1")
        self.live()

    def live(self) -> None:
        """Begin to say that we are alive."""
        if self._next is None:
            self._watch()

    def reloading(self) -> None:
        """A reload has begun; ``ready`` ends it, whether it succeeds or not."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """We are ending, which may take as long as sessions are given."""
        self._tell("STOPPING=1")

    def _watch(self) -> None:
        """Say that we are alive, twice as often as is wanted; it stops by itself when the reactor is stuck."""
        wanted = self.environment.get("WATCHDOG_USEC", "")
        if wanted.isdecimal() and self.environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            self._tell("WATCHDOG=1")
            self._next = self.reactor.callLater(int(wanted) / 2_000_000, self._watch)

    def _tell(self, *lines: str) -> None:
        path = self.environment.get("NOTIFY_SOCKET", "")
        if path.startswith(("/", "@")):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as told, suppress(OSError):
                told.sendto("\n".join(lines).encode(), path.replace("@", "\0", 1) if path[0] == "@" else path)
