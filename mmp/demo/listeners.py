"""Addresses and ports: where clients are served, whether that is free, whether it works, and where the stores are."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from attrs import frozen

PORTS = {
    143: ("imap", "starttls"),
    993: ("imap", "implicit"),
    110: ("pop3", "starttls"),
    995: ("pop3", "implicit"),
    587: ("submission", "starttls"),
    465: ("submission", "implicit"),
}
"""Added to the base, with what is spoken there and how it is encrypted."""

SERVICES = tuple(dict.fromkeys(service for service, _ in PORTS.values()))

_GREETINGS = {"imap": b"* OK", "pop3": b"+OK", "submission": b"220 "}


@frozen
class Listener:
    """An address and port for clients."""

    address: str
    port: int
    service: str
    tls: str

    @property
    def obstacle(self) -> str:
        """In words why one cannot listen there; empty if one can."""
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        try:
            socket.create_server((self.address, self.port), family=family).close()
        except OSError as error:
            return f"port {self.port} of {self.address}: {error.strerror}"
        return ""

    def serves(self, ca: Path) -> bool:
        """Return whether a greeting comes, behind a handshake that ``ca`` vouches for if TLS is implicit."""
        with suppress(OSError), socket.create_connection((self.address, self.port), timeout=5) as connection:
            if self.tls == "starttls":
                return self._greets(connection)
            context = ssl.create_default_context(cafile=ca)
            with context.wrap_socket(connection, server_hostname=self.address) as encrypted:
                return self._greets(encrypted)
        return False

    def _greets(self, connection: socket.socket) -> bool:
        return connection.recv(4096).startswith(_GREETINGS[self.service])


def loopback(port_base: int) -> list[Listener]:
    """Return what to listen on: IPv4 and, if this machine has it, IPv6."""
    addresses = [address for address in ("127.0.0.1", "::1") if not Listener(address, 0, "", "").obstacle]
    return [Listener(address, port_base + port, *spoken) for port, spoken in PORTS.items() for address in addresses]


def bound(addresses: Iterable[str]) -> list[socket.socket]:
    """Return a listening socket for each address, all on one port that is free on every one."""
    first, *others = addresses
    while True:
        with ExitStack() as held, suppress(OSError):
            sockets = [held.enter_context(socket.create_server((first, 0)))]
            port = sockets[0].getsockname()[1]
            sockets += [held.enter_context(socket.create_server((address, port))) for address in others]
            held.pop_all()
            return sockets
