"""The zygote: a process without a reactor that makes the front TLS contexts and forks workers, which share them.

Started fresh by the supervisor, with its end of their link as the only argument. It serves no client and holds no
listening socket. When the supervisor is gone it ends; its workers live on until they have drained.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import select
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial

from mmp.config.load import Loaded
from mmp.encryption import KeyRing, key_rings
from mmp.net.share import Share, Shares
from mmp.net.tls import FrontSettings
from mmp.shared.link import EXIT, NUMBER, THREE_NUMBERS, TWO_NUMBERS, Kind, frame, frames, receive
from mmp.worker import Inheritance, run

IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
"""Sent to the whole process group by Ctrl-C and systemd; the supervisor decides what they mean."""

MOMENT = 2000
"""Milliseconds that a worker gets to be gone after its link has ended; by then the supervisor wants our end as well."""


class Zygote:
    """Answers the supervisor's frames, one after the other."""

    def __init__(self, link: socket.socket, wakeup: int) -> None:
        """``wakeup`` is readable after a SIGCHLD."""
        self._link = link
        self._wakeup = wakeup
        self._rings: dict[FrontSettings, KeyRing] = {}
        self._make_inheritance: dict[int, Callable[[Share], Inheritance]] = {}
        """By the number of the settings."""
        self._shares = Shares()
        self._forks = 0
        self._own: dict[int, Share] = {}

    def serve(self) -> None:
        """Go on until the supervisor says no more."""
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._wakeup:
                    os.read(self._wakeup, 512)
                    self._reap()
                elif not self._answer():
                    self._see_off()
                    return

    def _see_off(self) -> None:
        """Tell how the last workers ended, who have let go of their links but may take a moment longer to be gone.

        Nobody waits for that if the supervisor is gone: its workers live on without us.
        """
        poll = select.poll()
        poll.register(self._link, 0)  # for a hang-up alone
        poll.register(self._wakeup, select.POLLIN)
        self._reap()
        while self._own and (ready := dict(poll.poll(MOMENT))) and self._link.fileno() not in ready:
            os.read(self._wakeup, 512)
            self._reap()

    def _answer(self) -> bool:
        packet, descriptors = receive(self._link)
        for kind, payload in frames(packet):
            if kind is Kind.PREPARE:
                self._prepare(NUMBER.unpack(payload)[0], descriptors.pop())
            elif kind is Kind.FORGET:
                self._make_inheritance.pop(NUMBER.unpack(payload)[0], None)
            elif kind is Kind.FORK:
                number, serial = TWO_NUMBERS.unpack(payload)
                self._fork(number, serial, descriptors.pop())
        return bool(packet)

    def _prepare(self, number: int, memory: int) -> None:
        """Be ready to fork with these settings. Rings that were there before go on, those not needed by them end."""
        with os.fdopen(memory, "rb") as file:
            file.seek(0)
            loaded: Loaded = pickle.load(file)  # noqa: S301 - from our own supervisor, over a socket pair
        self._rings = key_rings(loaded.config, self._rings)
        self._make_inheritance[number] = partial(Inheritance, loaded, self._rings)
        gc.collect()
        gc.freeze()  # what the workers share is never looked at, and so never copied, by their collectors
        self._link.send(frame(Kind.PREPARED, NUMBER.pack(number)))

    def _fork(self, number: int, serial: int, descriptor: int) -> None:
        assert "twisted.internet.reactor" not in sys.modules, "a reactor must not be forked"  # noqa: S101 - a bug of ours
        make_inheritance = self._make_inheritance[number]
        self._forks += 1
        share = self._shares.of(self._forks)
        try:
            pid = os.fork()
        except OSError:  # no process or memory to be had: the supervisor sees its link end, and tries again
            sys.excepthook(*sys.exc_info())
            os.close(descriptor)
            return
        if pid == 0:
            self._become_worker(descriptor, make_inheritance(share))
        self._own[pid] = share
        os.close(descriptor)
        process = os.pidfd_open(pid)  # before anything is reaped, so it can only be this child's
        socket.send_fds(self._link, [frame(Kind.FORKED, THREE_NUMBERS.pack(number, serial, pid))], [process])
        os.close(process)

    def _become_worker(self, descriptor: int, inheritance: Inheritance) -> None:
        """Run a worker in this child and never return into the zygote's code."""
        try:
            os.close(signal.set_wakeup_fd(-1))
            os.close(self._wakeup)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._link.close()
            run(inheritance, socket.socket(fileno=descriptor))
        except BaseException:  # noqa: BLE001 - shown, and then the process ends whatever it was
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = found
                self._own.pop(pid).leave()
                self._link.send(frame(Kind.DIED, EXIT.pack(pid, os.waitstatus_to_exitcode(status))))


def main() -> None:
    """Set the signals up and serve the supervisor."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        Zygote(socket.socket(fileno=int(sys.argv[1])), reading).serve()
    os._exit(0)  # at once: the supervisor, which has seen our link end, is waiting


if __name__ == "__main__":
    main()
