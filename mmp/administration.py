"""What operators and monitoring reach of a running proxy: puts the socket for commands and the HTTP port together.

Both belong to the supervisor, and show all of its workers as one.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mmp.admin.commands import Commands, ListenerState, WorkerState
from mmp.admin.control import Control
from mmp.admin.dashboard import Dashboard
from mmp.admin.http import Pages
from mmp.admin.monitoring import Monitoring
from mmp.admin.sessions import stamp
from mmp.config.files import read_secret
from mmp.config.load import Loaded
from mmp.config.schema import Listener
from mmp.directory.http_client import server_of
from mmp.directory.ldap.replica import LDAPURL
from mmp.generation import Generation
from mmp.interfaces import Log
from mmp.model import Endpoint, Service, TLSMode
from mmp.observe.certificates import end_of
from mmp.observe.metrics import Counts
from mmp.shared.asking import Asked, Question
from mmp.shared.kept_bans import KeptBans
from mmp.shared.local import Home
from mmp.worker_process import State, Worker


class Governor(Protocol):
    """The supervisor, as far as it is needed here."""

    @property
    def loaded(self) -> Loaded:
        """The configuration in force."""

    @property
    def draining(self) -> bool:
        """Whether it is ending."""

    @property
    def badguys(self) -> int:
        """How many addresses are remembered as bad."""

    @property
    def apart(self) -> str:
        """Why other hosts that count together with this one cannot be asked; empty if they can."""

    @property
    def home(self) -> Home:
        """What is held, and who is bad."""

    @property
    def bans(self) -> KeptBans:
        """Who is banned."""

    def generations(self) -> Collection[Generation]:
        """Return all that have workers."""

    def reload(self) -> Sequence[str]:
        """Read the configuration anew; return what is wrong with it."""

    def drain(self, seconds: float | None) -> None:
        """Stop accepting, and end with the last session or after so many seconds, the grace if that is None."""


class Administration:
    """Listens for operators and for monitoring; mail matters more, so a socket that cannot be had stops nothing."""

    _faults = Logger()

    def __init__(self, reactor: Any, log: Log, governor: Governor) -> None:
        self.started = stamp(time.time())
        self.disabled: frozenset[str] = frozenset()
        """Stores that no login may go to, in lower case."""
        self.counted = Counts()
        """What workers have counted that are gone."""
        self._reactor = reactor
        self._log = log
        self._governor = governor
        self._commands = Commands(self, log)
        self._control = Control(reactor, self._commands)
        self._pages = Pages(reactor, Monitoring(reactor, self).pages() | Dashboard(self._commands).pages())

    def open(self) -> None:
        """Listen where the configuration in force says."""
        admin, files = self._governor.loaded.config.admin, self._governor.loaded.files
        token = read_secret(files[admin.token_file]) if admin.token_file else b""
        try:
            self._control.open(admin.control_path)
        except OSError as error:
            self._log.event("control", "error", reason=str(error))
        try:
            self._pages.open(admin.http_endpoint, token)
        except OSError as error:
            self._log.event("http", "error", reason=str(error))

    def state(self) -> dict[str, Any]:
        """Return what operators have decided and all has been counted, and where we listen, for ``restore``."""
        return {
            "started": self.started,
            "disabled": list(self.disabled),
            "counted": list(self.counted.items()),
            "control": self._control.state(),
            "http": self._pages.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with what ``state`` told."""
        self.started, self.disabled = state["started"], frozenset(state["disabled"])
        self.counted.learn(state["counted"])
        self._control.restore(state["control"])
        self._pages.restore(state["http"])

    def close(self) -> None:
        """Listen no more."""
        self._control.close()
        self._pages.close()

    def reload(self) -> Sequence[str]:
        """Read the configuration anew; return what is wrong with it."""
        return self._governor.reload()

    def drain(self, seconds: float | None) -> None:
        """Stop accepting, and end with the last session or after so many seconds, the grace if that is None."""
        self._governor.drain(seconds)

    def kicked(self, target: str) -> None:
        """End sessions here that another host has ended there."""
        kicking = Deferred.fromCoroutine(self._commands.kick_too(target))
        kicking.addErrback(lambda failure: self._faults.failure("unexpected error in a kick for another host", failure))

    def disable(self, stores: Iterable[str]) -> None:
        """Let no login go to these stores, given in lower case, and to all others."""
        self.disabled = frozenset(stores)
        for generation in self._governor.generations():
            for worker in generation.workers.values():
                generation.disable(worker)

    @property
    def draining(self) -> bool:
        """Whether the proxy is ending."""
        return self._governor.draining

    @property
    def home(self) -> Home:
        """What is held, and who is bad."""
        return self._governor.home

    @property
    def bans(self) -> KeptBans:
        """Who is banned."""
        return self._governor.bans

    @property
    def badguys(self) -> int:
        """How many addresses are remembered as bad."""
        return self._governor.badguys

    @property
    def shared_store(self) -> str:
        """Where hosts share what they know; empty if this one is alone."""
        return self._governor.loaded.config.shared.url

    @property
    def apart(self) -> str:
        """Why other hosts that count together with this one cannot be asked; empty if they can."""
        return self._governor.apart

    @property
    def serving(self) -> int:
        """How many workers accept connections."""
        return sum(worker.state is State.SERVING for worker in self._workers())

    @property
    def listeners(self) -> list[ListenerState]:
        """Where clients connect."""
        return [_listener(each) for each in self._governor.loaded.config.listener]

    @property
    def directories(self) -> frozenset[Endpoint]:
        """The servers that keep the directory; none if it needs none."""
        used = [listener.directory for listener in self._governor.loaded.config.listener]
        ldap = {LDAPURL.parse(url).endpoint for each in used if each.kind == "ldap" for url in each.ldap.urls}
        http = {server_of(urlsplit(each.auth_http.url)) for each in used if each.kind == "auth_http"}
        return frozenset(ldap | http)

    def store_port(self, service: str) -> int:
        """Return the port of stores for a service."""
        return self._governor.loaded.config.backend.reaching(Service(service)).port

    def seconds_left(self) -> Mapping[str, float]:
        """Return for how long each certificate that clients are shown is still good."""
        loaded, now = self._governor.loaded, datetime.now(UTC)
        return {name: (end_of(loaded.files[name]) - now).total_seconds() for name in loaded.shown}

    def workers(self) -> list[WorkerState]:
        """Return those that have begun to serve, with as many sessions as they had a few seconds ago."""
        return [WorkerState(worker.pid, worker.sessions, worker.state.value) for worker in self._workers()]

    def ask(self, asked: Asked) -> list[Question]:
        """Ask all workers that have begun to serve."""
        return list(self.ask_others(asked, ()).values())

    def ask_others(self, asked: Asked, known: Collection[int]) -> dict[int, Question]:
        """The same, but for those with these numbers; by process number."""
        return {worker.pid: worker.asker.ask(asked) for worker in self._workers() if worker.pid not in known}

    @property
    def clock(self) -> IReactorTime:
        """The clock of this process."""
        clock: IReactorTime = self._reactor
        return clock

    async def count(self) -> tuple[Counts, int]:
        """Return what all workers have counted, dead ones too, and how many live."""
        for answer in [worker.tell_counts(self._reactor) for worker in self._workers()]:
            await answer
        workers = self._workers()
        total = Counts()
        for counts in (self.counted, *(worker.counts for worker in workers)):
            total.add_all(counts)
        return total, len(workers)

    def _workers(self) -> list[Worker]:
        """Return those that have begun to serve."""
        workers = [worker for generation in self._governor.generations() for worker in generation.workers.values()]
        return [worker for worker in workers if worker.state is not State.STARTING]


def _listener(listener: Listener) -> ListenerState:
    oldest = "" if listener.tls is TLSMode.NONE else listener.tls_settings.min_version
    return ListenerState(listener.service.value, listener.address, listener.port, listener.tls.value, oldest)
