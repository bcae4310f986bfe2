"""Received bytes, taken from the front as lines or counted octets; bounded and linear in time whatever the chunks."""

from __future__ import annotations

from mmp.errors import RemoteProtocolError


class Buffer(bytearray):
    """Bytes received and not yet consumed; they are taken by the methods here alone.

    Where the search for the end of a line stopped is remembered, and CPython's ``bytearray`` gives up bytes at its
    front without moving the rest, so each byte is looked at once. To be one, and not to have one, saves ten calls of
    Python at a login.
    """

    __slots__ = ("_searched",)

    def __init__(self) -> None:
        self._searched = 0

    __repr__ = __str__ = object.__repr__  # there may be secrets among them

    feed = bytearray.extend
    """Adds what was received."""

    def front(self, count: int) -> bytes:
        """Return the next bytes, at most so many, and leave them there."""
        return bytes(self[:count])

    def line(self, limit: int) -> bytes | None:
        """Take the next line with its terminator, or return None until it is whole.

        LF ends it: whether CR must stand before is for the caller to say. RemoteProtocolError if it has more than
        ``limit`` octets, terminator included.
        """
        end = self.find(b"\n", self._searched, limit) + 1
        if end:
            return self._cut(end)
        if len(self) >= limit:
            raise RemoteProtocolError(f"Line longer than {limit} octets")
        self._searched = len(self)
        return None

    def take(self, count: int) -> bytes | None:
        """Take exactly so many octets, or return None until they are there."""
        return self._cut(count) if len(self) >= count else None

    def rest(self) -> bytes:
        """Take everything."""
        return self._cut(len(self)) if self else b""

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        self._searched = 0

    def _cut(self, end: int) -> bytes:
        self._searched = 0
        taken = bytes(self[:end])
        del self[:end]
        return taken


def taken(parts: list[bytes]) -> bytes:
    """Return what was collected in pieces, and empty the list."""
    octets = b"".join(parts)
    parts.clear()
    return octets
