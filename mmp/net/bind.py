"""Making listening sockets, and keeping them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection, Iterable, Iterator, Sequence

from mmp.handover import kept, taken
from mmp.model import Endpoint
from mmp.net.alive import keep_alive
from mmp.net.inherited import Inherited
from mmp.net.local_socket import BACKLOG, local_socket, remove

_EVERYWHERE = {"0.0.0.0": False, "::": True}  # noqa: S104 - they are known, not listened at
"""Every address, and whether it is IPv6."""
OURS_AND_OUR_GROUPS = 0o660
"""Who may connect to a socket that is a file."""


def listening_socket(endpoint: Endpoint, beside: Collection[socket.socket] = ()) -> socket.socket:
    """Return a non-blocking listening socket; OSError, with the endpoint in its text, if it cannot be had.

    Accepted sockets inherit TCP_NODELAY and keep-alive from it. One for "::" leaves IPv4 to a listener of its own.
    ``beside`` are other sockets of ours: that they have the same port, one at every address, is no reason to refuse.
    """
    try:
        if endpoint.host.startswith("unix:"):
            return local_socket(endpoint.host.removeprefix("unix:"), OURS_AND_OUR_GROUPS)
        return _bound(endpoint, beside)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen at {endpoint}: {error.strerror or error}") from None


def _bound(endpoint: Endpoint, beside: Collection[socket.socket]) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _prepare(sock)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _listen(sock, (endpoint.host, endpoint.port), beside)
    except OSError:
        sock.close()
        raise
    return sock


def _prepare(sock: socket.socket) -> None:
    """Have the connections that it accepts be kept alive, and send small pieces at once."""
    if sock.family != socket.AF_UNIX:
        keep_alive(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _listen(sock: socket.socket, address: tuple[str, int], beside: Collection[socket.socket]) -> None:
    """Bind and listen, if need be sharing the port for a moment: if that stayed, a second proxy could take clients."""
    try:
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not beside:
            raise
    else:
        return
    _share_port((sock, *beside), share=True)
    try:
        sock.bind(address)
        sock.listen(BACKLOG)
    finally:
        _share_port((sock, *beside), share=False)


def _share_port(sockets: Iterable[socket.socket], *, share: bool) -> None:
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, share)


class ListeningSockets:
    """A listening socket for each endpoint that is wanted; others close only when nobody serves there any more.

    Those that we were started with stay, wanted or not, since they cannot be had again.
    """

    def __init__(self, inherited: Iterable[Inherited] = ()) -> None:
        self._sockets: dict[Endpoint, socket.socket] = {}
        for number, (name, listening) in enumerate(inherited):
            _prepare(listening)
            first = Endpoint(f"systemd:{name}", 0)
            self._sockets[Endpoint(first.host, number) if first in self._sockets else first] = listening

    def bind(self, endpoints: Iterable[Endpoint]) -> None:
        """Have a socket for each of these too; OSError, and nothing has changed, if that cannot be."""
        made: dict[Endpoint, socket.socket] = {}
        try:
            for endpoint in endpoints:
                if endpoint not in self._sockets | made:
                    made[endpoint] = self._made(endpoint)
        except OSError:
            for endpoint, listening in made.items():
                _close(endpoint, listening)
            raise
        self._sockets |= made

    def _made(self, endpoint: Endpoint) -> socket.socket:
        if endpoint.host.startswith("systemd:"):
            raise OSError(f"cannot listen at {endpoint}: this process was started with no socket of that name")
        others = [each for where, each in self._sockets.items() if not where.is_named and where.port == endpoint.port]
        return listening_socket(endpoint, [] if endpoint.is_named else others)

    def keep(self, wanted: Collection[Endpoint], used: Collection[socket.socket]) -> None:
        """Close those that are neither wanted nor in use."""
        for endpoint in [each for each in self._sockets if not any(_arrives(each, where) for where in wanted)]:
            if self._sockets[endpoint] not in used and not endpoint.host.startswith("systemd:"):
                _close(endpoint, self._sockets.pop(endpoint))

    def numbered(self, endpoints: Sequence[Endpoint]) -> dict[int, socket.socket]:
        """Return all sockets at which connections to these arrive, by numbers.

        A number's remainder, divided by how many endpoints there are, is the endpoint's index.
        """
        found: dict[int, socket.socket] = {}
        for index, endpoint in enumerate(endpoints):
            arriving = [each for where, each in self._sockets.items() if _arrives(where, endpoint)]
            found |= {index + turn * len(endpoints): each for turn, each in enumerate(arriving)}
        return found

    def state(self) -> list[tuple[str, int, int]]:
        """Return host, port and descriptor of each, for ``restore``; they stay open in the next program."""
        return [(where.host, where.port, kept(each.fileno())) for where, each in self._sockets.items()]

    def restore(self, state: Iterable[tuple[str, int, int]]) -> dict[int, socket.socket]:
        """Have those of which ``state`` told; return them by their descriptors."""
        made = {descriptor: socket.socket(fileno=taken(descriptor)) for _, _, descriptor in state}
        self._sockets = {Endpoint(host, port): made[descriptor] for host, port, descriptor in state}
        return made

    def close(self) -> None:
        """Close all of them."""
        for endpoint, listening in self._sockets.items():
            _close(endpoint, listening)

    def __getitem__(self, endpoint: Endpoint) -> socket.socket:
        return self._sockets[endpoint]

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._sockets)


def _arrives(at: Endpoint, endpoint: Endpoint) -> bool:
    """Whether connections to an endpoint arrive at the socket of another: systemd may have several of a name.

    One of ours that had an address of its own goes on beside one that is at every address: closing it would reset who
    waits there.
    """
    if at == endpoint or (at.host == endpoint.host and endpoint.host.startswith("systemd:")):
        return True
    return at.port == endpoint.port and not at.is_named and _EVERYWHERE.get(endpoint.host) == (":" in at.host)


def _close(endpoint: Endpoint, listening: socket.socket) -> None:
    listening.close()
    if endpoint.host.startswith("unix:"):
        remove(endpoint.host.removeprefix("unix:"))
