"""Accepting connections, and keeping watch over each until the relay takes over or it ends.

The only place that catches what nobody expected of a session.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable, Iterator

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mmp.errors import RemoteProtocolError
from mmp.interfaces import Log, ServerCore
from mmp.model import CLEAR, Client, Endpoint, Offer, Refusal, Security, Service
from mmp.net.channel import Channel
from mmp.net.relay import Relays
from mmp.net.stream import Loop, Stream, endpoint_of
from mmp.net.wheel import Deadline
from mmp.observe.accounting import Accounting
from mmp.session.login import LogIn
from mmp.session.record import Who
from mmp.session.session import Session

ACCEPTS_A_TURN = 16
"""Few, so that established sessions are served in between, and so that other workers get their share of a rush."""
PAUSE = 1.0
"""Seconds without accepting once descriptors have run out."""
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@implementer(IReadDescriptor)
class Port:
    """A listening socket, shared with other workers; hands each accepted connection to ``arrive``."""

    def __init__(
        self, loop: Loop, sock: socket.socket, arrive: Callable[[socket.socket, Endpoint], None], log: Log
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._arrive = arrive
        self._log = log
        self._pause: Deadline | None = None
        self._told = -float("inf")
        loop.reactor.addReader(self)

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Accept what is waiting, a few at a time."""
        for _ in range(ACCEPTS_A_TURN):
            try:
                accepted, address = self._socket.accept()
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._wait(error)
                if error.errno != errno.ECONNABORTED:
                    return
            else:
                accepted.setblocking(False)  # noqa: FBT003 - the standard library's signature
                self._arrive(accepted, endpoint_of(address))

    def _wait(self, error: OSError) -> None:
        """Leave the rest in the kernel's queue for a while; say so once a minute."""
        self._loop.reactor.removeReader(self)
        self._pause = Deadline(self._loop.wheel, PAUSE, self._go_on)
        now = self._loop.wheel.seconds()
        if now - self._told >= 60:  # noqa: PLR2004 - a minute
            self._told = now
            self._log.event("accept", "error", result="paused", reason=error.strerror)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.reactor.addReader(self)

    def close(self) -> None:
        """Accept no more; the socket is closed in this process."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.reactor.removeReader(self)
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """Return a name for the log."""
        return "port"

    def connectionLost(self, reason: object) -> None:  # noqa: ARG002, N802 - Twisted's name
        """The reactor found the descriptor broken."""
        self.close()


@frozen
class Reception:
    """How the connections of one listener are received; ``deadline`` in seconds, from accept to logged in."""

    service: Service
    implicit_tls: bool
    start_tls: Callable[[Stream], Awaitable[Security]]
    offer: Callable[[Security], Offer]
    make_core: Callable[[Offer], ServerCore]
    log_in: LogIn
    deadline: float
    max_failures: int


@frozen
class House:
    """What all listeners of a worker share.

    ``session_ids`` are unique for the life of the service; ``capacity`` is how many sessions there is room for.
    """

    loop: Loop
    log: Log
    accounting: Accounting
    relays: Relays
    session_ids: Iterator[str]
    capacity: int


class Arrivals:
    """The connections of a worker that no relay owns yet."""

    _log = Logger()

    def __init__(self, house: House) -> None:
        self.house = house
        self._present: dict[Arrival, None] = {}

    def receive(self, reception: Reception, accepted: socket.socket, address: Endpoint) -> None:
        """Begin a session on an accepted connection; what goes wrong with one is nobody else's fault."""
        try:
            arrival = Arrival(self, reception, accepted, address)
        except Exception:  # noqa: BLE001 - the port must go on
            self._log.failure("unexpected error at a new connection")
            accepted.close()
            return
        self._present[arrival] = None
        arrival.run(reception)
        if len(self._present) + len(self.house.relays) > self.house.capacity and self._present:
            oldest = next(iter(self._present))  # it has had the most time to log in
            oldest.turn_out(Refusal.TOO_MANY_CONNECTIONS, "process full")

    def gone(self, arrival: Arrival) -> None:
        """Forget one that ended or was handed over."""
        self._present.pop(arrival, None)

    def turn_out(self, refusal: Refusal, why: str) -> None:
        """End all of them, with the protocol's goodbye."""
        for arrival in tuple(self._present):
            arrival.turn_out(refusal, why)

    def __len__(self) -> int:
        return len(self._present)


class Arrival:
    """One accepted connection: runs its session, under a deadline, until it ends or the relay takes over."""

    _log = Logger()

    def __init__(self, arrivals: Arrivals, reception: Reception, accepted: socket.socket, address: Endpoint) -> None:
        house = arrivals.house
        client = Client(next(house.session_ids), reception.service, address, endpoint_of(accepted.getsockname()))
        self._arrivals = arrivals
        self._record = house.accounting.open(client)
        self._core = reception.make_core(reception.offer(CLEAR))
        self._channel = Channel(self._core, reception.start_tls)
        self._channel.stream = Stream(house.loop, accepted, self._channel)
        self._channel.on_loss(self._lost)
        self._cause: tuple[Who, str] | None = None
        self.due = self.tick = 0

    def run(self, reception: Reception) -> None:
        """Begin the session."""
        house = self._arrivals.house
        house.loop.wheel.add(self, reception.deadline)
        house.log.event("connected", "debug", **self._record.facts())
        self._running = Deferred.fromCoroutine(self._session(reception).run())
        self._running.addBoth(self._ended)

    def _session(self, reception: Reception) -> Session:
        house = self._arrivals.house
        return Session(
            record=self._record,
            channel=self._channel,
            core=self._core,
            implicit_tls=reception.implicit_tls,
            offer=reception.offer,
            log_in=reception.log_in,
            relays=house.relays,
            log=house.log,
            max_failures=reception.max_failures,
        )

    def _lost(self, reason: BaseException) -> None:
        self._stop("client", str(reason))

    def expired(self) -> None:
        """The login took too long."""
        self.turn_out(Refusal.LOGIN_TIMEOUT, "login deadline")

    def turn_out(self, refusal: Refusal, why: str) -> None:
        """End it from our side."""
        if not self._running.called:
            self._core.goodbye(refusal)
            self._stop("proxy", why)

    def _stop(self, who: Who, why: str) -> None:
        self._cause = who, why
        self._running.cancel()

    def _ended(self, result: str | Failure | None) -> None:
        house = self._arrivals.house
        house.loop.wheel.discard(self)
        self._arrivals.gone(self)
        self._channel.on_loss(None)
        if result is not None:
            who, why = self._judge(result)
            self._channel.write(self._core.data_to_send())
            self._channel.close()
            house.accounting.close(self._record, who, why)
        if isinstance(result, Failure):
            result.cleanFailure()  # its traceback has the whole session in its frames, and those have the failure

    def _judge(self, result: str | Failure) -> tuple[Who, str]:
        """Return who ended the session and why; what nobody expected is logged with its traceback."""
        if isinstance(result, str):
            return "client", result
        if self._cause is not None and result.check(CancelledError):
            return self._cause
        if result.check(ConnectionError):
            return "client", result.getErrorMessage()
        if result.check(RemoteProtocolError):
            return "proxy", result.getErrorMessage()
        self._log.failure("unexpected error in session {session}", result, session=self._record.client.session)
        self._core.goodbye(Refusal.INTERNAL)
        return "proxy", "internal error"
