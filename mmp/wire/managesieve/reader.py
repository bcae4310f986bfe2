"""Cuts what either side sends into commands or responses: lines, and literals between them (RFC 5804, 4).

Neither side waits for a literal to be allowed: it comes, and is read whatever the command is, or the connection ends.
"""

from __future__ import annotations

from typing import NamedTuple

from attrs import define, field

from mmp.errors import RemoteProtocolError
from mmp.wire.buffer import Buffer
from mmp.wire.managesieve import grammar

LINE_LIMIT = 8192
"""Octets in a line, CRLF included: a quoted string has 1024 at most (RFC 5804, 4), but not all clients know that."""
LITERALS_LIMIT = 4
SIZE_LIMIT = 96 * 1024
"""Octets in a command or response with literals: room for an access token of 64 KiB in base64."""


class Sent(NamedTuple):
    """A command or response: its lines in one text, and the literals that the text only announces."""

    text: bytes
    literals: tuple[bytes, ...]


@define(eq=False, repr=False)
class Reader:
    """Takes them out of a buffer, one after the other."""

    _text: bytes = field(default=b"", init=False)
    _literals: tuple[bytes, ...] = field(default=(), init=False)
    _awaited: int | None = field(default=None, init=False)
    _size: int = field(default=0, init=False)

    def next(self, received: Buffer) -> Sent | None:
        """Return the next one, or None until it is whole; RemoteProtocolError if it is too long."""
        while self._take_literal(received):
            line = received.line(LINE_LIMIT)
            if line is None:
                return None
            self._text += line
            self._awaited = grammar.announced(line)
            if self._awaited is None:
                sent = Sent(self._text, self._literals)
                self.clear()
                return sent
            self._size += len(line) + self._awaited
            if self._size > SIZE_LIMIT or len(self._literals) == LITERALS_LIMIT:
                raise RemoteProtocolError("Literal too large, or one too many")
        return None

    def clear(self) -> None:
        """Forget what has come of the next one."""
        self._text, self._literals, self._awaited, self._size = b"", (), None, 0

    def _take_literal(self, received: Buffer) -> bool:
        """Take the awaited literal, if there is one; return whether a line comes next."""
        if self._awaited is None:
            return True
        octets = received.take(self._awaited)
        if octets is None:
            return False
        self._awaited = None
        self._literals += (octets,)
        return True
