"""The supervisor: twistd's own process. Owns the listening sockets, has workers made and replaced, serves no client."""

from __future__ import annotations

import math
import os
import pickle
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IDelayedCall

from mmp.admin.systemd import Systemd
from mmp.administration import Administration
from mmp.admission import rules
from mmp.config.load import Loaded
from mmp.encryption import front_settings
from mmp.errors import ConfigError
from mmp.generation import SHORT_LIFE, Generation, back_off
from mmp.model import Endpoint
from mmp.net.bind import listening_socket
from mmp.net.tls import RING, FrontSettings
from mmp.observe.certificates import CertificateWatch
from mmp.observe.log import EventLog
from mmp.shared.kept_bans import KeptBans
from mmp.shared.local import Home
from mmp.sharing import Sharing
from mmp.zygote_process import ZygoteProcess

KILL_AFTER = 15.0
"""Seconds that workers get beyond their grace, to say goodbye to the last sessions, before they are killed."""


class Supervisor(Service):
    """Runs one generation of workers at a time, and drains those before it."""

    def __init__(
        self, reactor: Any, loaded: Loaded, load: Callable[[str], Loaded], log: EventLog, open_log: Callable[[], int]
    ) -> None:
        """``load`` reads the configuration anew; ``open_log`` opens the log anew."""
        self._reactor = reactor
        self._loaded = loaded
        self._load = load
        self._log = log
        self._open_log = open_log
        self._log_descriptor = open_log()
        self._sockets: dict[Endpoint, socket.socket] = {}
        self._zygote: ZygoteProcess | None = None
        self._rings: dict[FrontSettings, float] = {}
        """When the first key period of each that the zygote has began."""
        self._serving: Generation | None = None
        self._coming: Generation | None = None
        self._draining: set[Generation] = set()
        self._next: IDelayedCall | None = None
        """When another generation is due."""
        self._failures = 0
        self._stopping = self._terminated = False
        self._cut: IDelayedCall | None = None
        """When a drain is cut short."""
        self._administration = Administration(reactor, log, self)
        self._systemd = Systemd(reactor, os.environ)
        self._home = Home(rules(loaded.config), time.monotonic)
        self._sharing = Sharing(reactor, self._home, log)
        state = loaded.config.admin.state_path(os.environ)
        self._bans = KeptBans(reactor, self._home, log, state, time.time)
        self._certificates = CertificateWatch(reactor, log, lambda: datetime.now(UTC), self.renew)

    @property
    def loaded(self) -> Loaded:
        """The configuration in force."""
        return self._loaded

    @property
    def draining(self) -> bool:
        """Whether it is ending."""
        return self._stopping

    @property
    def badguys(self) -> int:
        """How many addresses are remembered as bad."""
        return self._home.throttle.bad

    @property
    def apart(self) -> str:
        """Why other hosts that count together with this one cannot be asked; empty if they can."""
        return self._sharing.why

    @property
    def home(self) -> Home:
        """What is held, and who is bad."""
        return self._home

    @property
    def bans(self) -> KeptBans:
        """Who is banned."""
        return self._bans

    # Starting

    def bind(self) -> None:
        """Have a socket for each listener; OSError if that cannot be."""
        self._bind(self._loaded)

    def startService(self) -> None:  # noqa: N802 - Twisted's name
        """Start the first generation; take the signals over once Twisted has installed its own."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        self._sharing.use(self._loaded)
        self._bans.open()
        self._start_generation()
        self._watch_certificates()
        self._administration.open()
        self._reactor.callLater(0, self._install_signals)

    def _bind(self, loaded: Loaded) -> None:
        """Have a socket for each listener; OSError changes nothing."""
        made: dict[Endpoint, socket.socket] = {}
        try:
            for listener in loaded.config.listener:
                if listener.endpoint not in self._sockets | made:
                    made[listener.endpoint] = listening_socket(listener.endpoint)
        except OSError:
            for listening in made.values():
                listening.close()
            raise
        self._sockets |= made

    def _close_unused(self) -> None:
        """Close the sockets that neither the configuration names nor the workers that serve."""
        wanted = {listener.endpoint for listener in self._loaded.config.listener}
        serving = [] if self._serving is None else list(self._serving.sockets.values())
        for endpoint in [each for each in self._sockets if each not in wanted]:
            if self._sockets[endpoint] not in serving:
                self._sockets.pop(endpoint).close()

    def _install_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal(self.terminate))
        signal.signal(signal.SIGHUP, self._on_signal(self.reload))
        signal.signal(signal.SIGUSR2, self._on_signal(self._keep_program))

    def _on_signal(self, call: Callable[[], object]) -> Callable[[int, FrameType | None], None]:
        return lambda _number, _frame: self._reactor.callFromThread(call)

    # Generations

    def _start_generation(self) -> None:
        self._not_due()
        try:
            generation = self._generation(self._living_zygote())
            generation.start()
        except OSError as error:
            self._log.event("zygote", "error", result="failed", reason=str(error))
            self._try_again(lived=0.0)
        else:
            self._coming = generation

    def _living_zygote(self) -> ZygoteProcess:
        """Return the one that there is, so that sessions are resumed; another if it is gone."""
        if self._zygote is None or self._zygote.ending:
            self._zygote = ZygoteProcess.start(self._reactor, self._log)
            self._rings.clear()
        now, fronts = self._reactor.seconds(), front_settings(self._loaded.config)
        self._rings = {front: self._rings.get(front, now) for front in fronts}
        return self._zygote

    def _generation(self, zygote: ZygoteProcess) -> Generation:
        config = self._loaded.config
        return Generation(
            reactor=self._reactor,
            log=self._log,
            zygote=zygote,
            settings=pickle.dumps(self._loaded),
            size=config.workers or os.cpu_count() or 1,
            log_descriptor=lambda: self._log_descriptor,
            disabled=lambda: self._administration.disabled,
            home=self._home,
            sockets={index: self._sockets[listener.endpoint] for index, listener in enumerate(config.listener)},
            ready=self._ready,
            lost=self._zygote_lost,
            empty=self._drained,
            counted=self._administration.counted.add_all,
            watched=any(listener.directory.is_watched for listener in config.listener),
            changed=self._tell_changed,
        )

    def _replace_zygote(self) -> None:
        """Begin new rings, since one is at its end."""
        self._zygote = None
        self._start_generation()

    def _tell_changed(self, changed: bytes) -> None:
        """Let all workers know what one has seen change in the directory; those that drain have sessions, too."""
        for generation in self.generations():
            generation.tell_changed(changed)

    def _due(self, seconds: float, call: Callable[[], None]) -> None:
        """Have another generation made in so many seconds, and not when it was due before."""
        self._not_due()
        self._next = self._reactor.callLater(max(0.0, seconds), call)

    def _not_due(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None

    def _try_again(self, lived: float) -> None:
        self._failures = self._failures + 1 if lived < SHORT_LIFE else 1
        self._due(back_off(self._failures), self._start_generation)

    def _ready(self, generation: Generation) -> None:
        """The new workers serve: the old ones may go."""
        if self._serving is not None:
            self._retire(self._serving)
        self._serving, self._coming = generation, None
        self._systemd.ready()
        self._close_unused()
        self._log.event("serving", workers=generation.size, listeners=", ".join(map(str, self._sockets)))
        ends = [began + RING * front.key_period for front, began in self._rings.items()]
        if ends:
            self._due(min(ends) - self._reactor.seconds(), self._replace_zygote)

    def _retire(self, generation: Generation) -> None:
        """Let its sessions end in their time; one that was still coming may have some as well."""
        timeout = self._loaded.config.drain_timeout
        self._draining.add(generation)
        generation.retire(math.inf if timeout is None else timeout)

    def _zygote_lost(self, generation: Generation) -> None:
        """Nobody can be forked from it any more: make another, and then let its workers go."""
        if generation is self._coming:
            self._retire(generation)
            self._coming = None
        if self._coming is None:
            self._try_again(self._reactor.seconds() - generation.zygote.began)

    def _drained(self, generation: Generation) -> None:
        self._draining.discard(generation)
        if self._stopping and not self._draining:
            self._log.event("drain", result="done")
            self._stop_reactor()

    # Signals

    def reload(self) -> Sequence[str]:
        """Check the configuration whole; if it is right, new workers take over with it, else nothing changes.

        Return what is wrong.
        """
        self._reopen_log()
        if self._stopping:
            return ["the proxy is draining"]
        self._systemd.reloading()
        if mistakes := self._reload():
            self._log.event("reload", "error", result="refused", reason="; ".join(mistakes))
            self._systemd.ready()
        return mistakes

    def _reload(self) -> Sequence[str]:
        try:
            loaded = self._load(self._loaded.path)
            self._bind(loaded)
        except ConfigError as error:
            return error.mistakes
        except OSError as error:
            return [str(error)]
        certificates_alone = self._differs_in_certificates_alone(loaded)
        self._loaded = loaded
        self._home.change(rules(loaded.config))
        self._sharing.use(loaded)
        if certificates_alone:
            self._renew()  # before we say so: whoever reads the log may rely on it that the old ones are no good
        self._log.event("reload", result="ok")
        self._watch_certificates()
        self._administration.open()
        if certificates_alone:
            self._systemd.ready()
        else:
            self._replace()
        return []

    def _differs_in_certificates_alone(self, loaded: Loaded) -> bool:
        """Tell whether what clients are shown is all that has changed: for that no new workers are needed."""
        known = self._loaded.files
        different = {name for name, content in loaded.files.items() if known.get(name) != content}
        return loaded.config == self._loaded.config and bool(different) and different <= set(loaded.renewable)

    def _replace(self) -> None:
        if self._coming is not None:
            self._retire(self._coming)
            self._coming = None
        self._close_unused()
        self._start_generation()

    def renew(self) -> None:
        """Take in the certificates that have changed, and nothing else; with a mistake anywhere nothing changes.

        What clients are shown changes in the workers that there are, so that tickets stay good; anything else has new
        workers made.
        """
        try:
            read = self._load(self._loaded.path).files
        except ConfigError as error:
            self._log.event("reload", "error", result="refused", reason="; ".join(error.mistakes))
            return
        known, watched = self._loaded.files, self._loaded.watched
        fresh = {name: read[name] for name in watched if name in read and read[name] != known[name]}
        if not fresh:
            return
        self._loaded = evolve(self._loaded, files={**known, **fresh})
        self._sharing.use(self._loaded)
        if renewable := fresh.keys() <= set(self._loaded.renewable):
            self._renew()  # before we say so, as above
        self._log.event("reload", result="certificates", reason=", ".join(fresh))
        self._watch_certificates()
        if not renewable:
            self._replace()

    def _renew(self) -> None:
        fresh = pickle.dumps({name: self._loaded.files[name] for name in self._loaded.renewable})
        for generation in (self._serving, self._coming):
            if generation is not None:
                generation.renew(fresh)

    def _watch_certificates(self) -> None:
        self._certificates.watch(self._loaded.watched, self._loaded.shown, self._loaded.files)

    def _reopen_log(self) -> None:
        try:
            descriptor = self._open_log()
        except OSError as error:
            self._log.event("reload", "error", result="log not reopened", reason=str(error))
            return
        os.close(self._log_descriptor)
        self._log_descriptor = descriptor
        self._log.reopen(os.dup(descriptor))
        for generation in self.generations():
            generation.reopen_log()

    def _keep_program(self) -> None:
        """Go on: left to itself this signal, which other servers take for an upgrade, would end us and all sessions."""
        reason = "SIGUSR2: replacing the program is not built yet; start the proxy anew to run other code"
        self._log.event("program", "warn", result="kept", reason=reason)

    def generations(self) -> set[Generation]:
        """Return all that have workers."""
        return self._draining | {each for each in (self._serving, self._coming) if each is not None}

    def terminate(self) -> None:
        """Drain for the grace, whether a drain has been ordered before or not; told a second time, end at once."""
        if self._terminated:
            self._cut_short()
        else:
            self._terminated = True
            self.drain(self._loaded.config.shutdown_grace)

    def drain(self, seconds: float | None = None) -> None:
        """Stop accepting and let sessions go on for so many seconds, for the grace if that is None.

        Told again, let them go on for so many seconds from now.
        """
        grace = self._loaded.config.shutdown_grace if seconds is None else seconds
        self._log.event("drain", result="changed" if self._stopping else "begun", seconds=grace)
        if not self._stopping:
            self._stop_accepting()
        for generation in self._draining:
            generation.drain(grace)
        if not self._draining:
            self._stop_reactor()
        if self._cut is not None and self._cut.active():
            self._cut.cancel()
        self._cut = self._reactor.callLater(grace + KILL_AFTER, self._cut_short)

    def _stop_accepting(self) -> None:
        self._stopping = True
        self._systemd.stopping()
        self._certificates.stop()
        for listening in self._sockets.values():
            listening.close()
        self._not_due()
        self._draining = self.generations()

    def _cut_short(self) -> None:
        self._log.event("drain", "warn", result="cut short")
        for generation in self.generations():
            generation.kill_all()
        self._stop_reactor()

    def _stop_reactor(self) -> None:
        self._sharing.stop()
        self._administration.close()
        self._bans.close()
        with suppress(ReactorNotRunning):  # it has been stopped already
            self._reactor.stop()
