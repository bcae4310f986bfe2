"""Puts the lines that a store sends together into replies (RFC 5321, 4.2.1)."""

from __future__ import annotations

from typing import NamedTuple

from attrs import define, field

from mmp.errors import RemoteProtocolError
from mmp.wire.buffer import Buffer
from mmp.wire.submission import grammar

LINE_LIMIT = 16 * 1024
"""Octets in a line: a reply's has 512 at most (RFC 5321, 4.5.3.1.5), one with a challenge 12288 (RFC 4954, 4)."""
LINES_LIMIT = 100
"""Lines in a reply: EHLO's has some ten to twenty, and an endless one has to end somewhere."""


class Reply(NamedTuple):
    """A whole reply: the three digits, and the text of each line behind them."""

    code: bytes
    lines: tuple[bytes, ...]

    @property
    def text(self) -> bytes:
        """The text of all lines, in one."""
        return b" ".join(self.lines)


@define(eq=False, repr=False)
class ReplyReader:
    """Takes replies out of a buffer, one after the other."""

    _code: bytes = field(default=b"", init=False)
    _lines: list[bytes] = field(factory=list, init=False)

    def next(self, received: Buffer) -> Reply | None:
        """Return the next reply, or None until it is whole; RemoteProtocolError if it is none, or too long."""
        while (octets := received.line(LINE_LIMIT)) is not None:
            line = grammar.reply_line(octets)
            if self._lines and line.code != self._code:
                raise RemoteProtocolError("The lines of a reply differ in their code")
            self._code = line.code
            self._lines.append(line.text)
            if not line.more:
                lines = tuple(self._lines)
                self._lines.clear()
                return Reply(line.code, lines)
            if len(self._lines) == LINES_LIMIT:
                raise RemoteProtocolError(f"More than {LINES_LIMIT} lines in a reply")
        return None
