"""Takes out of a store's lists of capabilities what a guard does not let pass (RFC 9051, 7.1 and 7.2.2)."""

from __future__ import annotations

import re
from typing import Final

from attrs import define, field

from mmp.wire.imap.replies import is_withheld

HEAD_LIMIT: Final = 100
"""Octets at the beginning of a line in which a list has begun, or there is none in it."""
NAME_LIMIT: Final = 64
"""Octets of a capability; a longer one is none that is taken out."""

_BEGUN: Final = re.compile(rb"(?:\*|[^ \r\n]+ OK) \[?CAPABILITY(?= )", re.IGNORECASE)
_NAME: Final = re.compile(rb" ([^] \r\n]*)(?=[] \r\n])")
_UNFINISHED: Final = re.compile(rb" [^] \r\n]*\Z")


@define(eq=False)
class Listing:
    """Filters one line after the other, each in pieces of any size, of which it keeps no more than a name.

    What is no list passes as it is, at once.
    """

    _head: bytes = field(default=b"", init=False)
    _begun: bool = field(default=False, init=False)
    _kept: bytes = field(default=b"", init=False)
    """A space and what has come of the name behind it."""

    def passed(self, part: bytes) -> bytes:
        """Return what may pass of a part of a line; with its end the next line begins."""
        begin = self._begin(part)
        text, self._kept = self._kept + part[begin:], b""
        if self._begun:
            text = self._filtered(text)
        if part.endswith(b"\n"):
            self._head, self._begun = b"", False
        return part[:begin] + text

    def _begin(self, part: bytes) -> int:
        """Take notice of where in this part the names of a list begin."""
        known = len(self._head)
        if self._begun or known == HEAD_LIMIT:
            return 0
        self._head += part[: HEAD_LIMIT - known]
        match = _BEGUN.match(self._head)
        self._begun = match is not None
        return 0 if match is None else max(0, match.end() - known)

    def _filtered(self, text: bytes) -> bytes:
        unfinished = _UNFINISHED.search(text)
        if unfinished is not None and len(unfinished[0]) <= NAME_LIMIT:
            self._kept, text = unfinished[0], text[: unfinished.start()]
            text += b" "  # what ends the name before it
            return _NAME.sub(_unless_withheld, text)[:-1]
        return _NAME.sub(_unless_withheld, text)


def _unless_withheld(match: re.Match[bytes]) -> bytes:
    return b"" if is_withheld(match[1]) else match[0]
