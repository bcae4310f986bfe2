"""The workers of one configuration: forked, watched, replaced one by one while the generation lasts, drained."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from attrs import define, field

from mmp.handover import taken
from mmp.interfaces import Log
from mmp.observe.metrics import Counts
from mmp.orphans import Orphan
from mmp.shared import link as wire
from mmp.shared.link import Kind
from mmp.shared.local import Home
from mmp.worker_process import State, Worker
from mmp.zygote_process import ZygoteProcess, memory

PING_EVERY = 5.0
"""Seconds between two questions whether a worker is alive."""
UNANSWERED = 3
"""Questions in a row without an answer after which a worker is killed. Not a time: a supervisor that was itself
stopped, or on a machine that was, finds the answers waiting and kills nobody."""
UNANSWERED_STARTING = 60
"""The same for one that has not begun to serve: it may have many keys and users to load."""
SHORT_LIFE = 10.0
"""A worker or zygote that lived for fewer seconds makes the next one wait."""


def back_off(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row: none after the first, then doubling up to 10."""
    return 0.0 if failures < 2 else min(0.1 * 2 ** min(failures, 10), 10.0)  # noqa: PLR2004 - as the sentence says


@define(eq=False)
class Generation:
    """Workers with the same configuration; those of the next are forked from the same zygote, if it lives.

    ``settings`` is the pickled configuration and ``sockets`` has those of its listeners, by numbers of which the
    remainder is the listener's index; ``ready`` is called when all workers serve, ``lost`` when the zygote has died,
    ``empty`` when a retired generation has no process left that is its own alone, ``counted`` with what each worker has
    counted in its life. If the directory is ``watched``, one worker follows it, and ``changed`` is called with what
    that tells.
    """

    reactor: Any
    log: Log
    zygote: ZygoteProcess
    settings: bytes = field(repr=False)
    size: int
    log_descriptor: Callable[[], int]
    disabled: Callable[[], Collection[str]]
    home: Home
    sockets: Mapping[int, socket.socket]
    ready: Callable[[Generation], None]
    lost: Callable[[Generation], None]
    empty: Callable[[Generation], None]
    counted: Callable[[Counts], None]
    watched: bool
    changed: Callable[[bytes], None]
    workers: dict[int, Worker] = field(factory=dict, init=False)
    retired: bool = field(default=False, init=False)
    _number: int = field(init=False)
    _serial: int = field(default=0, init=False)
    _watcher: int = field(default=0, init=False)
    _failures: int = field(default=0, init=False)
    _fresh: dict[str, bytes] = field(factory=dict, init=False, repr=False)
    _announced: bool = field(default=False, init=False)

    def start(self) -> None:
        """Have the zygote prepare; workers follow once it has. OSError if the system has no room for that."""
        self._number = self.zygote.prepare(self, self.settings)
        self._watch()

    # The zygote

    def prepared(self) -> None:
        """Have all workers forked."""
        for _ in range(self.size):
            self._fork()

    def forked(self, serial: int, pid: int, process: int) -> None:
        """Know the process of a worker."""
        worker = self.workers.get(serial)
        if worker is None:  # it is dead already
            os.close(process)
        else:
            worker.pid, worker.process = pid, process
            self.log.event("worker", result="started", pid=pid)

    def orphaned(self) -> None:
        """Have another generation made, since nobody can be forked any more."""
        if self.retired:
            self._end_if_empty()
        else:
            self.lost(self)

    # Workers

    def _fork(self) -> None:
        if self.retired or self.zygote.closed:  # then another generation is on its way
            return
        self._serial += 1
        try:
            self._ask_for_worker(self._serial)
        except OSError as error:  # out of descriptors
            self._failures += 1
            self.log.event("worker", "error", result="failed", reason=str(error))
            self.reactor.callLater(back_off(self._failures + 1), self._fork)

    def _ask_for_worker(self, serial: int) -> None:
        ours, theirs = wire.pair()
        with theirs:
            try:
                self.zygote.fork(self._number, serial, theirs.fileno())
            except OSError:
                ours.close()
                raise
        self.workers[serial] = self._worker(serial, ours)

    def _worker(self, serial: int, link: socket.socket) -> Worker:
        return Worker.on(self.reactor, link, self.home, serial, received=self._from_worker, lost=self._worker_lost)

    def _from_worker(self, serial: int, kind: Kind, payload: bytes, _descriptors: list[int]) -> None:
        worker = self.workers[serial]
        if worker.guest.received(kind, payload):
            pass
        elif kind is Kind.PONG:
            worker.unanswered = 0
            worker.sessions = sum(wire.TWO_NUMBERS.unpack(payload))
            worker.answered()
        elif kind is Kind.COUNTS:
            worker.counts.learn(json.loads(payload))
        elif kind is Kind.CHANGED:
            self.changed(payload)
        elif kind is Kind.PAGE:
            worker.asker.received(payload)
        elif self.retired:
            pass  # it has been told to end, and need not begin
        elif kind is Kind.HELLO:
            self._greet(worker, wire.NUMBER.unpack(payload)[0])
        elif kind is Kind.SERVING:
            worker.state = State.SERVING
            self._have_watched()
            if not self._announced and self._all_serve():
                self._announced = True
                self.ready(self)

    def _greet(self, worker: Worker, version: int) -> None:
        if version != wire.VERSION:
            self.log.event(
                "worker", "error", result="refused", pid=worker.pid, reason="speaks another version of frames"
            )
            self.kill(worker)
            return
        worker.link.send(Kind.LOG, descriptors=[self.log_descriptor()])
        worker.guest.greet()
        self._renew(worker)
        if self.disabled():
            self.disable(worker)
        for index, listening in self.sockets.items():
            worker.link.send(Kind.LISTEN, wire.NUMBER.pack(index), [listening.fileno()])
        worker.link.send(Kind.SERVE)

    def disable(self, worker: Worker) -> None:
        """Tell a worker which stores are disabled."""
        worker.link.send(Kind.DISABLED, json.dumps(sorted(self.disabled())).encode())

    def _have_watched(self) -> None:
        """Have one worker follow the directory, and another when that is gone: each that begins tells so."""
        serving = [worker for worker in self.workers.values() if worker.state is State.SERVING]
        if self.watched and self._watcher not in self.workers and serving:
            self._watcher = serving[0].serial
            serving[0].link.send(Kind.WATCH)

    def tell_changed(self, changed: bytes) -> None:
        """Tell all workers what has changed in the directory."""
        for worker in self.workers.values():
            worker.link.send(Kind.CHANGED, changed)

    def _all_serve(self) -> bool:
        return sum(worker.state is State.SERVING for worker in self.workers.values()) == self.size

    def _worker_lost(self, serial: int) -> None:
        worker = self.workers.pop(serial)
        worker.asker.lost()
        if not self.retired:
            worker.counts.add(("worker_losses_total",))
        self.counted(worker.counts)
        worker.answered()
        worker.guest.leave()
        self._let_go(worker)
        if self.retired:
            self._end_if_empty()
            return
        self._have_watched()
        lived = self.reactor.seconds() - worker.began
        self._failures = self._failures + 1 if lived < SHORT_LIFE else 1
        reason = "its zygote is gone, too" if self.zygote.closed else "another one is forked"
        self.log.event("worker", "error", result="lost", pid=worker.pid, reason=reason)
        self.reactor.callLater(back_off(self._failures), self._fork)

    def _let_go(self, worker: Worker) -> None:
        """Its zygote reaps it and tells how it has ended; where there is none any more, we do if we can."""
        if worker.process != -1 and self.zygote.closed:
            Orphan(self.reactor, self.log, worker.pid, worker.process)
        elif worker.process != -1:
            os.close(worker.process)

    def _watch(self) -> None:
        """Ask every worker whether it is alive; kill one that has not answered for too long."""
        if self.retired and not self.workers:
            return
        self.reactor.callLater(PING_EVERY, self._watch)
        for worker in tuple(self.workers.values()):
            patience = UNANSWERED_STARTING if worker.state is State.STARTING else UNANSWERED
            if worker.unanswered >= patience:
                reason = f"no answer for {patience * PING_EVERY:g} s"
                self.log.event("worker", "error", result="killed", pid=worker.pid, reason=reason)
                self.kill(worker)
            else:
                worker.unanswered += 1
                worker.link.send(Kind.PING)

    # Ending

    def retire(self, seconds: float) -> None:
        """Let workers end once their last session does, or after so many seconds; nobody is forked again."""
        self._wind_down(Kind.RETIRE, seconds)

    def drain(self, seconds: float) -> None:
        """Likewise, but send those away who are not logged in yet."""
        self._wind_down(Kind.DRAIN, seconds)

    def _wind_down(self, kind: Kind, seconds: float) -> None:
        self.retired = True
        self.zygote.forget(self._number)
        for worker in self.workers.values():
            worker.state = State.DRAINING
            worker.link.send(kind, wire.SECONDS.pack(seconds))
        self.reactor.callLater(0, self._end_if_empty)

    def _end_if_empty(self) -> None:
        """Once no worker is left, all is over; the zygote of the last ones tells how they ended before it ends."""
        if not self.workers:
            self.zygote.leave(self._number, lambda: self.empty(self))

    def kill(self, worker: Worker) -> None:
        """Kill one worker; its descriptor cannot mean another process."""
        if worker.process == -1:  # not known yet: it ends by itself when its link does
            worker.link.close()
            self._worker_lost(worker.serial)
        else:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(worker.process, signal.SIGKILL)

    def kill_all(self) -> None:
        """End it at once."""
        self.retired = True
        for worker in tuple(self.workers.values()):
            self.kill(worker)
        self.zygote.kill()

    def renew(self, fresh: Mapping[str, bytes]) -> None:
        """Have all workers, and those yet to come, use these certificates by the names of their files.

        They are sent when this returns: a worker hears of them before it is told to let in a client who comes later.
        """
        if not fresh:
            return
        self._fresh.update(fresh)
        for worker in self.workers.values():
            self._renew(worker)
            worker.link.flush()

    def _renew(self, worker: Worker) -> None:
        if self._fresh:
            with memory(pickle.dumps(self._fresh)) as descriptor:
                worker.link.send(Kind.RENEW, descriptors=[descriptor])

    # For the program that replaces this one

    @property
    def waits(self) -> bool:
        """Whether some process has not yet heard all that was said to it."""
        return self.zygote.waits or any(worker.link.waits for worker in self.workers.values())

    def state(self) -> dict[str, Any]:
        """Return all of this in builtin types, for ``restore``; the workers' descriptors stay open."""
        return {
            "number": self._number,
            "size": self.size,
            "watched": self.watched,
            "retired": self.retired,
            "announced": self._announced,
            "serial": self._serial,
            "watcher": self._watcher,
            "fresh": self._fresh,
            "workers": [worker.state_to_keep() for worker in self.workers.values()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Be the generation of which ``state`` told, in place of ``start``."""
        self.retired, self._announced = state["retired"], state["announced"]
        self._number, self._serial, self._watcher = state["number"], state["serial"], state["watcher"]
        self._fresh = state["fresh"]
        self.zygote.take_in(self._number, self)
        for each in state["workers"]:
            worker = self._worker(each["serial"], socket.socket(fileno=taken(each["link"])))
            worker.restore(each)
            self.workers[worker.serial] = worker
        self._watch()
        if self.retired:
            self.reactor.callLater(0, self._end_if_empty)

    def reopen_log(self) -> None:
        """Have all workers write to the log's present descriptor."""
        for worker in self.workers.values():
            worker.link.send(Kind.LOG, descriptors=[self.log_descriptor()])
