"""What twistd calls: options, and the service that they describe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.main import installReactor
from twisted.logger import ILogObserver
from twisted.python import usage

from mmp import rehearsal
from mmp.config.check import load_with_warnings
from mmp.config.load import Loaded
from mmp.errors import ConfigError
from mmp.handover import take
from mmp.interfaces import Log
from mmp.net.reactor import LeanReactor
from mmp.observe.log import EventLog, LineObserver, open_log
from mmp.program import Program
from mmp.rehearsal import Rehearsal
from mmp.supervisor import Supervisor


class Options(usage.Options):
    """``twistd mmp``'s own options."""

    optParameters = [["config", "c", "mmp.toml", "Configuration file."]]  # noqa: N815, RUF012 - Twisted's name and shape


def makeService(options: Any) -> Service:  # noqa: N802 - Twisted's name
    """Return the supervisor, its sockets bound while we may still be root.

    End the program, saying why, if the configuration is unusable or a socket or the log is not to be had.
    """
    try:
        return _service(options["config"], options.parent)
    except ConfigError as error:
        mistakes = error.mistakes
    except OSError as error:
        mistakes = (str(error),)
    for mistake in mistakes:
        print(mistake, file=sys.stderr)  # noqa: T201 - there is no log yet
    raise SystemExit(1)


def _service(configuration: str, twistd: Any) -> Service:
    state, told = take(os.environ), rehearsal.wanted(os.environ)
    if state is None:
        loaded, warnings = load_with_warnings(configuration, datetime.now(UTC))
    else:
        loaded, warnings = rehearsal.rehearsed(state["loaded"])
    logfile = twistd["logfile"] or "-"
    path = "" if logfile == "-" else os.path.abspath(logfile)  # noqa: PTH100 - twistd changes directory later
    if told is not None:
        return _rehearsal(loaded, warnings, told, path)
    log = EventLog(open_log(path), loaded.config.log.format, loaded.config.log.level)

    def load(configuration: str) -> Loaded:
        loaded, warnings = load_with_warnings(configuration, datetime.now(UTC))
        _tell(log, warnings)
        return loaded

    supervisor = Supervisor(_reactor(), loaded, load, log, lambda: open_log(path), program=Program.running(twistd))
    if state is None:
        supervisor.bind()
    else:
        supervisor.restore(state)
    _tell(log, warnings)
    return _proxy(supervisor, log)


def _rehearsal(loaded: Loaded, warnings: Sequence[str], told: Mapping[str, Any], path: str) -> Service:
    """Return what only shows whether we could take over from the program that runs; all that it says is why not."""
    os.close(open_log(path))
    log = EventLog(open_log(), "text", "error")
    service = Rehearsal(_reactor(), log, loaded, warnings)
    service.check(told)
    return _proxy(service, log)


def _proxy(service: Service, log: EventLog) -> Service:
    proxy = Proxy(LineObserver(log))
    service.setServiceParent(proxy)
    return proxy


def _tell(log: Log, warnings: Iterable[str]) -> None:
    for warning in warnings:
        log.event("configuration", "warn", reason=warning)


def _reactor() -> Any:
    """Return the reactor: ours, unless twistd was told to use another."""
    if "twisted.internet.reactor" not in sys.modules:
        installReactor(LeanReactor())
    from twisted.internet import reactor  # noqa: PLC0415 - importing it would have installed Twisted's

    return reactor


class Proxy(MultiService):
    """The supervisor, and our log in place of twistd's own, which rotates and so cannot be shared."""

    def __init__(self, observer: LineObserver) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        self._observer = observer

    def setServiceParent(self, parent: Any) -> None:  # noqa: N802 - Twisted's name
        """Join the application, and tell it where to log."""
        parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]  # Twisted's
