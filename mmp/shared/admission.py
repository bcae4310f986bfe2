"""Limits and throttle as sessions see them: each asks at the desk, and words what it is told."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from mmp import interfaces
from mmp.errors import Refused
from mmp.interfaces import Deadlines, Lease, Log
from mmp.model import Account, Client, Credentials, Refusal
from mmp.policy.admission import NoAttempt
from mmp.shared import digests
from mmp.shared import link as wire
from mmp.shared.desk import Desk
from mmp.shared.link import Kind

Network = IPv4Network | IPv6Network

_MAPPED: Final = bytes(10) + b"\xff\xff"
"""Before an IPv4 address that is written as one of IPv6 (RFC 4291, 2.5.5.2)."""
_COMPARABLE: Final = frozenset({"PLAIN", "LOGIN", "USER"})
"""Ways to log in by which the same password gives the same octets."""
_DOOR, _ACCOUNT, _ATTEMPT, _DENIED = Kind.DOOR, Kind.ACCOUNT, Kind.ATTEMPT, Kind.DENIED
"""By themselves, as in ``mmp.net.stream``."""
_FULL: Final = {_DOOR: Refusal.TOO_MANY_CONNECTIONS, _ACCOUNT: Refusal.TOO_MANY_SESSIONS}
_FULL_HOUSE: Final = "limit: sessions"
_RATES: Final = frozenset({b"connections_per_minute", b"logins_per_minute", b"throttle"})


@lru_cache(1000)
def octets_of(host: str) -> bytes:
    """Return the 4 or 16 octets of an address, none if it is none; every login asks twice, and some addresses often."""
    try:
        return inet_pton(AF_INET, host)
    except OSError:
        try:
            octets = inet_pton(AF_INET6, host.partition("%")[0])
        except OSError:
            return b""
    return octets[12:] if octets.startswith(_MAPPED) else octets


def _facts(client: Client) -> dict[str, object]:
    return {
        "session": client.session,
        "service": client.service,
        "client": client.address,
        "server": client.local,
    }


async def _lease(desk: Desk, log: Log, client: Client, kind: Kind, body: bytes) -> Lease:
    """Ask for a lease; Refused if there is none."""
    number, answer, payload = await desk.ask(kind, body)
    if answer is _DENIED:
        raise _refused(payload, _FULL[kind])
    _tell_observed(log, client, payload[wire.NUMBER.size :])
    return desk.slot(number, kind, body)


def _tell_observed(log: Log, client: Client, limits: bytes) -> None:
    for limit in limits.split(b"\0") if limits else ():
        log.event("refused", result="observed", **_facts(client), reason=_reason(limit))


def _refused(payload: bytes, full: Refusal) -> Refused:
    limit = payload[wire.DENIED.size :]
    return Refused(Refusal.RATE_EXCEEDED if limit in _RATES else full, _reason(limit))


def _reason(limit: bytes) -> str:
    """Return what the log calls it."""
    return f"limit: {limit.decode()}"


class Door:
    """Admits connections, by where they come from."""

    def __init__(self, desk: Desk, log: Log) -> None:
        self._desk = desk
        self._log = log

    async def admit(self, client: Client, make_room: Callable[[], bool]) -> Lease:
        """Return a lease for the connection, or raise Refused; if all is full, ask once more after room was made."""
        body = b"\0" + octets_of(client.address.host)
        try:
            return await _lease(self._desk, self._log, client, _DOOR, body)
        except Refused as refused:
            if refused.reason != _FULL_HOUSE or not make_room():
                raise
        return await _lease(self._desk, self._log, client, _DOOR, body)


class BanDoor:
    """A door that nobody gets to who is banned."""

    def __init__(self, desk: Desk, door: interfaces.Door) -> None:
        self._desk = desk
        self._door = door

    async def admit(self, client: Client, make_room: Callable[[], bool]) -> Lease:
        """Return a lease for the connection, or raise Refused."""
        _refuse_banned(self._desk, octets_of(client.address.host))
        return await self._door.admit(client, make_room)


def _refuse_banned(desk: Desk, octets: bytes) -> None:
    network = desk.banned(octets)
    if network is not None:
        raise Refused(Refusal.BANNED, f"ban: {network}")


class Limits:
    """Admits sessions, by whose they are and where they go."""

    def __init__(self, desk: Desk, log: Log) -> None:
        self._desk = desk
        self._log = log

    async def admit(self, client: Client, account: Account) -> Lease:
        """Return a lease for the session, or raise Refused."""
        body = b"\0" + f"{account.user}\0{account.host}".encode("utf-8", "surrogateescape")
        return await _lease(self._desk, self._log, client, _ACCOUNT, body)


class Throttle:
    """Holds attempts back for as long as it is told."""

    def __init__(
        self, desk: Desk, clock: IReactorTime, deadlines: Deadlines, log: Log, exempt: Sequence[Network] = ()
    ) -> None:
        """Nobody from an ``exempt`` network is ever held back or counted."""
        self._desk = desk
        self._clock = clock
        self._deadlines = deadlines
        self._log = log
        self._exempt = exempt

    async def hold(self, client: Client, credentials: Credentials) -> interfaces.Attempt:
        """Wait as long as it takes; Refused if too many wait already, or come, or whoever comes has been banned."""
        octets = octets_of(client.address.host)
        if not octets or (self._exempt and self._is_exempt(octets)):
            return NoAttempt()
        _refuse_banned(self._desk, octets)
        body = self._digests(credentials) + octets
        number, kind, payload = await self._desk.ask(_ATTEMPT, body)
        if seconds := self._seconds(client, kind, payload):
            await self._wait(client, number, seconds)
        return Attempt(self._desk, number, lambda badness, failures: self._tell(client, credentials, badness, failures))

    def _is_exempt(self, octets: bytes) -> bool:
        address = ip_address(octets)
        return any(address in network for network in self._exempt)

    def _digests(self, credentials: Credentials) -> bytes:
        """Return one of the user, which is the same at all hosts, and one of user and password.

        Without the key nobody can try passwords against that. Where the password does not show, every attempt counts as
        another one.
        """
        whole = hashlib.blake2b(digests.plain(credentials.user), key=self._desk.key, digest_size=digests.SIZE)
        shown = credentials.mechanism in _COMPARABLE and credentials.proves is None
        whole.update(b"\0" + credentials.secret if shown else os.urandom(digests.SIZE))
        return digests.of_user(credentials.user) + whole.digest()

    async def _wait(self, client: Client, number: int, seconds: float) -> None:
        self._deadlines.pause(client.session)
        try:
            while math.isinf(seconds):
                seconds = self._seconds(client, *await self._desk.later(number))
            self._log.event("held", "debug", **_facts(client), seconds=seconds)
            await deferLater(self._clock, seconds)
            _refuse_banned(self._desk, octets_of(client.address.host))
        except BaseException:
            self._desk.give(number)
            raise
        finally:
            self._deadlines.resume(client.session)

    def _seconds(self, client: Client, kind: Kind, payload: bytes) -> float:
        if kind is _DENIED:
            raise _refused(payload, Refusal.RATE_EXCEEDED)
        _, seconds, observed = wire.WAIT.unpack_from(payload)
        if len(payload) > wire.WAIT.size:
            _tell_observed(self._log, client, payload[wire.WAIT.size :])
        if observed and seconds:
            self._log.event("badguy", result="observed", **_facts(client), seconds=seconds)
        return 0.0 if observed else seconds

    def _tell(self, client: Client, credentials: Credentials, badness: float, failures: int) -> None:
        self._log.event("badguy", "warn", **_facts(client), user=credentials.user, badness=badness, failures=failures)


class Attempt:
    """An attempt that has begun."""

    __slots__ = ("_bad", "_desk", "_number")

    def __init__(self, desk: Desk, number: int, bad: Callable[[float, int], None]) -> None:
        self._desk = desk
        self._number = number
        self._bad = bad

    def failed(self) -> None:
        """The password was wrong."""
        number, self._number = self._number, 0
        self._desk.failed(number, self._bad)

    def succeeded(self) -> None:
        """The password was right."""
        number, self._number = self._number, 0
        self._desk.succeeded(number)

    def close(self) -> None:
        """It is over; if neither has been said, nobody has judged the password."""
        number, self._number = self._number, 0
        if number:
            self._desk.give(number)
