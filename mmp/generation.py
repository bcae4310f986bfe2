"""A zygote and the workers forked from it: made, watched, replaced one by one while the generation lasts, drained."""

from __future__ import annotations

import enum
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field

import mmp
from mmp.interfaces import Log
from mmp.shared import link as wire
from mmp.shared.link import Kind, Link

PING_EVERY = 5.0
"""Seconds between two questions whether a worker is alive."""
SILENCE = 15.0
"""Seconds without an answer after which a worker is killed."""
SHORT_LIFE = 10.0
"""A worker or zygote that lived for fewer seconds makes the next one wait."""


class State(enum.Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


@define(eq=False)
class Worker:
    """A worker process, as its supervisor knows it; ``answered`` and ``began`` are monotonic seconds."""

    serial: int
    link: Link
    began: float
    answered: float
    state: State = State.STARTING
    pid: int = 0
    process: int = -1
    sessions: int = 0


def back_off(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row: none after the first, then doubling up to 10."""
    return 0.0 if failures < 2 else min(0.1 * 2**failures, 10.0)  # noqa: PLR2004 - as the sentence says


@define(eq=False)
class Generation:
    """Workers that share ticket keys and code; two generations share neither.

    ``settings`` is the pickled configuration; ``sockets`` gives the listening sockets now in use, by the listener's
    index; ``ready`` is called when all workers serve, ``lost`` when the zygote has died, ``empty`` when the last
    worker of a retired generation is gone.
    """

    reactor: Any
    log: Log
    settings: bytes = field(repr=False)
    size: int
    log_descriptor: Callable[[], int]
    sockets: Callable[[], Mapping[int, socket.socket]]
    ready: Callable[[Generation], None]
    lost: Callable[[Generation], None]
    empty: Callable[[Generation], None]
    workers: dict[int, Worker] = field(factory=dict, init=False)
    began: float = field(init=False)
    retired: bool = field(default=False, init=False)
    _zygote: Link = field(init=False)
    _process: subprocess.Popen[bytes] = field(init=False)
    _serial: int = field(default=0, init=False)
    _failures: int = field(default=0, init=False)
    _announced: bool = field(default=False, init=False)

    def start(self) -> None:
        """Start a fresh interpreter as the zygote and have it prepare; workers follow once it has."""
        ours, theirs = wire.pair()
        package = str(Path(mmp.__file__).parent.parent)
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([package, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        }
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "mmp.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment,
            )
        self.began = self.reactor.seconds()
        self._zygote = Link(self.reactor, ours, self._from_zygote, self._zygote_lost)
        memory = os.memfd_create("mmp-settings")
        with os.fdopen(memory, "wb") as file:
            file.write(self.settings)
            file.flush()
            self._zygote.send(Kind.PREPARE, descriptors=[memory])
        self._watch()

    @property
    def zygote_pid(self) -> int:
        """The zygote's process id."""
        return self._process.pid

    # The zygote

    def _from_zygote(self, kind: Kind, payload: bytes, descriptors: list[int]) -> None:
        if kind is Kind.PREPARED:
            for _ in range(self.size):
                self._fork()
        elif kind is Kind.FORKED:
            serial, pid = wire.TWO_NUMBERS.unpack(payload)
            self._forked(serial, pid, descriptors.pop())
        elif kind is Kind.DIED:
            pid, code = wire.EXIT.unpack(payload)
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            self.log.event("worker", "error" if code else "info", result="ended", pid=pid, reason=how)

    def _zygote_lost(self) -> None:
        code = self._process.wait()
        if not self.retired:
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            self.log.event("zygote", "error", result="ended", pid=self._process.pid, reason=how)
            self.lost(self)

    # Workers

    def _fork(self) -> None:
        if self.retired or self._zygote.closed:  # then another generation is on its way
            return
        self._serial += 1
        ours, theirs = wire.pair()
        serial, now = self._serial, self.reactor.seconds()
        link = Link(
            self.reactor,
            ours,
            lambda kind, payload, descriptors: self._from_worker(serial, kind, payload, descriptors),
            lambda: self._worker_lost(serial),
        )
        self.workers[serial] = Worker(serial, link, now, now)
        with theirs:
            self._zygote.send(Kind.FORK, wire.NUMBER.pack(serial), [theirs.fileno()])

    def _forked(self, serial: int, pid: int, process: int) -> None:
        worker = self.workers.get(serial)
        if worker is None:  # it is dead already
            os.close(process)
        else:
            worker.pid, worker.process = pid, process
            self.log.event("worker", result="started", pid=pid)

    def _from_worker(self, serial: int, kind: Kind, payload: bytes, _descriptors: list[int]) -> None:
        worker = self.workers[serial]
        if kind is Kind.HELLO:
            self._greet(worker, wire.NUMBER.unpack(payload)[0])
        elif kind is Kind.SERVING:
            worker.state = State.SERVING
            if not self._announced and self._all_serve():
                self._announced = True
                self.ready(self)
        elif kind is Kind.PONG:
            worker.answered = self.reactor.seconds()
            worker.sessions = sum(wire.TWO_NUMBERS.unpack(payload))

    def _greet(self, worker: Worker, version: int) -> None:
        if version != wire.VERSION:
            self.log.event(
                "worker", "error", result="refused", pid=worker.pid, reason="speaks another version of frames"
            )
            self.kill(worker)
            return
        worker.link.send(Kind.LOG, descriptors=[self.log_descriptor()])
        for index, listening in self.sockets().items():
            worker.link.send(Kind.LISTEN, wire.NUMBER.pack(index), [listening.fileno()])
        worker.link.send(Kind.SERVE)

    def _all_serve(self) -> bool:
        return sum(worker.state is State.SERVING for worker in self.workers.values()) == self.size

    def _worker_lost(self, serial: int) -> None:
        worker = self.workers.pop(serial)
        if worker.process != -1:
            os.close(worker.process)
        if self.retired:
            if not self.workers:
                self.empty(self)
            return
        lived = self.reactor.seconds() - worker.began
        self._failures = self._failures + 1 if lived < SHORT_LIFE else 1
        self.log.event("worker", "error", result="lost", pid=worker.pid, reason="another one is forked")
        self.reactor.callLater(back_off(self._failures), self._fork)

    def _watch(self) -> None:
        """Ask every worker whether it is alive; kill one that has not answered for too long."""
        if self.retired and not self.workers:
            return
        self.reactor.callLater(PING_EVERY, self._watch)
        for worker in tuple(self.workers.values()):
            if self.reactor.seconds() - worker.answered > SILENCE:
                self.log.event(
                    "worker", "error", result="killed", pid=worker.pid, reason=f"no answer for {SILENCE:g} s"
                )
                self.kill(worker)
            else:
                worker.link.send(Kind.PING)

    # Ending

    def retire(self, seconds: float) -> None:
        """Let workers end once their last session does, or after so many seconds (0: never); nobody is forked again."""
        self._wind_down(Kind.RETIRE, seconds)

    def drain(self, seconds: float) -> None:
        """Likewise, but send those away who are not logged in yet."""
        self._wind_down(Kind.DRAIN, seconds)

    def _wind_down(self, kind: Kind, seconds: float) -> None:
        if not self.retired:
            self.retired = True
            self._zygote.close()
        for worker in self.workers.values():
            worker.state = State.DRAINING
            worker.link.send(kind, wire.SECONDS.pack(seconds))
        if not self.workers:
            self.reactor.callLater(0, self.empty, self)

    def kill(self, worker: Worker) -> None:
        """Kill one worker; its descriptor cannot mean another process."""
        if worker.process != -1:
            signal.pidfd_send_signal(worker.process, signal.SIGKILL)

    def kill_all(self) -> None:
        """End it at once."""
        self.retired = True
        self._zygote.close()
        for worker in self.workers.values():
            self.kill(worker)
