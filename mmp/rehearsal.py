"""A rehearsal: before the program replaces the one that runs, it shows that it comes to a worker that serves.

It checks the whole configuration and has a zygote and one worker made of it, which listens nowhere. What it has read is
what comes into force: it leaves that to the program that follows.
"""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any

from twisted.application.service import Service

from mmp.admission import rules
from mmp.config.load import Loaded
from mmp.errors import ConfigError
from mmp.generation import Generation
from mmp.handover import FORMAT, content
from mmp.interfaces import Log
from mmp.model import Endpoint
from mmp.net.bind import ListeningSockets
from mmp.observe.log import open_log
from mmp.program import REHEARSAL, VERDICT
from mmp.shared import link as wire
from mmp.shared.local import Home
from mmp.zygote_process import ZygoteProcess


def facts(listening: Iterable[Endpoint]) -> Mapping[str, Any]:
    """Return what a rehearsal is told by the program that runs."""
    return {"format": FORMAT, "frames": wire.VERSION, "listening": [(each.host, each.port) for each in listening]}


def wanted(environment: MutableMapping[str, str]) -> Mapping[str, Any] | None:
    """Return what we are told if this is to be a rehearsal, None otherwise."""
    told = environment.pop(REHEARSAL, "")
    return json.loads(told) if told else None


def rehearsed(descriptor: int) -> tuple[Loaded, tuple[str, ...]]:
    """Return what a rehearsal has read: the configuration, and what is unwise about it."""
    loaded: tuple[Loaded, tuple[str, ...]] = pickle.loads(content(descriptor))  # noqa: S301 - from our own rehearsal
    os.close(descriptor)
    return loaded


class Rehearsal(Service):
    """Has one worker made, and ends when that serves, or when it is clear that it will not."""

    def __init__(self, reactor: Any, log: Log, loaded: Loaded, warnings: Sequence[str]) -> None:
        self._reactor = reactor
        self._log = log
        self._loaded = loaded
        self._warnings = warnings
        self._generation: Generation | None = None

    def check(self, told: Mapping[str, Any]) -> None:
        """ConfigError if we could not take over from the program that runs, OSError if not all sockets can be had."""
        if (told["format"], told["frames"]) != (FORMAT, wire.VERSION):
            raise ConfigError(["this version cannot take over from the one that runs: start the proxy anew"])
        known = {Endpoint(*each) for each in told["listening"]}
        ports = {each.port for each in known if not each.is_named}
        wanted = {listener.endpoint for listener in self._loaded.config.listener} - known
        sockets = ListeningSockets()
        sockets.bind(each for each in wanted if each.is_named or each.port not in ports)  # those may share a port
        sockets.close()

    def startService(self) -> None:  # noqa: N802 - Twisted's name
        """Begin."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        log = open_log()
        self._generation = Generation(
            reactor=self._reactor,
            log=self._log,
            zygote=ZygoteProcess.start(self._reactor, self._log),
            settings=pickle.dumps(self._loaded),
            size=1,
            log_descriptor=lambda: log,
            disabled=tuple,
            home=Home(rules(self._loaded.config), time.monotonic),
            sockets={},
            ready=lambda _: self._serves(),
            lost=lambda _: self._end(),
            empty=lambda _: None,
            counted=lambda _: self._reactor.callLater(0, self._end),  # a worker has ended, as is then logged
            watched=False,
            changed=lambda _: None,
        )
        self._generation.start()

    def _serves(self) -> None:
        with os.fdopen(VERDICT, "wb") as verdict:
            pickle.dump((self._loaded, self._warnings), verdict)
        self._end()

    def _end(self) -> None:
        generation, self._generation = self._generation, None
        if generation is not None:
            generation.kill_all()
            self._reactor.stop()
