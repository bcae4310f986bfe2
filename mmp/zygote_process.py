"""The zygote, as its supervisor knows it: started, given configurations, asked for workers, ended.

It outlives reloads, so that the workers of each configuration resume the sessions that those before them began.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from attrs import define, field, frozen

import mmp
from mmp.handover import kept, memory_file, taken
from mmp.interfaces import Log
from mmp.shared import link as wire
from mmp.shared.link import Kind, Link


class Brood(Protocol):
    """The workers of one configuration, as far as the zygote has to do with them."""

    retired: bool
    """Whether they need it for nothing but to tell how they end."""

    def prepared(self) -> None:
        """They can be forked."""

    def forked(self, serial: int, pid: int, process: int) -> None:
        """One has been; ``process`` is a descriptor of it, which is the receiver's from now on."""

    def orphaned(self) -> None:
        """The zygote has died."""


def how_it_ended(code: int) -> str:
    """Return an exit code, negative for a signal, in words."""
    if code >= 0:
        return f"exit code {code}"
    named = {number.value: number.name for number in signal.Signals}
    return f"killed by {named.get(-code, f'signal {-code}')}"


class Process(Protocol):
    """A child of ours, as ``subprocess`` knows it."""

    @property
    def pid(self) -> int:
        """Its id."""

    def wait(self) -> int:
        """Wait for its end; return its exit code, negative for a signal."""

    def kill(self) -> None:
        """End it at once."""


@frozen
class Child:
    """A child of ours that another program has started under our process id, and nobody has waited for yet."""

    pid: int

    def wait(self) -> int:
        """Wait for its end; return its exit code, negative for a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        """End it at once."""
        os.kill(self.pid, signal.SIGKILL)


@define(eq=False)
class ZygoteProcess:
    """A zygote that has been started; it ends when nobody needs it any more."""

    log: Log
    began: float
    _process: Process
    _link: Link = field(init=False)
    _broods: dict[int, Brood] = field(factory=dict, init=False)
    _number: int = field(default=0, init=False)
    _done: Callable[[], None] | None = field(default=None, init=False)

    @classmethod
    def start(cls, reactor: Any, log: Log) -> ZygoteProcess:
        """Start a fresh interpreter; OSError if the system has no room for another process."""
        ours, theirs = wire.pair()
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    [sys.executable, "-P", "-m", "mmp.zygote", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env=_environment(),
                )
            except OSError:
                ours.close()
                raise
        zygote = cls(log, reactor.seconds(), process)
        zygote._link = Link(reactor, ours, zygote._received, zygote._lost)
        return zygote

    @classmethod
    def restored(cls, reactor: Any, log: Log, state: Mapping[str, Any]) -> ZygoteProcess:
        """Return the one of which ``state`` told another program under our process id."""
        zygote = cls(log, state["began"], Child(state["pid"]))
        zygote._number = state["number"]
        alive = state["link"] != -1
        link = socket.socket(fileno=taken(state["link"])) if alive else socket.socket(socket.AF_UNIX)
        zygote._link = Link(reactor, link, zygote._received, zygote._lost)
        if not alive:
            zygote._link.close()
        return zygote

    def state(self) -> dict[str, Any]:
        """Return what there is to know of it, in builtin types, for ``restored``; its link stays open."""
        self._link.flush()
        link = -1 if self.closed else kept(self._link.fileno())
        return {"pid": self._process.pid, "began": self.began, "number": self._number, "link": link}

    @property
    def waits(self) -> bool:
        """Whether it has not yet heard all that was said."""
        return self._link.waits

    @property
    def closed(self) -> bool:
        """Whether it is gone."""
        return self._link.closed

    @property
    def ending(self) -> bool:
        """Whether it is gone, or goes: nothing can be asked of it any more."""
        return self.closed or self._done is not None

    def prepare(self, brood: Brood, settings: bytes) -> int:
        """Have it get ready to fork workers with these settings, a pickled configuration; return their number.

        OSError if the system has no room for that.
        """
        with memory(settings) as descriptor:
            self._link.send(Kind.PREPARE, wire.NUMBER.pack(self._number + 1), [descriptor])
        self._number += 1
        self._broods[self._number] = brood
        return self._number

    def take_in(self, number: int, brood: Brood) -> None:
        """Know for whom it has prepared under this number."""
        self._broods[number] = brood

    def fork(self, number: int, serial: int, link: int) -> None:
        """Ask for a worker with the settings of this number, which is to be known by ``serial``; OSError likewise.

        ``link`` is a descriptor of the worker's end of a new link, which ends if nothing comes of it.
        """
        self._link.send(Kind.FORK, wire.TWO_NUMBERS.pack(number, serial), [link])

    def forget(self, number: int) -> None:
        """Nobody is to be forked with the settings of this number any more."""
        self._link.send(Kind.FORGET, wire.NUMBER.pack(number))

    def leave(self, number: int, done: Callable[[], None]) -> None:
        """Need it no more for those of this number, all of whom have ended.

        ``done`` is called at once, or if nobody else needs it once it has told how they ended, and has ended itself.
        """
        if self._broods.pop(number, None) is None:
            return
        if self._broods or self.closed:
            done()
        else:
            self._done = done
            self._link.finish()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def _received(self, kind: Kind, payload: bytes, descriptors: list[int]) -> None:
        if kind is Kind.PREPARED:
            (number,) = wire.NUMBER.unpack(payload)
            if brood := self._broods.get(number):
                brood.prepared()
        elif kind is Kind.FORKED:
            number, serial, pid = wire.THREE_NUMBERS.unpack(payload)
            if brood := self._broods.get(number):  # else it is dead already, and the descriptor is closed for us
                brood.forked(serial, pid, descriptors.pop())
        elif kind is Kind.DIED:
            pid, code = wire.EXIT.unpack(payload)
            self.log.event("worker", "error" if code else "info", result="ended", pid=pid, reason=how_it_ended(code))

    def _lost(self) -> None:
        code = self._process.wait()
        if not all(brood.retired for brood in self._broods.values()):
            self.log.event("zygote", "error", result="ended", pid=self._process.pid, reason=how_it_ended(code))
        for brood in tuple(self._broods.values()):
            brood.orphaned()
        if self._done is not None:
            self._done()


@contextmanager
def memory(octets: bytes) -> Iterator[int]:
    """Lend a file in memory that holds this; it is one for each receiver, since the position in it is shared."""
    descriptor = memory_file("mmp-settings", octets)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _environment() -> dict[str, str]:
    """Return our environment, with this very package where the zygote looks first."""
    here = str(Path(mmp.__file__).parent.parent)
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.environ | {"PYTHONPATH": os.pathsep.join([here, *filter(None, others)])}
