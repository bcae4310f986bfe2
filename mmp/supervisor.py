"""The supervisor: twistd's own process. Owns the listening sockets, has workers made and replaced, serves no client."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IDelayedCall

from mmp import __version__
from mmp.admin.systemd import Systemd
from mmp.administration import Administration
from mmp.admission import rules
from mmp.config.load import Loaded
from mmp.errors import ConfigError
from mmp.generation import Generation
from mmp.model import Endpoint
from mmp.net.bind import ListeningSockets
from mmp.net.inherited import inherited, started_with
from mmp.observe.certificates import CertificateWatch
from mmp.observe.log import EventLog
from mmp.rehearsal import facts
from mmp.replacement import SIGNALS, Program, Replacement
from mmp.shared.elsewhere import Likewise
from mmp.shared.kept_bans import KeptBans
from mmp.shared.local import Home
from mmp.sharing import Sharing
from mmp.succession import Succession

KILL_AFTER = 15.0
"""Seconds that workers get beyond their grace, to say goodbye to the last sessions, before they are killed."""


class Supervisor(Service):
    """Has the configuration, the sockets and the log; obeys signals and operators."""

    def __init__(
        self,
        reactor: Any,
        loaded: Loaded,
        load: Callable[[str], Loaded],
        log: EventLog,
        open_log: Callable[[], int],
        *,
        program: Program,
    ) -> None:
        """``load`` reads the configuration anew; ``open_log`` opens the log anew; ``program`` is what runs here."""
        self._reactor = reactor
        self._loaded = loaded
        self._load = load
        self._log = log
        self._open_log = open_log
        self._log_descriptor = open_log()
        self._stopping = self._terminated = False
        self._cut: IDelayedCall | None = None
        """When a drain is cut short."""
        self._administration = Administration(reactor, log, self)
        self._systemd = Systemd(reactor, os.environ)
        self._home = Home(rules(loaded.config), time.monotonic)
        self._sockets = ListeningSockets(inherited(started_with()))
        self._succession = Succession(
            reactor=reactor,
            log=log,
            loaded=lambda: self._loaded,
            sockets=self._sockets,
            home=self._home,
            log_descriptor=lambda: self._log_descriptor,
            disabled=lambda: self._administration.disabled,
            counted=self._administration.counted.add_all,
            serving=self._systemd.ready,
            empty=self._drained,
        )
        state = loaded.config.admin.state_path(os.environ)
        self._bans = KeptBans(reactor, self._home, log, state, time.time)
        self._sharing = Sharing(reactor, self._home, log, Likewise(self._bans, self._administration.kicked))
        self._certificates = CertificateWatch(reactor, log, lambda: datetime.now(UTC), self.renew)
        self._replacement = Replacement(
            reactor=reactor,
            log=log,
            program=program,
            told=lambda: facts(self._sockets),
            waits=lambda: self._succession.waits,
            leave=self._leave,
            stay=self._stay,
        )
        self._replaces = False

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
        self._sockets.bind(_endpoints(self._loaded))

    def startService(self) -> None:  # noqa: N802 - Twisted's name
        """Start the first generation; take the signals over once Twisted has installed its own."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        if not self._replaces:
            self._bans.open()
        self._sharing.use(self._loaded)
        self._succession.start()
        self._watch_certificates()
        self._administration.open()
        self._reactor.callLater(0, self._install_signals)

    def _install_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal(self.terminate))
        signal.signal(signal.SIGHUP, self._on_signal(self.reload))
        signal.signal(signal.SIGUSR2, self._on_signal(self._replacement.begin))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # the program before us may have held them back

    def _on_signal(self, call: Callable[[], object]) -> Callable[[int, FrameType | None], None]:
        return lambda _number, _frame: self._reactor.callFromThread(call)

    # Signals

    def reload(self) -> Sequence[str]:
        """Check the configuration whole; if it is right, new workers take over with it, else nothing changes.

        Return what is wrong.
        """
        self._reopen_log()
        if self._stopping:
            return ["the proxy is draining"]
        self._systemd.reloading()
        if mistakes := ["the program is being replaced"] if self._replacement.under_way else self._reload():
            self._log.event("reload", "error", result="refused", reason="; ".join(mistakes))
            self._systemd.ready()
        return mistakes

    def _reload(self) -> Sequence[str]:
        try:
            loaded = self._load(self._loaded.path)
            self._sockets.bind(_endpoints(loaded))
        except ConfigError as error:
            return error.mistakes
        except OSError as error:
            return [str(error)]
        certificates_alone = self._differs_in_certificates_alone(loaded)
        self._loaded = loaded
        self._home.change(rules(loaded.config))
        self._sharing.use(loaded)
        # Before we say so: whoever reads the log may rely on it that the old ones are no good.
        self._succession.renew()
        self._log.event("reload", result="ok")
        self._watch_certificates()
        self._administration.open()
        if certificates_alone:
            self._systemd.ready()
        else:
            self._succession.replace()
        return []

    def _differs_in_certificates_alone(self, loaded: Loaded) -> bool:
        """Tell whether what clients are shown is all that has changed: for that no new workers are needed."""
        known = self._loaded.files
        different = {name for name, content in loaded.files.items() if known.get(name) != content}
        return loaded.config == self._loaded.config and bool(different) and different <= set(loaded.renewable)

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
        self._succession.renew()  # before we say so, as above
        self._log.event("reload", result="certificates", reason=", ".join(fresh))
        self._watch_certificates()
        if not fresh.keys() <= set(self._loaded.renewable):
            self._succession.replace()

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
        self._succession.reopen_log()

    # Replacing the program

    def _leave(self) -> dict[str, Any]:
        """Let go of everything, and return what the next program has to know to go on with it."""
        self._systemd.reloading()
        self._sharing.stop()
        self._bans.close()
        succession = self._succession.hand_over()  # first: what is still said changes what is known
        return {
            "host": self._sharing.host,
            "succession": succession,
            "home": self._home.state(),
            "untold": self._bans.state(),
            "administration": self._administration.state(),
        }

    def _stay(self) -> None:
        """Go on in spite of that; the generation that is made now takes the place of one that was passed over."""
        self._sharing.use(self._loaded)
        self._succession.replace()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where the program stopped that was here before us, in place of ``bind``."""
        self._replaces = True
        self._sharing.host = state["host"]
        self._home.restore(state["home"])
        self._bans.restore(state.get("untold", ()))
        self._administration.restore(state["administration"])
        self._succession.restore(state["succession"])
        self._systemd.live()
        self._log.event("program", result="replaced", version=__version__)

    def generations(self) -> set[Generation]:
        """Return all that have workers."""
        return self._succession.generations()

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
        self._succession.drain(grace)
        if not self.generations():
            self._stop_reactor()
        if self._cut is not None and self._cut.active():
            self._cut.cancel()
        self._cut = self._reactor.callLater(grace + KILL_AFTER, self._cut_short)

    def _stop_accepting(self) -> None:
        self._stopping = True
        self._replacement.cancel()
        self._systemd.stopping()
        self._certificates.stop()
        self._sockets.close()

    def _drained(self) -> None:
        if self._stopping:
            self._log.event("drain", result="done")
            self._stop_reactor()

    def _cut_short(self) -> None:
        self._log.event("drain", "warn", result="cut short")
        self._succession.kill_all()
        self._stop_reactor()

    def _stop_reactor(self) -> None:
        self._sharing.stop()
        self._administration.close()
        self._bans.close()
        with suppress(ReactorNotRunning):  # it has been stopped already
            self._reactor.stop()


def _endpoints(loaded: Loaded) -> Iterator[Endpoint]:
    return (listener.endpoint for listener in loaded.config.listener)
