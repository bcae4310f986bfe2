"""Processes whose parent has died: where that makes them our children, as it does for process 1, they are reaped."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from mmp.interfaces import Log
from mmp.zygote_process import how_it_ended


@implementer(IReadDescriptor)
class Orphan:
    """A worker that has lost its zygote and is ending; tells how it has ended, if that is ours to know."""

    def __init__(self, reactor: Any, log: Log, pid: int, process: int) -> None:
        """``process`` is a descriptor of it, which is closed at the end."""
        self._reactor = reactor
        self._log = log
        self._pid = pid
        self._process = process
        reactor.addReader(self)

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """It has ended."""
        self._reactor.removeReader(self)
        with suppress(ChildProcessError):  # another process reaps it
            if ended := os.waitid(os.P_PIDFD, self._process, os.WEXITED | os.WNOHANG):
                code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
                self._log.event(
                    "worker", "error" if code else "info", result="ended", pid=self._pid, reason=how_it_ended(code)
                )
        os.close(self._process)

    def fileno(self) -> int:
        """Return the descriptor, which is readable once the process has ended (pidfd_open(2))."""
        return self._process

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """Return a name for the log."""
        return "orphan"

    def connectionLost(self, reason: object) -> None:  # noqa: N802 - Twisted's name
        """The reactor found the descriptor broken, which a descriptor of a process never is."""
