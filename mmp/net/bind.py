"""Making listening sockets, and keeping them."""

from __future__ import annotations

import socket
from collections.abc import Collection, Container, Iterable, Iterator

from mmp.model import Endpoint
from mmp.net.alive import keep_alive

BACKLOG = 4096
"""Connections that the kernel keeps for us, at most; its own limit (net.core.somaxconn) may be lower."""


def listening_socket(endpoint: Endpoint) -> socket.socket:
    """Return a non-blocking listening socket; OSError, with the endpoint in its text, if it cannot be had.

    Accepted sockets inherit TCP_NODELAY and keep-alive from it. One for "::" leaves IPv4 to a listener of its own.
    """
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keep_alive(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((endpoint.host, endpoint.port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen at {endpoint}: {error.strerror}") from None
    return sock


class ListeningSockets:
    """A listening socket for each endpoint that is wanted; others close only when nobody serves there any more."""

    def __init__(self) -> None:
        self._sockets: dict[Endpoint, socket.socket] = {}

    def bind(self, endpoints: Iterable[Endpoint]) -> None:
        """Have a socket for each of these too; OSError, and nothing has changed, if that cannot be."""
        made: dict[Endpoint, socket.socket] = {}
        try:
            for endpoint in endpoints:
                if endpoint not in self._sockets | made:
                    made[endpoint] = listening_socket(endpoint)
        except OSError:
            for listening in made.values():
                listening.close()
            raise
        self._sockets |= made

    def keep(self, wanted: Container[Endpoint], used: Collection[socket.socket]) -> None:
        """Close those that are neither wanted nor in use."""
        for endpoint in [each for each in self._sockets if each not in wanted]:
            if self._sockets[endpoint] not in used:
                self._sockets.pop(endpoint).close()

    def close(self) -> None:
        """Close all of them."""
        for listening in self._sockets.values():
            listening.close()

    def __getitem__(self, endpoint: Endpoint) -> socket.socket:
        return self._sockets[endpoint]

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._sockets)
