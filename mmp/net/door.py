"""A connection that waits to be admitted; nothing of it is read before, and no TLS work is spent on it."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from mmp.errors import Refused
from mmp.interfaces import Lease
from mmp.model import Refusal
from mmp.net.running import Running


class AtTheDoor:
    """Asks for a slot; then calls ``admitted`` with it, or else ``denied`` with the reason, and closes after that.

    What ``denied`` returns is said to the client first.
    """

    _log = Logger()

    def __init__(
        self,
        accepted: socket.socket,
        ask: Callable[[], Awaitable[Lease]],
        admitted: Callable[[AtTheDoor, Lease], None],
        denied: Callable[[AtTheDoor, Refused], bytes],
    ) -> None:
        self.socket = accepted
        self._ask = ask
        self._admitted = admitted
        self._denied = denied
        self._cause: Refused | None = None

    def run(self) -> None:
        """Begin."""
        self._asking = Running(self._wait(), self._ended)
        self._asking.go_on()

    async def _wait(self) -> None:
        lease = await self._ask()
        try:
            self._admitted(self, lease)
        except BaseException:
            lease.close()
            raise

    def turn_out(self, refusal: Refusal, why: str) -> None:
        """End it from our side."""
        self._cause = Refused(refusal, why)
        self._asking.cancel()

    def _ended(self, refused: BaseException | None) -> None:
        """Turn it away, unless it has been admitted; what nobody expected is logged with its traceback."""
        if refused is None:
            return
        if isinstance(refused, CancelledError) and self._cause is not None:
            refused = self._cause
        if not isinstance(refused, Refused):
            self._log.failure("unexpected error at the door", Failure(refused))
            refused = Refused(Refusal.INTERNAL, "internal error")
        self._say(self._denied(self, refused))
        self.socket.close()

    def _say(self, words: bytes) -> None:
        """Say it if there is something to say, once: whoever does not listen at the door is not waited for."""
        if words:
            with suppress(OSError):
                self.socket.send(words)
                self.socket.shutdown(socket.SHUT_WR)
                self.socket.recv(4096)  # what is left unread would have the kernel take our words back
