"""The copying phase: two sockets, and nothing else alive of the login that joined them."""

from __future__ import annotations

import socket
from collections.abc import Callable

from mmp.errors import RemoteProtocolError
from mmp.interfaces import Guard
from mmp.net.end import End
from mmp.net.loop import Loop
from mmp.net.stream import RESET
from mmp.net.wheel import RESOLUTION
from mmp.session.record import Who

FINISH = 10.0
"""Seconds without progress after which an end that the other has left is cut off."""


class Relay:
    """Both ends, what ends them, and what is told when they have.

    ``finished`` is called once, when both sockets are closed, with the relay; ``who`` and ``why`` then hold the first
    cause: 'client', 'backend' or 'proxy', and words for the log.
    """

    __slots__ = (
        "_finished",
        "backend",
        "client",
        "discarding",
        "due",
        "guard",
        "loop",
        "patience",
        "tick",
        "who",
        "why",
    )

    client: End
    backend: End
    patience: int
    """Ticks without traffic after which it expires; the ends move ``due`` by it."""

    def __init__(self, loop: Loop, finished: Callable[[Relay], None], guard: Guard | None = None) -> None:
        self.loop = loop
        self.guard = guard
        self._finished: Callable[[Relay], None] | None = finished
        self.discarding = False
        self.due = self.tick = 0
        self.who: Who = "proxy"
        self.why = ""

    def start(self, client: End, backend: End, idle: float) -> None:
        """Join the two ends and let the bytes flow, until none has for ``idle`` seconds."""
        self.client, self.backend = client, backend
        client.other, backend.other = backend, client
        self.patience = self.loop.wheel.ticks(idle)
        self.loop.wheel.add(self, idle)
        client.start()
        backend.start()

    def idle(self) -> float:
        """Return for how many seconds nothing has moved, to the wheel's resolution."""
        return max(0, self.loop.wheel.now - (self.due - self.patience)) * RESOLUTION

    def close(self, why: str) -> None:
        """End it from our side: what is kept is still written, what still comes is dropped."""
        self._blame("proxy", why)
        self._wind_down()

    def show(self, end: End, guard: Guard, octets: bytes) -> None:
        """Pass on what the guard lets through. Who does not read our answers is not read either."""
        answers = b""
        waited = guard.waits and end is not self.client
        try:
            if end is self.client:
                passed = guard.from_client(octets)
                answers = guard.answers()
            else:
                passed = guard.from_store(octets)
        except RemoteProtocolError as error:
            return self.close(str(error))
        if passed:
            end.other.take(memoryview(passed))
        if answers and not end.closed:
            end.answer(memoryview(answers))
        if not (end.closed or self.discarding):
            self.heed_guard()
            if waited and not guard.waits:
                self.go_on()
        return None

    def heed_guard(self) -> None:
        """End it as soon as the client has been given the guard's last word, and not only when somebody says more.

        While the guard waits, the client is not read.
        """
        if self.guard is not None:
            try:
                self.guard.stop_if_ended()
            except RemoteProtocolError as error:
                self.close(str(error))
            else:
                self.client.hold(self.guard.waits)
                self._drop_what_waits()

    def go_on(self) -> None:
        """Go on now that the guard has been told what it waited for."""
        if self.guard is not None and not self.discarding and self._finished is not None:
            self.show(self.client, self.guard, b"")

    def broken(self, end: End, why: str) -> None:
        """One socket failed: the other still gets what is kept for it, and a proper end."""
        self._blame(self._name(end), why)
        end.close()
        self._wind_down()
        self.closed()

    def ending(self, end: End, why: str) -> None:
        """One end has no more to say; the other may go on as long as it makes progress."""
        if not self.why:
            self._hurry()
            self.who, self.why = self._name(end), why
        self._drop_what_waits()

    def _drop_what_waits(self) -> None:
        """Drop what the client still says if the guard waits for a store that says no more."""
        if self.guard is not None and self.guard.waits and self.backend.ended:
            self.discarding = True
            self.client.read_on()

    def _wind_down(self) -> None:
        self.discarding = True
        self._hurry()
        for end in (self.client, self.backend):
            end.finish()
            end.read_on()

    def _hurry(self) -> None:
        self.patience = self.loop.wheel.ticks(FINISH)
        self.loop.wheel.discard(self)
        self.loop.wheel.add(self, FINISH)

    def _blame(self, who: Who, why: str) -> None:
        if not self.why:
            self.who, self.why = who, why

    def _name(self, end: End) -> Who:
        return "client" if end is self.client else "backend"

    def expired(self) -> None:
        """Nothing moved for too long: end an idle session in order, cut off one that does not finish."""
        if not self.why:
            self.close("idle timeout")
        else:
            for end in (self.client, self.backend):
                if not end.closed:
                    end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    end.close()
            self.closed()

    def closed(self) -> None:
        """If both sockets are closed, tell so, once."""
        if self._finished is not None and self.client.closed and self.backend.closed:
            finished, self._finished = self._finished, None
            self.loop.wheel.discard(self)
            finished(self)
            del self.client.other, self.backend.other  # no cycle stays behind
            del self.client, self.backend
