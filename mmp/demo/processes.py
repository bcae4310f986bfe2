"""The two processes of the demo: the stores, and the proxy as ``twistd`` runs it."""

from __future__ import annotations

import ctypes
import json
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from attrs import frozen

SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD}
"""Those that are blocked and waited for, so that none comes at a wrong moment."""

STOP_TIMEOUT = 10.0
"""Seconds until a proxy that was told to end is killed; it gives its sessions two."""

PR_SET_PDEATHSIG = 1
"""Of prctl(2)."""


@frozen
class Proxy:
    """The running proxy."""

    process: subprocess.Popen[bytes]
    log: Path

    def watch(self, seconds: float) -> None:
        """Wait; raise KeyboardInterrupt as soon as we are told to stop, SystemExit as soon as the proxy has ended."""
        received = signal.sigtimedwait(SIGNALS, seconds)
        if received and received.si_signo != signal.SIGCHLD:
            raise KeyboardInterrupt
        if self.process.poll() is not None:
            raise self.failure("The proxy has ended by itself")

    def failure(self, what: str) -> SystemExit:
        """Return what to raise when something is wrong, with the last lines of the log."""
        lines = self.log.read_text(errors="replace").splitlines()[-20:]
        return SystemExit("\n".join([f"{what}; its log ends with:", *lines]))

    def stop(self) -> None:
        """Tell the proxy to end, and once more at each further interruption; kill it if nothing helps."""
        self.process.terminate()
        while self.process.poll() is None:
            received = signal.sigtimedwait(SIGNALS, STOP_TIMEOUT)
            if received is None:
                self.process.kill()
            elif received.si_signo != signal.SIGCHLD:
                self.process.terminate()


@contextmanager
def proxy(configuration: Path, log: Path) -> Iterator[Proxy]:
    """Run the proxy."""
    twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - nothing in it comes from elsewhere
            [*twistd, "--nodaemon", "--pidfile=", "mmp", f"--config={configuration}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is to reach it through us alone: a second signal would end it at once
            preexec_fn=_prepare,  # noqa: PLW1509 - there are no threads
        )
    running = Proxy(process, log)
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def stores(sockets: Mapping[str, Sequence[socket.socket]], users: Mapping[str, str], password: str) -> Iterator[None]:
    """Run the stores, each with the users whose address it has, on listening sockets that are closed here.

    ``sockets`` are by service.
    """
    served = {listening.fileno(): service for service, group in sockets.items() for listening in group}
    with tempfile.TemporaryFile("w+") as told:
        json.dump([users, password], told)
        told.seek(0)
        process = subprocess.Popen(  # noqa: S603 - nothing in it comes from elsewhere
            [sys.executable, "-m", "mmp.demo.stores", *(f"{service}={number}" for number, service in served.items())],
            stdin=told,
            pass_fds=tuple(served),
            start_new_session=True,
            preexec_fn=_prepare,  # noqa: PLW1509 - there are no threads
        )
    for listening in chain.from_iterable(sockets.values()):
        listening.close()
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _prepare() -> None:
    """Take signals again, and be terminated should the parent be killed."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
