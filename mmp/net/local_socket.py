"""Listening sockets that are files of this machine (unix(7))."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

BACKLOG: Final = 4096
"""Connections that the kernel keeps for us, at most; its own limit (net.core.somaxconn) may be lower."""


def local_socket(path: str, mode: int) -> socket.socket:
    """Return a socket that listens there, for those whom the mode lets; OSError if it is not to be had.

    One that nobody listens at any more, and that was ours, makes room for it.
    """
    _make_room(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        before = os.umask(0o777 & ~mode)
        try:
            listening.bind(path)
        finally:
            os.umask(before)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def remove(path: str) -> None:
    """Take the file of a socket away that is closed."""
    with suppress(OSError):
        Path(path).unlink()


def _make_room(path: str) -> None:
    """See to it that nothing is at the path, and that there is a folder for it."""
    Path(path).parent.mkdir(mode=0o755, exist_ok=True)
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(f"{path} is there and is no socket")
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{path} is somebody else's: of the user with the number {found.st_uid}")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
        else:
            raise FileExistsError(f"another process listens at {path}")
