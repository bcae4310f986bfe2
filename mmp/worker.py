"""One worker: puts the parts together from the configuration, and runs until it has drained."""

from __future__ import annotations

import gc
import itertools
import json
import math
import os
import pickle
import resource
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from attrs import frozen
from twisted.internet.main import installReactor
from twisted.logger import globalLogBeginner

from mmp.admin.answers import Answers
from mmp.admin.reviews import Reviews
from mmp.admin.sessions import Sessions, stamp
from mmp.admission import Admission, beyond_reach, rules
from mmp.authenticators import Authenticators
from mmp.config.load import Loaded
from mmp.cores import CORES, GUARDS
from mmp.dials import Dials
from mmp.directory.changes import Changed, Changes, pack, unpack
from mmp.directory.ldap.watch import Watch
from mmp.encryption import Encryption, KeyRing
from mmp.model import Refusal
from mmp.net.listen import Arrivals, House
from mmp.net.loop import Loop
from mmp.net.port import Port
from mmp.net.reactor import LeanReactor
from mmp.net.resolve import Resolver
from mmp.net.reverse import HostNames
from mmp.net.share import Share
from mmp.net.stream import Stream
from mmp.net.takeover import Relays
from mmp.net.tls import FrontSettings
from mmp.net.wheel import Deadline, Wheel
from mmp.observe.accounting import Accounting
from mmp.observe.log import EventLog, LineObserver
from mmp.observe.metrics import Counted, Counts, parts
from mmp.observe.trace import Traces
from mmp.receptions import Receptions
from mmp.shared import link as wire
from mmp.shared.asking import Answerer
from mmp.shared.desk import Desk
from mmp.shared.link import Kind, Link
from mmp.shared.local import Home

OTHER_DESCRIPTORS = 128
"""Kept for listening sockets, the log, the directory, and what accepting and connecting need for a moment."""


@frozen
class Inheritance:
    """What a worker has from the zygote: the configuration, the rings, and what it may take of the sessions."""

    loaded: Loaded
    rings: Mapping[FrontSettings, KeyRing]
    share: Share


class Parts:
    """Makes the parts, each once, and hands each the few values it needs."""

    def __init__(self, inheritance: Inheritance, reactor: LeanReactor, log: EventLog, desk: Desk) -> None:
        loaded, self._share = inheritance.loaded, inheritance.share
        self._alone = loaded.config.workers == 1
        self._log = self.counted = Counted(log, Counts(), time.monotonic)
        counts = self.counted.counts
        self._wheel = Wheel(reactor)
        self._loop = Loop(reactor, self._wheel)
        resolver = Resolver(reactor, self._wheel)
        accounting = Accounting(self._log, reactor.seconds)
        idle = {service: loaded.config.backend.reaching(service).idle_timeout for service in CORES}
        admission = Admission(loaded.config, desk, reactor, self._log, HostNames(reactor))
        traces = Traces(log, self.counted.pass_on_to, lambda: stamp(time.time()), reactor.seconds)
        self.relays = Relays(self._loop, idle, accounting.close, GUARDS, admission.meter, begun=traces.relaying)
        self.arrivals = Arrivals(
            House(self._loop, self._log, accounting, self.relays, _session_ids(), _capacity(), traces.begin)
        )
        authenticators = Authenticators(
            loaded.files, loaded.config.pool, reactor, self._loop, resolver, log=self._log, counts=counts
        )
        sessions = Sessions(self.arrivals, self.relays, self._wheel, time.time)
        self.reviews = Reviews(sessions, authenticators.objection, reactor)
        self.authenticators = authenticators
        self.answers = Answers(sessions, self.counted, traces, authenticators.forget)
        self.encryption = Encryption(loaded.files, inheritance.rings)
        self.dials = Dials(loaded, self._loop, resolver, log=self._log, counts=counts, begun=traces.dialling)
        receptions = Receptions(
            loaded,
            self._loop,
            self._log,
            counts,
            self.arrivals,
            self.encryption,
            admission,
            authenticators,
            self.dials,
            authenticators.policy(loaded.config.policy, self.arrivals),
        )
        self._receptions = [receptions.reception(listener) for listener in loaded.config.listener]
        self.dials.survey()

    def listen(self, number: int, listening: socket.socket) -> Port:
        """Accept for a listener, whose index is the number's remainder: it may have several sockets."""
        receive = partial(self.arrivals.receive, self._receptions[number % len(self._receptions)])
        return Port(self._loop, listening, receive, self._log, self._exceeds_share)

    def _exceeds_share(self) -> bool:
        return not self._alone and self._share.is_exceeded(len(self.arrivals) + len(self.relays))

    def changed(self, changed: Changed) -> None:
        """The directory may have something else to say now of these entries, or of any."""
        self.authenticators.changed(changed)
        self.reviews.changed(changed)

    def after(self, seconds: float, call: Callable[[], object]) -> Deadline:
        """Call once, later."""
        return Deadline(self._wheel, seconds, call)


def _session_ids() -> Iterator[str]:
    """Yield ids that no other worker of this service gives, before or after: a random word and a number."""
    prefix = secrets.token_hex(4)
    return (f"{prefix}{number:x}" for number in itertools.count())


def _capacity() -> int:
    """Return how many sessions there are descriptors for, two each, beside what else needs some; take all we may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:  # no process may have more than this all the same
        most = int(Path("/proc/sys/fs/nr_open").read_text())
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return max(1, (most - OTHER_DESCRIPTORS) // 2)


class Worker:
    """The worker's end of the link: listens on what it is given, drains when told or when the supervisor is gone."""

    def __init__(self, inheritance: Inheritance, reactor: LeanReactor, link: socket.socket) -> None:
        self._inheritance = inheritance
        self._reactor = reactor
        self._ports: list[Port] = []
        self._watches: list[Watch] = []
        self._ending = False
        self._patience: Deadline | None = None
        log = inheritance.loaded.config.log
        self._log = EventLog(os.dup(2), log.format, log.level)
        globalLogBeginner.beginLoggingTo([LineObserver(self._log)], redirectStandardIO=False, discardBuffer=True)
        self._link = Link(reactor, link, self._received, self._orphaned)
        own = Home(rules(inheritance.loaded.config), reactor.seconds)
        own.others = beyond_reach(inheritance.loaded.config, reactor.seconds)
        self._desk = Desk(reactor, self._link.send, self._link.send_along, self._log, own)
        self._parts = Parts(inheritance, reactor, self._log, self._desk)
        self._answerer = Answerer(self._link, self._parts.answers)
        self._link.send(Kind.HELLO, wire.NUMBER.pack(wire.VERSION))

    def _received(self, kind: Kind, payload: bytes, descriptors: list[int]) -> None:
        if self._desk.received(kind, payload):
            return
        if kind is Kind.LOG:
            if descriptors:  # else we have too many open to be given one, and go on with the old one
                self._log.reopen(descriptors.pop())
        elif kind is Kind.RENEW:
            with os.fdopen(descriptors.pop(), "rb") as file:
                file.seek(0)
                self._parts.encryption.renew(pickle.load(file))  # noqa: S301 - from our own supervisor, over a socket pair
        elif kind is Kind.LISTEN:
            listening = socket.socket(fileno=descriptors.pop())
            self._ports.append(self._parts.listen(wire.NUMBER.unpack(payload)[0], listening))
        elif kind is Kind.SERVE:
            self._link.send(Kind.SERVING)
        elif kind in {Kind.RETIRE, Kind.DRAIN}:
            end = self._retire if kind is Kind.RETIRE else self._drain
            end(*wire.SECONDS.unpack(payload))
        else:
            self._answer(kind, payload)

    def _answer(self, kind: Kind, payload: bytes) -> None:
        """Tell the supervisor what it wants to know, or do what an operator wants done."""
        if kind is Kind.PING:
            self._tell_counts()
            self._link.send(Kind.PONG, wire.TWO_NUMBERS.pack(len(self._parts.arrivals), len(self._parts.relays)))
        elif kind is Kind.WATCH:
            self._watch()
        elif kind is Kind.CHANGED:
            self._parts.changed(unpack(payload))
        elif kind is Kind.DISABLED:
            self._parts.dials.disable(json.loads(payload))
        else:
            self._answerer.received(kind, payload)

    def _watch(self) -> None:
        """Follow the directory, for all workers."""
        self._watches = self._parts.authenticators.watches(Changes(self._reactor, self._tell_changed))
        for watch in self._watches:
            watch.start()

    def _tell_changed(self, changed: Changed) -> None:
        for message in pack(changed):
            self._link.send(Kind.CHANGED, message)

    def _tell_counts(self) -> None:
        self._parts.counted.counts.learn([(("log_lines_lost_total",), self._log.lost)])
        for part in parts(self._parts.counted.counts):
            self._link.send(Kind.COUNTS, part)

    def _orphaned(self) -> None:
        """The supervisor is gone, or has let go of us: then even one that was only replaced must end."""
        self._log.event("drain", "warn", result="begun", reason="the supervisor is gone")
        self._drain(self._inheritance.loaded.config.shutdown_grace)

    def _drain(self, seconds: float) -> None:
        """Send away who is not logged in, accept no more, end when the last session does or after so many seconds."""
        self._parts.arrivals.turn_out(Refusal.SHUTTING_DOWN, "shutting down")
        self._retire(seconds)

    def _retire(self, seconds: float) -> None:
        """Accept no more; end when the last session does, or end those after so many seconds."""
        for port in self._ports:
            port.close()
        self._ports.clear()
        for watch in self._watches:
            watch.stop()
        self._inheritance.share.leave()
        if self._patience is not None:
            self._patience.cancel()  # the last word counts
        self._patience = self._parts.after(seconds, self._close_rest) if seconds < math.inf else None
        if not self._ending:
            self._ending = True
            self._end_when_empty()

    def _close_rest(self) -> None:
        self._parts.arrivals.turn_out(Refusal.SHUTTING_DOWN, "shutting down")
        self._parts.relays.close_all("shutting down")

    def _end_when_empty(self) -> None:
        if self._parts.relays or self._parts.arrivals or any(stream.closing for stream in self._streams()):
            self._parts.after(0, self._end_when_empty)
        else:
            self._tell_counts()
            self._link.doWrite()  # nobody will ask it to any more
            self._reactor.removeReader(self._link)  # stopping ends it: that is no loss
            self._reactor.stop()

    def _streams(self) -> Iterator[Stream]:
        watched = self._reactor.getReaders() + self._reactor.getWriters()  # type: ignore[no-untyped-call]  # Twisted's
        return (each for each in watched if isinstance(each, Stream))


def run(inheritance: Inheritance, link: socket.socket) -> None:
    """Be a worker until drained; never returns before."""
    reactor = LeanReactor()
    installReactor(reactor)
    gc.set_threshold(50_000, 20, 100)  # sessions leave no cycles; what little garbage there is can wait
    Worker(inheritance, reactor, link)
    reactor.run(installSignalHandlers=False)
