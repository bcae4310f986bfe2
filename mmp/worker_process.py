"""A worker process, as its supervisor knows it."""

from __future__ import annotations

import enum
import socket
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mmp.handover import kept, taken
from mmp.observe.metrics import Counts
from mmp.shared.asking import PATIENCE, Asker
from mmp.shared.guest import Guest
from mmp.shared.link import Kind, Link
from mmp.shared.local import Home

Received = Callable[[int, Kind, bytes, list[int]], None]
"""Gets the serial number of a worker, and what it says."""


class State(enum.Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


@define(eq=False)
class Worker:
    """A worker process.

    ``process`` is a descriptor of the process, -1 until the zygote has told of it; ``unanswered`` counts pings.
    """

    serial: int
    link: Link
    asker: Asker
    guest: Guest
    began: float
    state: State = State.STARTING
    pid: int = 0
    process: int = -1
    unanswered: int = 0
    sessions: int = 0
    counts: Counts = field(factory=Counts)
    _awaited: list[Deferred[None]] = field(factory=list, init=False)

    @classmethod
    def on(
        cls,
        reactor: Any,
        link: socket.socket,
        home: Home,
        serial: int,
        *,
        received: Received,
        lost: Callable[[int], None],
    ) -> Worker:
        """Return the one at the other end of a link, which is ours from now on; ``lost`` is told of its end."""
        made = Link(
            reactor,
            link,
            lambda kind, payload, descriptors: received(serial, kind, payload, descriptors),
            lambda: lost(serial),
        )
        return cls(serial, made, Asker(made, reactor), Guest(home, made.send), reactor.seconds())

    def tell_counts(self, clock: IReactorTime) -> Deferred[None]:
        """Have it tell what it has counted; wait until it has, or is gone, or does not answer."""
        told: Deferred[None] = Deferred()
        self._awaited.append(told)
        self.link.send(Kind.PING)
        return told.addTimeout(PATIENCE, clock, onTimeoutCancel=lambda *_: None)

    def answered(self) -> None:
        """Let those go on who wait for what it has counted."""
        awaited, self._awaited = self._awaited, []
        for told in awaited:
            if not told.called:
                told.callback(None)

    # For the program that replaces this one

    def state_to_keep(self) -> dict[str, Any]:
        """Return all of this in builtin types, for ``restore``; its descriptors stay open in the next program."""
        self.asker.end()
        self.link.flush()
        return {
            "serial": self.serial,
            "link": kept(self.link.fileno()),
            "asked": self.asker.number,
            "guest": self.guest.state(),
            "began": self.began,
            "state": self.state.value,
            "pid": self.pid,
            "process": self.process if self.process == -1 else kept(self.process),
            "sessions": self.sessions,
            "counts": list(self.counts.items()),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what ``state_to_keep`` told, on the same clock; its link is the one that this was made on."""
        self.asker.number = state["asked"]
        self.guest.restore(state["guest"])
        self.began, self.state = state["began"], State(state["state"])
        self.pid, self.process = state["pid"], state["process"]
        if self.process != -1:
            taken(self.process)
        self.sessions = state["sessions"]
        self.counts.learn(state["counts"])
