"""Generations of workers, one after the other: the next is made when it is due, and those before it are drained."""

from __future__ import annotations

import math
import os
import pickle
import socket
from collections.abc import Callable, Collection, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from attrs import define, evolve, field
from twisted.internet.interfaces import IDelayedCall

from mmp.config.load import Loaded
from mmp.encryption import front_settings, renewal, trust_known, trust_told
from mmp.generation import SHORT_LIFE, Generation, back_off
from mmp.interfaces import Log
from mmp.net.bind import ListeningSockets
from mmp.net.tls import RING, FrontSettings
from mmp.observe.metrics import Counts
from mmp.shared.local import Home
from mmp.zygote_process import ZygoteProcess


@define(eq=False)
class Succession:
    """Has one generation serve at a time.

    ``loaded`` returns the configuration in force; ``serving`` is called when a new generation does, ``empty`` when the
    last worker has ended; the others are what each ``Generation`` gets.
    """

    reactor: Any
    log: Log
    loaded: Callable[[], Loaded]
    sockets: ListeningSockets
    home: Home
    log_descriptor: Callable[[], int]
    disabled: Callable[[], Collection[str]]
    counted: Callable[[Counts], None]
    serving: Callable[[], None]
    empty: Callable[[], None]
    _zygote: ZygoteProcess | None = field(default=None, init=False)
    _rings: dict[FrontSettings, float] = field(factory=dict, init=False)
    """When the first key period of each that the zygote has began."""
    _serving: Generation | None = field(default=None, init=False)
    _coming: Generation | None = field(default=None, init=False)
    _draining: set[Generation] = field(factory=set, init=False)
    _known: WeakKeyDictionary[Generation, Loaded] = field(factory=WeakKeyDictionary, init=False)
    """The configuration of each, and what its workers have been told of the files."""
    _next: IDelayedCall | None = field(default=None, init=False)
    """When another generation is due."""
    _failures: int = field(default=0, init=False)

    def generations(self) -> set[Generation]:
        """Return all that have workers."""
        return self._draining | {each for each in (self._serving, self._coming) if each is not None}

    # Coming

    def start(self) -> None:
        """Have the next generation come; if it cannot, try again later."""
        self._not_due()
        try:
            self.sockets.bind(listener.endpoint for listener in self.loaded().config.listener)
            generation = self._generation(self._living_zygote())
            generation.start()
        except OSError as error:
            self.log.event("zygote", "error", result="failed", reason=str(error))
            self._try_again(lived=0.0)
        else:
            self._coming = generation

    def replace(self) -> None:
        """Have the next generation come in place of one that is still coming, if there is one."""
        self._pass_over()
        self._close_unused()
        self.start()

    def _pass_over(self) -> None:
        if self._coming is not None:
            self._retire(self._coming)
            self._coming = None

    def _living_zygote(self) -> ZygoteProcess:
        """Return the one that there is, so that sessions are resumed; another if it is gone."""
        if self._zygote is None or self._zygote.ending:
            self._zygote = ZygoteProcess.start(self.reactor, self.log)
            self._rings.clear()
        now, fronts = self.reactor.seconds(), front_settings(self.loaded().config)
        self._rings = {front: self._rings.get(front, now) for front in fronts}
        return self._zygote

    def _generation(self, zygote: ZygoteProcess) -> Generation:
        config = self.loaded().config
        sockets = self.sockets.numbered([listener.endpoint for listener in config.listener])
        watched = any(listener.directory.is_watched for listener in config.listener)
        generation = self._made(
            zygote, pickle.dumps(self.loaded()), config.workers or os.cpu_count() or 1, sockets, watched=watched
        )
        self._known[generation] = self.loaded()
        return generation

    def _made(
        self,
        zygote: ZygoteProcess,
        settings: bytes,
        size: int,
        sockets: Mapping[int, socket.socket],
        *,
        watched: bool,
    ) -> Generation:
        return Generation(
            reactor=self.reactor,
            log=self.log,
            zygote=zygote,
            settings=settings,
            size=size,
            log_descriptor=self.log_descriptor,
            disabled=self.disabled,
            home=self.home,
            sockets=sockets,
            ready=self._ready,
            lost=self._zygote_lost,
            empty=self._drained,
            counted=self.counted,
            watched=watched,
            changed=self._tell_changed,
        )

    def _ready(self, generation: Generation) -> None:
        """The new workers serve: the old ones may go."""
        if self._serving is not None:
            self._retire(self._serving)
        self._serving, self._coming = generation, None
        self.serving()
        self._close_unused()
        self.log.event("serving", workers=generation.size, listeners=", ".join(map(str, self.sockets)))
        ends = [began + RING * front.key_period for front, began in self._rings.items()]
        if ends:
            self._due(min(ends) - self.reactor.seconds(), self._replace_zygote)

    def _close_unused(self) -> None:
        """Close the sockets that neither the configuration names nor the workers that serve."""
        wanted = {listener.endpoint for listener in self.loaded().config.listener}
        self.sockets.keep(wanted, [] if self._serving is None else list(self._serving.sockets.values()))

    # When the next is due

    def _due(self, seconds: float, call: Callable[[], None]) -> None:
        """Have another generation made in so many seconds, and not when it was due before."""
        self._not_due()
        self._next = self.reactor.callLater(max(0.0, seconds), call)

    def _not_due(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None

    def _try_again(self, lived: float) -> None:
        self._failures = self._failures + 1 if lived < SHORT_LIFE else 1
        self._due(back_off(self._failures), self.start)

    def _replace_zygote(self) -> None:
        """Begin new rings, since one is at its end."""
        self._zygote = None
        self.start()

    def _zygote_lost(self, generation: Generation) -> None:
        """Nobody can be forked from it any more: make another, and then let its workers go."""
        if generation is self._coming:
            self._pass_over()
        if self._coming is None:
            self._try_again(self.reactor.seconds() - generation.zygote.began)

    # What all workers are told

    def _tell_changed(self, changed: bytes) -> None:
        """Let all workers know what one has seen change in the directory; those that drain have sessions, too."""
        for generation in self.generations():
            generation.tell_changed(changed)

    def renew(self) -> None:
        """Have all workers show clients what is in the files now, and trust whom they name, as far as they may."""
        for generation in self.generations():
            self._renew(generation, overtaken=generation in self._draining)

    def _renew(self, generation: Generation, *, overtaken: bool) -> None:
        known = self._known[generation]
        fresh = renewal(known, self.loaded(), overtaken=overtaken)
        self._known[generation] = evolve(known, files={**known.files, **fresh})
        generation.renew(fresh)

    def reopen_log(self) -> None:
        """Have all workers write to the log's present descriptor."""
        for generation in self.generations():
            generation.reopen_log()

    # Going

    def _retire(self, generation: Generation) -> None:
        """Let its sessions end in their time; one that was still coming may have some as well."""
        timeout = self.loaded().config.drain_timeout
        self._draining.add(generation)
        self._renew(generation, overtaken=True)
        generation.retire(math.inf if timeout is None else timeout)

    def _drained(self, generation: Generation) -> None:
        self._draining.discard(generation)
        if not self.generations():
            self.empty()

    # For the program that replaces this one

    @property
    def waits(self) -> bool:
        """Whether some process has not yet heard all that was said to it."""
        return any(generation.waits for generation in self.generations())

    def hand_over(self) -> dict[str, Any]:
        """Return what there is, in builtin types, for ``restore``; one that is still coming is passed over."""
        self._not_due()
        self._pass_over()
        zygotes = list({generation.zygote for generation in self.generations()})
        return {
            "sockets": self.sockets.state(),
            "zygotes": [zygote.state() for zygote in zygotes],
            "generations": [
                {
                    "zygote": zygotes.index(each.zygote),
                    "serving": each is self._serving,
                    "sockets": {index: listening.fileno() for index, listening in each.sockets.items()},
                    "trust": trust_told(self._known[each]),
                    **each.state(),
                }
                for each in self.generations()
            ],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Have those generations of which ``hand_over`` told; the next comes from a zygote that runs our code."""
        sockets = self.sockets.restore(state["sockets"])
        zygotes = [ZygoteProcess.restored(self.reactor, self.log, each) for each in state["zygotes"]]
        for each in state["generations"]:
            used = {index: sockets[number] for index, number in each["sockets"].items() if number in sockets}
            made = self._made(zygotes[each["zygote"]], b"", each["size"], used, watched=each["watched"])
            if each["serving"]:
                self._serving = made
            else:
                self._draining.add(made)
            self._known[made] = trust_known(each["trust"])
            made.restore(each)

    # Ending

    def drain(self, seconds: float) -> None:
        """Let all sessions end within so many seconds; no generation follows."""
        self._not_due()
        self._draining, self._serving, self._coming = self.generations(), None, None
        for generation in self._draining:
            generation.drain(seconds)

    def kill_all(self) -> None:
        """End it all at once."""
        for generation in self.generations():
            generation.kill_all()
