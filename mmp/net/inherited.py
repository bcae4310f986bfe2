"""Listening sockets that the process was started with, by the protocol that systemd has for it (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress
from itertools import zip_longest
from typing import Final, NamedTuple

FIRST: Final = 3
"""The descriptor of the first."""
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class Inherited(NamedTuple):
    """A socket and what whoever started us calls it."""

    name: str
    socket: socket.socket


def inherited(environment: MutableMapping[str, str], first: int = FIRST) -> list[Inherited]:
    """Return the sockets that are meant for this process, in their order; whoever owns them closes them.

    They do not block, and no program that we start has them. The variables are taken out of the environment, since
    they are for us alone. Descriptors that are no listening stream sockets stay as they are.
    """
    pid, count, names = (environment.pop(name, "") for name in _VARIABLES)
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
