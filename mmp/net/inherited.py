"""Listening sockets that the process was started with, by the protocol that systemd has for it (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Final, NamedTuple

FIRST: Final = 3
"""The descriptor of the first."""
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class Inherited(NamedTuple):
    """A socket and what whoever started us calls it."""

    name: str
    socket: socket.socket


def started_with() -> dict[str, str]:
    """Return the environment in which the process was started: Twisted takes these variables out of what it is now."""
    pairs = Path("/proc/self/environ").read_bytes().decode(errors="surrogateescape").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def inherited(environment: Mapping[str, str], first: int = FIRST) -> list[Inherited]:
    """Return the sockets that are meant for this process, in their order; whoever owns them closes them.

    They do not block, and no program that we start has them. Descriptors that are no listening stream sockets stay as
    they are.
    """
    pid, count, names = (environment.get(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    called = names.split(":") if names else []
    adopted = [_adopted(first + number) for number in range(int(count))]
    padded = zip_longest(called[: len(adopted)], adopted, fillvalue=None)
    return [Inherited(name or "unknown", each) for name, each in padded if each is not None]


def _adopted(descriptor: int) -> socket.socket | None:
    """Return the descriptor as a socket that listens; None, and it is left alone, if it is none."""
    with suppress(OSError):  # it is closed, or no socket
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's signature
        sock = socket.socket(fileno=descriptor)
        if sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.setblocking(False)  # noqa: FBT003 - likewise
            return sock
        sock.detach()
    return None
