"""Having the kernel find out that the other end of a silent connection is gone."""

from __future__ import annotations

import socket

SILENCE = 600
"""Seconds without traffic after which the kernel begins to ask."""
INTERVAL = 60
"""Seconds between two questions."""
QUESTIONS = 5
"""Without an answer, after which the connection is broken: within a quarter of an hour in all."""


def keep_alive(sock: socket.socket) -> None:
    """Turn it on, for this socket and those that are accepted on it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, INTERVAL)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, QUESTIONS)
