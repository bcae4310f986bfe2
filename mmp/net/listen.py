"""Receiving connections, and keeping watch over each until the relay takes over or it ends.

The only place that catches what nobody expected of a session.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterator
from functools import lru_cache, partial
from ipaddress import ip_address

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from mmp.errors import Refused, RemoteProtocolError
from mmp.interfaces import Door, Lease, Log, ServerCore
from mmp.model import CLEAR, Client, Endpoint, Offer, Refusal, Security, Service
from mmp.net.channel import Channel
from mmp.net.connect import Network
from mmp.net.door import AtTheDoor
from mmp.net.introduction import Introduction
from mmp.net.loop import Loop
from mmp.net.running import Running
from mmp.net.stream import Stream, endpoint_of
from mmp.net.takeover import Relays
from mmp.observe.accounting import Accounting
from mmp.session.login import LogIn
from mmp.session.record import Record, Who
from mmp.session.session import Session
from mmp.wire.proxy_header import Header


@frozen
class Reception:
    """How the connections of one listener are received; ``deadline`` in seconds, from accept to logged in.

    Those from ``proxy_protocol_from``, and no others, begin with a PROXY header. Without a ``door`` everybody is
    admitted.
    """

    service: Service
    implicit_tls: bool
    start_tls: Callable[[Stream], Awaitable[Security]]
    offer: Callable[[Security], Offer]
    make_core: Callable[[Offer], ServerCore]
    log_in: LogIn
    deadline: float
    max_failures: int
    proxy_protocol_from: tuple[Network, ...] = ()
    door: Door | None = None

    def introduced_from(self, host: str) -> bool:
        """Whether a connection from there has to say first whom it is made for."""
        networks = self.proxy_protocol_from
        return bool(networks) and any(ip_address(host) in network for network in networks)


@frozen
class House:
    """What all listeners of a worker share.

    ``session_ids`` are unique for the life of the service; ``capacity`` is how many sessions there is room for;
    ``begun`` is told of each session's core before it has said anything.
    """

    loop: Loop
    log: Log
    accounting: Accounting
    relays: Relays
    session_ids: Iterator[str]
    capacity: int
    begun: Callable[[Record, ServerCore], object] = lambda _record, _core: None


class Arrivals:
    """The connections of a worker that no relay owns yet."""

    _log = Logger()

    def __init__(self, house: House) -> None:
        self.house = house
        self._present: dict[str, Present] = {}
        """By session, in the order in which they came."""

    def receive(self, reception: Reception, accepted: socket.socket, address: Endpoint) -> None:
        """Begin a session on an accepted connection; what goes wrong with one is nobody else's fault."""
        try:
            session = next(self.house.session_ids)
            client = Client(session, reception.service, address, _arrived_at(accepted.getsockname()))
            newcomer = self._newcomer(reception, accepted, client)
        except Exception:  # noqa: BLE001 - the port must go on
            self._log.failure("unexpected error at a new connection")
            accepted.close()
            return
        self._begin(session, newcomer)
        if len(self._present) + len(self.house.relays) > self.house.capacity and self._present:
            oldest = next(iter(self._present.values()))  # it has had the most time to log in
            oldest.turn_out(Refusal.TOO_MANY_CONNECTIONS, "process full")

    def _newcomer(self, reception: Reception, accepted: socket.socket, client: Client) -> Present:
        house = self.house
        if not reception.introduced_from(client.address.host):
            return self._visitor(reception, accepted, client)
        introduced = partial(self._introduced, reception, client, house.loop.wheel.seconds())
        return Introduction(house.loop, accepted, reception.deadline, introduced, partial(self._unintroduced, client))

    def _begin(self, session: str, newcomer: Present) -> None:
        self._present[session] = newcomer
        newcomer.run()

    # At the door

    def _visitor(self, reception: Reception, accepted: socket.socket, client: Client) -> Arrival | AtTheDoor:
        """Return the session, or what becomes one once there is a slot for it."""
        door = reception.door
        if door is None:
            return Arrival(self, reception, accepted, client)
        return AtTheDoor(
            accepted,
            partial(door.admit, client, self._make_room),
            partial(self._admitted, reception, client),
            partial(self._denied, reception, client),
        )

    def _make_room(self) -> bool:
        """End the oldest session that is not logged in; say whether there was one."""
        oldest = next((each for each in self._present.values() if isinstance(each, Arrival)), None)
        if oldest is not None:
            oldest.turn_out(Refusal.TOO_MANY_CONNECTIONS, "all sessions are taken")
        return oldest is not None

    def _admitted(self, reception: Reception, client: Client, visitor: AtTheDoor, slot: Lease) -> None:
        self.gone(client.session)
        self._begin(client.session, Arrival(self, reception, visitor.socket, client, slot))

    def _denied(self, reception: Reception, client: Client, _visitor: AtTheDoor, refused: Refused) -> bytes:
        """Return the protocol's words for it; none where they would have to go through TLS."""
        self.gone(client.session)
        self._tell_refused(client, refused.reason, refused.refusal)
        if reception.implicit_tls:
            return b""
        core = reception.make_core(reception.offer(CLEAR))
        core.turn_away(refused.refusal)
        return core.data_to_send()

    # Introductions

    def _introduced(
        self, reception: Reception, client: Client, began: float, introduction: Introduction, header: Header | None
    ) -> None:
        """Begin the session, with what is left of its deadline, for whom the PROXY header says."""
        self.gone(client.session)
        left = evolve(reception, deadline=reception.deadline - (self.house.loop.wheel.seconds() - began))
        if header is None:  # the proxy in front, for itself: no limit counts that
            self._begin(client.session, Arrival(self, left, introduction.socket, client))
            return
        self._tell_introduced(client, header)
        client = evolve(client, address=header.source, local=header.destination)
        self._begin(client.session, self._visitor(left, introduction.socket, client))

    def _tell_introduced(self, client: Client, header: Header) -> None:
        self.house.log.event(
            "proxied",
            session=client.session,
            service=client.service,
            client=header.source,
            server=header.destination,
            via=client.address,
            unique_id=_shown(header.unique_id),
            authority=_shown(header.authority),
            alpn=_shown(header.alpn),
            front_tls=header.security.version,
            front_cipher=header.security.cipher,
        )

    def _unintroduced(self, client: Client, _introduction: Introduction, why: str) -> None:
        self.gone(client.session)
        self._tell_refused(client, why)

    def _tell_refused(self, client: Client, why: str, refusal: Refusal | None = None) -> None:
        self.house.log.event(
            "refused",
            "warn",
            result=refusal,
            session=client.session,
            service=client.service,
            client=client.address,
            server=client.local,
            reason=why,
        )

    # All of them

    def gone(self, session: str) -> None:
        """Forget one that ended or was handed over."""
        self._present.pop(session, None)

    def pause(self, session: str) -> None:
        """Let the deadline of one stand still."""
        if isinstance(arrival := self._present.get(session), Arrival):
            arrival.pause()

    def resume(self, session: str) -> None:
        """Let it go on."""
        if isinstance(arrival := self._present.get(session), Arrival):
            arrival.resume()

    def turn_out(self, refusal: Refusal, why: str) -> None:
        """End all of them, with the protocol's goodbye."""
        for present in tuple(self._present.values()):
            present.turn_out(refusal, why)

    def __len__(self) -> int:
        return len(self._present)

    def sessions(self) -> Iterator[tuple[Arrival, Record]]:
        """Yield those that have begun, each with its record; none may begin or end meanwhile."""
        return ((present, present.record) for present in self._present.values() if isinstance(present, Arrival))


class Arrival:
    """One accepted connection: runs its session, under a deadline, until it ends or the relay takes over."""

    _log = Logger()

    def __init__(
        self,
        arrivals: Arrivals,
        reception: Reception,
        accepted: socket.socket,
        client: Client,
        slot: Lease | None = None,
    ) -> None:
        """``slot`` is given back when the session ends."""
        house = arrivals.house
        self._arrivals = arrivals
        self._reception = reception
        self.record = house.accounting.open(client)
        self.record.slot = slot
        self._core = reception.make_core(reception.offer(CLEAR))
        house.begun(self.record, self._core)
        self._channel = Channel(self._core, reception.start_tls)
        self._channel.stream = Stream(house.loop, accepted, self._channel)
        self._channel.on_loss(self._lost)
        self._cause: tuple[Who, str] | None = None
        self.due = self.tick = 0
        self._left = 0.0

    def run(self) -> None:
        """Begin the session."""
        house = self._arrivals.house
        house.loop.wheel.add(self, self._reception.deadline)
        record = self.record
        house.log.tell("connected", "debug", record.facts() if house.log.heeds("debug") else record.counted())
        self._running = Running(self._session().run(), self._ended)
        self._running.go_on()

    def _session(self) -> Session:
        house, reception = self._arrivals.house, self._reception
        return Session(
            record=self.record,
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

    def pause(self) -> None:
        """Let the deadline stand still."""
        wheel = self._arrivals.house.loop.wheel
        self._left = wheel.left(self)
        wheel.discard(self)

    def resume(self) -> None:
        """Let it go on."""
        self._arrivals.house.loop.wheel.add(self, self._left)

    def expired(self) -> None:
        """The login took too long."""
        self.turn_out(Refusal.LOGIN_TIMEOUT, "login deadline")

    def turn_out(self, refusal: Refusal, why: str) -> None:
        """End it from our side."""
        if not self._running.is_over:
            self._core.goodbye(refusal)
            self._stop("proxy", why)

    def _stop(self, who: Who, why: str) -> None:
        self._cause = who, why
        self._running.cancel()

    def _ended(self, result: str | BaseException | None) -> None:
        house = self._arrivals.house
        house.loop.wheel.discard(self)
        self._arrivals.gone(self.record.client.session)
        self._channel.on_loss(None)
        if result is not None:
            who, why = self._judge(result)
            self._channel.write(self._core.data_to_send())
            self._channel.close()
            house.accounting.close(self.record, who, why)

    def _judge(self, result: str | BaseException) -> tuple[Who, str]:
        """Return who ended the session and why; what nobody expected is logged with its traceback."""
        if isinstance(result, str):
            return "client", result
        if self._cause is not None and isinstance(result, CancelledError):
            return self._cause
        if isinstance(result, ConnectionError):
            return "client", str(result)
        if isinstance(result, RemoteProtocolError):
            return "proxy", str(result)
        what = "unexpected error in session {session}"
        self._log.failure(what, Failure(result), session=self.record.client.session)
        self._core.goodbye(Refusal.INTERNAL)
        return "proxy", "internal error"


Present = Arrival | AtTheDoor | Introduction
"""Whoever is not logged in."""


_arrived_at = lru_cache(256)(endpoint_of)
"""Of our own addresses there are few."""


def _shown(octets: bytes) -> str:
    """Return what a PROXY header says, for the log."""
    return octets.decode("ascii", "backslashreplace")
