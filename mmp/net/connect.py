"""Outgoing connections: to stores and to directory servers."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadWriteDescriptor
from zope.interface import implementer

from mmp.interfaces import Receiver, Transport
from mmp.model import Endpoint, Security
from mmp.net.alive import keep_alive
from mmp.net.channel import Channel
from mmp.net.loop import Loop
from mmp.net.resolve import Resolver
from mmp.net.stream import Stream
from mmp.net.tls import ClientTLS

Network = IPv4Network | IPv6Network

_UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EALREADY})
_IP_BIND_ADDRESS_NO_PORT = 24
"""From linux/in.h: a port is chosen when the connection is made, so that those to different stores may share one."""


class Connector:
    """Connects, from the configured source address, to where it is allowed to."""

    def __init__(
        self,
        loop: Loop,
        resolver: Resolver,
        *,
        source_address: str = "",
        networks: tuple[Network, ...] = (),
        retry_after: float = 30.0,
    ) -> None:
        """``networks``: the only places to connect to; empty means anywhere.

        For ``retry_after`` seconds an address that failed is tried only after the host's others.
        """
        self._loop = loop
        self._resolver = resolver
        self._source = source_address
        self._networks = networks
        self._retry_after = retry_after
        self._avoided: dict[tuple[str, int], int] = {}

    async def connect(self, endpoint: Endpoint, receiver: Receiver) -> Stream:
        """Return an open stream that feeds ``receiver``; OSError if no address of the host takes us."""
        *others, last = await self._addresses(endpoint)
        return await self._first(others, receiver) or await self._reach(last, receiver)

    async def open(self, endpoint: Endpoint, channel: Channel, arrived_at: Endpoint) -> str:
        """Connect a channel to somebody who speaks first and return their address; OSError if there is none to go to.

        ``arrived_at`` is where the client has come in: there we would find ourselves, again and again. The last address
        of a host is not waited for, which makes a login a twentieth cheaper: where it does not take us, the channel is
        lost before anything was received.
        """
        *others, last = addresses = await self._addresses(endpoint)
        if (arrived_at.host, arrived_at.port) in addresses:
            raise PermissionError(f"{arrived_at} is where the client has come in: that would be a loop")
        for where in others:
            with suppress(OSError):
                channel.stream = await self._reach(where, channel)
                return where[0]
        channel.stream = Stream(self._loop, self._set_out(*last), channel)
        return last[0]

    async def _addresses(self, endpoint: Endpoint) -> list[tuple[str, int]]:
        addresses = await self._resolver.addresses(endpoint.host)
        allowed = [(address, endpoint.port) for address in addresses if not self._networks or self._allows(address)]
        if not allowed:
            raise PermissionError(f"{', '.join(addresses)} is not in backend.networks")
        return allowed if len(allowed) == 1 else sorted(allowed, key=self._is_avoided)

    async def _first(self, addresses: list[tuple[str, int]], receiver: Receiver) -> Stream | None:
        """Return a stream to the first of the addresses that takes us; None if none does."""
        for where in addresses:
            with suppress(OSError):
                return await self._reach(where, receiver)
        return None

    async def _reach(self, where: tuple[str, int], receiver: Receiver) -> Stream:
        try:
            return Stream(self._loop, await self._arrive(*where), receiver)
        except BaseException:  # it failed, or was given up since it took too long
            self._avoid(where)
            raise

    def _is_avoided(self, where: tuple[str, int]) -> bool:
        return self._avoided.get(where, 0) > self._loop.wheel.now

    def _avoid(self, where: tuple[str, int]) -> None:
        now = self._loop.wheel.now
        self._avoided = {each: until for each, until in self._avoided.items() if until > now}
        self._avoided[where] = now + self._loop.wheel.ticks(self._retry_after)

    def _allows(self, address: str) -> bool:
        return any(ip_address(address) in network for network in self._networks)

    def _set_out(self, address: str, port: int) -> socket.socket:
        """Return a socket on its way there."""
        sock = self._socket(address)
        _go(sock, address, port)
        return sock

    async def _arrive(self, address: str, port: int) -> socket.socket:
        """Return a socket that is connected."""
        sock = self._socket(address)
        try:
            while not _go(sock, address, port):
                await _Connecting(self._loop, sock).done
        except BaseException:
            sock.close()
            raise
        return sock

    def _socket(self, address: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(sock)
        if self._source and (":" in self._source) == (family == socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            try:
                sock.bind((self._source, 0))
            except OSError:
                sock.close()
                raise
        return sock


def _go(sock: socket.socket, address: str, port: int) -> bool:
    """Begin to connect, or see how far it is; return whether it is done; OSError, and the socket is closed, if not."""
    result = sock.connect_ex((address, port))
    if result and result not in _UNDER_WAY:
        sock.close()
        raise OSError(result, f"{Endpoint(address, port)}: {os.strerror(result)}")
    return not result


class TLSConnector:
    """Connects with TLS, from the beginning or begun later, verifies whom it reached, and resumes sessions."""

    def __init__(self, connector: Connector, tls: ClientTLS, *, implicit: bool, resume: bool = True) -> None:
        """Sessions are resumed unless the server has to see our certificate each time, to know us by it."""
        self._connector = connector
        self._resume = resume
        self._tls = tls
        self._implicit = implicit
        self._last: dict[str, Stream] = {}
        """The last stream to each host; asked for its session when there is to be another, since it has spoken then."""

    async def connect(self, endpoint: Endpoint, receiver: Receiver) -> Stream:
        """Return an open stream, with TLS on if it is implicit; OSError if it cannot be had."""
        stream = await self._connector.connect(endpoint, receiver)
        if self._implicit:
            await self.start_tls(stream, endpoint.host)
        return stream

    async def start_tls(self, transport: Transport, host: str) -> Security:
        """Shake hands on an open stream; ConnectionError if that fails or the certificate does not name the host."""
        assert isinstance(transport, Stream)  # noqa: S101 - there is one transport
        if (last := self._last.pop(host, None)) is not None:
            self._tls.remember(last, host)
        security = await self._tls.start(transport, host)
        if self._resume:
            self._last[host] = transport
        return security


@implementer(IReadWriteDescriptor)
class _Connecting:
    """Waits until a socket under way is connected, or has failed."""

    __slots__ = ("_loop", "_socket", "done")

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        self._loop = loop
        self._socket = sock
        self.done: Deferred[None] = Deferred(lambda _: loop.reactor.removeWriter(self))
        loop.reactor.addWriter(self)

    def doWrite(self) -> None:  # noqa: N802 - Twisted's name
        """The socket is connected or has failed, which connecting again will tell; or the event was another's."""
        self._loop.reactor.removeWriter(self)
        self.done.callback(None)

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Do nothing: it is never watched for reading."""

    def connectionLost(self, reason: object) -> None:  # noqa: ARG002, N802 - Twisted's name
        """The reactor saw a hang-up."""
        self.doWrite()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """Return a name for the log."""
        return "connecting"
