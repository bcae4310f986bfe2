"""Takes out of a relay's answer to EHLO what a guard does not let pass (RFC 5321, 4.1.1.1 and 4.2.1)."""

from __future__ import annotations

from typing import Final

from attrs import define, field

LINE_LIMIT: Final = 1024
"""Octets of a line that are kept: twice what RFC 5321, 4.5.3.1.5, allows. What is longer ends the filtering."""


@define(eq=False)
class Listing:
    """Filters one reply, in pieces of any size, of which it keeps a line and the one before it.

    The line before is kept since it may turn out to be the last one, and then has to say so.
    """

    withheld: frozenset[bytes]
    """Keywords in upper case."""
    _line: bytes = field(default=b"", init=False)
    _before: bytes = field(default=b"", init=False)
    _passing: bool = field(default=False, init=False)
    """Whether nothing is filtered any more."""

    def passed(self, part: bytes) -> bytes:
        """Return what may pass now; a part has the end of a line at its own end, if anywhere."""
        self._line += part
        self._passing = self._passing or len(self._line) > LINE_LIMIT
        if self._passing:
            octets, self._before, self._line = self._before + self._line, b"", b""
            return octets
        return self._line_ended() if part.endswith(b"\n") else b""

    def _line_ended(self) -> bytes:
        line, self._line = self._line, b""
        is_last = line[3:4] != b"-"
        if self._before and _keyword(line) in self.withheld:
            return _as_last(self._before) if is_last else b""
        before, self._before = self._before, line
        return before + line if is_last else before


def _keyword(line: bytes) -> bytes:
    keyword, *_ = *line[4:].split(maxsplit=1), b""
    return keyword.upper()


def _as_last(line: bytes) -> bytes:
    return line[:3] + b" " + line[4:]
