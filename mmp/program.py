"""The program that runs here, as it was called: rehearsed with the code that is there now, and executed anew."""

from __future__ import annotations

import getopt
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from mmp.handover import memory_file

REHEARSAL: Final = "MMP_REHEARSAL"
"""The variable that makes a rehearsal of what is started; it says what there is to know for that, as JSON."""
VERDICT: Final = 3
"""The descriptor of a file that something is written to if the rehearsal succeeds, and then kept for the program."""
PATIENCE: Final = 300.0
"""Seconds that a rehearsal may take: as much as a worker has to start."""
_SYSTEMD: Final = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
"""A rehearsal tells systemd nothing."""
_SAID: Final = 8192
_LINES: Final = 8
_CHARACTERS: Final = 900
"""Of what a rehearsal has said at its end, as much is told as one value in the log has room for."""

Done = Callable[[int, str], None]
"""Gets the descriptor of the verdict, which is the receiver's, and why the rehearsal has failed, empty if not."""


@frozen
class Program:
    """``options`` are what the interpreter got before twistd's command, ``command`` is that and what is behind it.

    ``directory`` is where relative paths begin, ``pid_file`` where twistd has written its process id, if it has.
    """

    options: tuple[str, ...]
    command: tuple[str, ...]
    directory: str
    pid_file: str

    @classmethod
    def running(cls, twistd: Any) -> Program:
        """Return the one that has called us; ``twistd`` are the options of that."""
        arguments = sys.argv[1:]
        _, command = getopt.getopt(arguments, twistd.shortOpt, twistd.longOpt)
        options = sys.orig_argv[1 : len(sys.orig_argv) - len(command)]
        return cls(tuple(options), tuple(command), os.getcwd(), twistd["pidfile"] or "")  # noqa: PTH109 - a string

    def rehearse(self, reactor: Any, told: Mapping[str, Any], done: Done) -> Callable[[], None]:
        """Have the code that is there now come as far as it comes without sockets; OSError if it cannot be started.

        Return what ends it early, which ``done`` is not told of.
        """
        verdict = memory_file("mmp-verdict")
        environment = {name: value for name, value in os.environ.items() if name not in _SYSTEMD}
        rehearsal = _Rehearsal(reactor, verdict, done)
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            reactor.spawnProcess(
                rehearsal,
                sys.executable,
                [sys.executable, *self.options, "--nodaemon", "--pidfile=", *self.command],
                env=environment | {REHEARSAL: json.dumps(told)},
                path=self.directory,
                childFDs={0: nothing, 1: "r", 2: "r", VERDICT: verdict},
            )
        except OSError:
            os.close(verdict)
            raise
        finally:
            os.close(nothing)
        return rehearsal.cancel

    def execute(self, variables: Mapping[str, str]) -> None:
        """Execute it in our place, with these variables; OSError if that cannot be.

        twistd must neither find its own process id and refuse, nor leave it by becoming a daemon once more.
        """
        options = self.options if self.options[-1:] == ("--nodaemon",) else (*self.options, "--nodaemon")
        os.chdir(self.directory)
        with self._without_pid_file():
            os.execve(sys.executable, [sys.executable, *options, *self.command], os.environ | variables)  # noqa: S606 - ourselves

    @contextmanager
    def _without_pid_file(self) -> Iterator[None]:
        """Have none; it is there again if we still are."""
        if not self.pid_file:
            yield
            return
        with suppress(FileNotFoundError):
            Path(self.pid_file).unlink()
        try:
            yield
        finally:
            Path(self.pid_file).write_text(f"{os.getpid()}")


class _Rehearsal(ProcessProtocol):
    """Listens to what a rehearsal says, and waits for its end."""

    transport: IProcessTransport

    def __init__(self, reactor: Any, verdict: int, done: Done) -> None:
        self._verdict = verdict
        self._done: Done | None = done
        self._said = b""
        self._patience: IDelayedCall = reactor.callLater(PATIENCE, self._end, f"not ready within {PATIENCE:g} s")

    def childDataReceived(self, childFD: int, data: bytes) -> None:  # noqa: ARG002, N802, N803 - Twisted's names
        """Remember the last that was said."""
        self._said = (self._said + data)[-_SAID:]

    def processEnded(self, reason: Failure) -> None:  # noqa: N802 - Twisted's name
        """It is over, with all that it has started."""
        why = "" if os.fstat(self._verdict).st_size else _words(self._said) or reason.getErrorMessage()
        self._end(why)

    def _end(self, why: str) -> None:
        done, self._done = self._done, None
        if done is not None:
            self._let_go()
            done(self._verdict, why)

    def cancel(self) -> None:
        """End it at once, and tell nobody."""
        if self._done is not None:
            self._done = None
            self._let_go()
            os.close(self._verdict)

    def _let_go(self) -> None:
        if self._patience.active():
            self._patience.cancel()
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")  # what it has started ends with it


def _words(said: bytes) -> str:
    """Return what was said last, in one line."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines()]
    return "; ".join([line for line in lines if line.strip("^~ ")][-_LINES:])[-_CHARACTERS:]
