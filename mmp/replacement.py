"""Replacing the program while it runs: a rehearsal first, then the new code in our place, under the same process id."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall

from mmp import __version__
from mmp.handover import forget, kept, leave
from mmp.interfaces import Log
from mmp.program import Done

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
"""Held back until the new program takes them: left to themselves they would end it."""
BREATH: Final = 0.05
"""Seconds between two looks whether all processes have heard all that was said to them."""


class Program(Protocol):
    """``mmp.program.Program``, as far as it is needed here."""

    def rehearse(self, reactor: Any, told: Mapping[str, Any], done: Done, /) -> Callable[[], None]:
        """Try the code that is there now; return what ends that."""

    def execute(self, variables: Mapping[str, str], /) -> None:
        """Execute it in our place; OSError if that cannot be."""


@define(eq=False)
class Replacement:
    """One attempt at a time.

    ``told`` returns what a rehearsal has to know, ``waits`` whether something is queued for other processes. ``leave``
    lets go of everything and returns what the next program gets, in builtin types; ``stay`` takes it up again.
    """

    reactor: Any
    log: Log
    program: Program
    told: Callable[[], Mapping[str, Any]]
    waits: Callable[[], bool]
    leave: Callable[[], dict[str, Any]]
    stay: Callable[[], None]
    _cancel: Callable[[], None] | None = field(default=None, init=False)
    _next: IDelayedCall | None = field(default=None, init=False)

    @property
    def under_way(self) -> bool:
        """Whether there is one."""
        return self._cancel is not None or self._next is not None

    def begin(self) -> None:
        """Rehearse the program; if it comes up, have it replace us."""
        if self.under_way:
            self._keep("it is being replaced already")
            return
        self.log.event("program", result="rehearsed", version=__version__)
        try:
            self._cancel = self.program.rehearse(self.reactor, self.told(), self._rehearsed)
        except OSError as error:
            self._keep(str(error))

    def cancel(self) -> None:
        """Have nothing come of it, since we are to end."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        if self._next is not None:
            self._next.cancel()
            self._next = None
            self._release()

    def _keep(self, reason: str) -> None:
        self.log.event("program", "error", result="kept", version=__version__, reason=reason)

    def _rehearsed(self, verdict: int, why: str) -> None:
        self._cancel = None
        if why:
            os.close(verdict)
            self._keep(why)
        else:
            self._settle(verdict)

    def _settle(self, verdict: int) -> None:
        """Wait until nothing is queued, and then for what signals have begun that came before they are held back."""
        if self.waits():
            self._next = self.reactor.callLater(BREATH, self._settle, verdict)
        else:
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            self._next = self.reactor.callLater(0, self._execute, verdict)

    def _execute(self, verdict: int) -> None:
        self._next = None
        self.log.event("program", result="executed", version=__version__)
        try:
            variables = leave(self.leave() | {"loaded": kept(verdict)})
            try:
                self.program.execute(variables)
            finally:
                forget(variables)
        except OSError as error:
            self._keep(str(error))
        finally:  # we are still here
            self._release()
            os.close(verdict)
            self.stay()

    def _release(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
