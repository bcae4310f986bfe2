"""What everything on one event loop shares, and how much of some kinds of work a turn of it has room for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from attrs import field, frozen

from mmp.net.splice import Pipes
from mmp.net.wheel import Wheel

READ_SIZE = 65536
"""One read. Smaller ones double the cost of a bulk transfer."""
ACCEPTS_A_TURN = 16
"""New connections, over all listeners, each of which has one: few, so that sessions are served in between."""
HANDSHAKES_A_TURN = 24
"""Steps of TLS handshakes: with 8, where a hundred clients begin one at any time, shorter turns cost a resumed login a
tenth of its CPU; with this nothing that can be measured."""


class Reactor(Protocol):
    """What is used of Twisted's reactor."""

    turn: int
    """Which turn this is: what is due by the clock, and then what has happened to descriptors."""

    def addReader(self, reader: Any) -> None:  # noqa: N802 - Twisted's names, here and below
        """Watch for data to read."""

    def removeReader(self, reader: Any) -> None:  # noqa: N802 - Twisted's name
        """Watch no more; harmless if it was not watched."""

    def addWriter(self, writer: Any) -> None:  # noqa: N802 - Twisted's name
        """Watch for room to write."""

    def removeWriter(self, writer: Any) -> None:  # noqa: N802 - Twisted's name
        """Watch no more; harmless if it was not watched."""

    def replace(self, old: Any, new: Any) -> None:
        """Watch for data through ``new`` the descriptor that ``old`` was watching."""

    def forget(self, selectable: Any) -> None:
        """Watch no more a descriptor that is closed right after."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> Any:  # noqa: A002, N802 - Twisted's names
        """Call after so many seconds."""


class Allowance:
    """How much of one kind of work a turn of the loop has room for, so that it keeps nothing else waiting for long."""

    __slots__ = ("_left", "_most", "_reactor", "_turn")

    def __init__(self, reactor: Reactor, most: int) -> None:
        self._reactor = reactor
        self._most = self._left = most
        self._turn = 0

    def take(self) -> bool:
        """Say whether one more may be done now, and count it."""
        if self._turn != self._reactor.turn:
            self._turn = self._reactor.turn
            self._left = self._most
        if not self._left:
            return False
        self._left -= 1
        return True


class Shaking(Protocol):
    """A stream whose handshake may be able to go on."""

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""

    def shake(self) -> None:
        """Go on with the handshake."""

    def connectionLost(self, reason: Any) -> None:  # noqa: N802 - Twisted's name
        """The reactor found the descriptor broken."""


class Handshakes:
    """TLS handshakes that can go on: a few steps of them in a turn, the others in the order in which they came.

    A step takes a quarter of a millisecond of CPU, and several with an RSA key; sessions that are under way do not wait
    behind hundreds of them.
    """

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._allowance = Allowance(reactor, HANDSHAKES_A_TURN)
        self._waiting: deque[Shaking] = deque()

    def may_go_on(self, stream: Shaking) -> bool:
        """Say whether a stream may do a step now; if not, it is told to in one of the next turns."""
        if self._allowance.take():
            return True
        if not self._waiting:
            self._reactor.callLater(0, self._go_on)
        self._waiting.append(stream)
        self._reactor.replace(stream, _Aside(stream))
        return False

    def _go_on(self) -> None:
        """Begin a turn with those that wait."""
        try:
            while self._waiting and self._allowance.take():
                stream = self._waiting.popleft()
                if stream.fileno() >= 0:
                    self._reactor.replace(stream, stream)
                    stream.shake()
        finally:
            if self._waiting:
                self._reactor.callLater(0, self._go_on)


class _Aside:
    """Stands in the reactor for a stream that waits. Its event is told in each turn; dropping it takes system calls."""

    __slots__ = ("connectionLost", "fileno")

    def __init__(self, stream: Shaking) -> None:
        self.fileno = stream.fileno
        self.connectionLost = stream.connectionLost

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """It will be its turn."""

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """Return a name for the log."""
        return "handshake"


@frozen
class Loop:
    """What everything on one event loop shares: the reactor, the deadlines, a buffer to read into, pipes to splice by.

    The buffer's content is only valid until control returns to the reactor or another read is made.
    """

    reactor: Reactor
    wheel: Wheel
    buffer: memoryview = field(factory=lambda: memoryview(bytearray(READ_SIZE)), repr=False)
    pipes: Pipes = field(factory=Pipes)
    accepts: Allowance = field(init=False, repr=False)
    handshakes: Handshakes = field(init=False, repr=False)

    @accepts.default
    def _few(self) -> Allowance:
        return Allowance(self.reactor, ACCEPTS_A_TURN)

    @handshakes.default
    def _in_order(self) -> Handshakes:
        return Handshakes(self.reactor)
