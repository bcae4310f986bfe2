"""Making listening sockets."""

from __future__ import annotations

import socket

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
