"""Pipes through which the kernel moves bytes from one socket to the other without showing them to us (splice(2))."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

CAPACITY = 256 * 1024
"""Bytes in a pipe: 64 pages, one of which a segment of the network may take whole whatever it holds."""
LIMIT = 32
"""Pipes of a worker. Who finds none left is copied for, which costs three times as much and moves the same."""

_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class Pipe:
    """One pipe; ``held`` is how many bytes are in it."""

    __slots__ = ("_reader", "_writer", "held")

    def __init__(self) -> None:
        """Raise OSError if the system has no more."""
        self.held = 0
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with suppress(OSError):  # a user's pipes may take only so much memory; the usual 64 kB do as well
            fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, CAPACITY)

    def fill(self, descriptor: int) -> int:
        """Move in what a socket has received and return how much; 0 at its end; BlockingIOError, OSError."""
        got = os.splice(descriptor, self._writer, CAPACITY, flags=_FLAGS)
        self.held += got
        return got

    def drain(self, descriptor: int) -> None:
        """Move on to a socket what it takes; BlockingIOError if that is nothing, OSError."""
        self.held -= os.splice(self._reader, descriptor, self.held, flags=_FLAGS)

    def close(self) -> None:
        """Close it, with what is in it."""
        os.close(self._reader)
        os.close(self._writer)


class Pipes:
    """The pipes of a worker, each lent to one direction of one relay while it has bytes in it."""

    def __init__(self) -> None:
        self._idle: list[Pipe] = []
        self._lent = 0

    def lend(self) -> Pipe | None:
        """Return an empty pipe, or None if there is none to be had."""
        if self._lent >= LIMIT:
            return None
        try:
            pipe = self._idle.pop() if self._idle else Pipe()
        except OSError:  # descriptors have run out, or the user's share of pipe memory
            return None
        self._lent += 1
        return pipe

    def take_back(self, pipe: Pipe) -> None:
        """Keep it for the next; one with bytes in it is closed, since they are somebody's."""
        self._lent -= 1
        if pipe.held:
            pipe.close()
        else:
            self._idle.append(pipe)

    def close(self) -> None:
        """Close those that are not lent."""
        for pipe in self._idle:
            pipe.close()
        self._idle.clear()
