"""Received bytes, taken from the front as lines or counted octets; bounded and linear in time whatever the chunks."""

from __future__ import annotations

from mmp.errors import RemoteProtocolError


class Buffer:
    """Bytes received and not yet consumed.

    Where the search for the end of a line stopped is remembered, and CPython's ``bytearray`` gives up bytes at its
    front without moving the rest, so each byte is looked at once.
    """

    __slots__ = ("_octets", "_searched")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._searched = 0

    def __len__(self) -> int:
        return len(self._octets)

    def feed(self, octets: bytes) -> None:
        """Add what was received."""
        self._octets += octets

    def startswith(self, prefix: bytes) -> bool:
        """Tell whether these are the next bytes."""
        return self._octets.startswith(prefix)

    def front(self, count: int) -> bytes:
        """Return the next bytes, at most so many, and leave them there."""
        return bytes(self._octets[:count])

    def line(self, limit: int) -> bytes | None:
        """Take the next line with its terminator, or return None until it is whole.

        LF ends it: whether CR must stand before is for the caller to say. RemoteProtocolError if it has more than
        ``limit`` octets, terminator included.
        """
        octets = self._octets
        end = octets.find(b"\n", self._searched, limit) + 1
        if end:
            return self._cut(end)
        if len(octets) >= limit:
            raise RemoteProtocolError(f"Line longer than {limit} octets")
        self._searched = len(octets)
        return None

    def take(self, count: int) -> bytes | None:
        """Take exactly so many octets, or return None until they are there."""
        return self._cut(count) if len(self._octets) >= count else None

    def rest(self) -> bytes:
        """Take everything."""
        return self._cut(len(self._octets)) if self._octets else b""

    def clear(self) -> None:
        """Forget everything."""
        self._octets.clear()
        self._searched = 0

    def _cut(self, end: int) -> bytes:
        octets = self._octets
        self._searched = 0
        if end == len(octets):  # nearly always: half as dear as to cut it off
            taken = bytes(octets)
            octets.clear()
        else:
            taken = bytes(octets[:end])
            del octets[:end]
        return taken
