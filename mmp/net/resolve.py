"""Host names to addresses, in the reactor's threads, remembered for a short while."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from mmp.net.wheel import Wheel

REMEMBER = 30.0
"""Seconds; the operating system's resolver tells no time to live, and a store that moves must be found soon."""
MOST = 4096
"""Names remembered; more than any installation has stores."""

Addresses = tuple[str, ...]


class Resolver:
    """Looks names up once for all who ask at the same time; each waits on a Deferred of its own."""

    def __init__(self, reactor: Any, wheel: Wheel) -> None:
        self._reactor = reactor
        self._wheel = wheel
        self._known: dict[str, tuple[int, Addresses]] = {}
        self._asked: dict[str, list[Deferred[Addresses]]] = {}

    async def addresses(self, host: str) -> Addresses:
        """Return the addresses of a host, in the system's order of preference; OSError if there are none."""
        until, addresses = self._known.get(host, (0, ()))
        if until > self._wheel.now:
            return addresses
        try:
            addresses = (_address(host),)
        except ValueError:
            return await self._look_up(host)
        self._keep(host, addresses)
        return addresses

    def _look_up(self, host: str) -> Deferred[Addresses]:
        asking = host in self._asked
        waiters = self._asked.setdefault(host, [])
        waiting: Deferred[Addresses] = Deferred(waiters.remove)
        waiters.append(waiting)
        if not asking:
            threads = self._reactor.getThreadPool()
            deferToThreadPool(self._reactor, threads, _system_addresses, host).addBoth(self._answer, host)
        return waiting

    def _answer(self, result: Addresses | Failure, host: str) -> None:
        if not isinstance(result, Failure):
            self._keep(host, result)
        waiters = self._asked.pop(host)
        while waiters:  # one that is called may cancel another, which then leaves the list
            waiters.pop(0).callback(result)

    def _keep(self, host: str, addresses: Addresses) -> None:
        while len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        self._known[host] = (self._wheel.now + self._wheel.ticks(REMEMBER), addresses)


def _system_addresses(host: str) -> Addresses:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is empty or too long
        raise OSError(f"{host!r} cannot be a host name: {error}") from None
    return tuple(dict.fromkeys(_address(str(address[0])) for *_, address in found))


def _address(text: str) -> str:
    """Return an address as it is told of a connection: IPv4 is never written as IPv6. ValueError if it is none."""
    address = ip_address(text)
    return str(getattr(address, "ipv4_mapped", None) or address)
