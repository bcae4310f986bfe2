"""What has changed in a directory: collected for a moment, so that many changes cost hardly more than one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

MOMENT: Final = 0.25
"""Seconds that a change waits for others."""
MOST: Final = 1000
"""Names at a time. With more it is as if all that there is had changed, which costs no memory to remember."""
REST: Final = 1.0
"""Seconds until all may change again: who hears of it has to look at all sessions."""
PIECE: Final = 16384
"""Octets of names in one message."""

_BLANKS = re.compile(r" *([,+=]) *")

Changed = Collection[str] | None
"""Names of entries as ``comparable`` gives them; None if anything may have changed."""


class Changes:
    """Collects names, and tells them together."""

    def __init__(self, clock: IReactorTime, tell: Callable[[Changed], None]) -> None:
        self._clock = clock
        self._tell = tell
        self._names: set[str] = set()
        self._everything = False
        self._next: IDelayedCall | None = None
        self._not_before = 0.0

    def entry(self, name: str) -> None:
        """This entry was changed, added or removed, or has been called so."""
        if not self._everything:
            self._names.add(comparable(name))
            if len(self._names) > MOST:
                self.everything()
        self._tell_soon()

    def everything(self) -> None:
        """Anything may have changed."""
        self._everything = True
        self._names.clear()
        self._tell_soon()

    def _tell_soon(self) -> None:
        if self._next is None:
            self._next = self._clock.callLater(MOMENT, self._tell_now)

    def _tell_now(self) -> None:
        self._next = None
        now = self._clock.seconds()
        if not self._everything:
            names, self._names = self._names, set()
            self._tell(names)
        elif now < self._not_before:
            self._next = self._clock.callLater(self._not_before - now, self._tell_now)
        else:
            self._everything, self._not_before = False, now + REST
            self._tell(None)


def comparable(name: str) -> str:
    """Return the name of an entry in a form that is the same however a server spells it at the moment."""
    folded = name.casefold()
    return _BLANKS.sub(r"\1", folded) if " " in folded else folded


def pack(changed: Changed) -> Iterator[bytes]:
    """Yield messages for ``unpack``, which together tell of all that."""
    if changed is None:
        yield b"null"
        return
    piece: list[str] = []
    size = 0
    for name in changed:
        octets = len(json.dumps(name)) + 1
        if octets > PIECE:  # no server has such a name; but none shall be missed
            yield b"null"
            return
        if size + octets > PIECE:
            yield _pack(piece)
            piece, size = [], 0
        piece.append(name)
        size += octets
    if piece:
        yield _pack(piece)


def _pack(names: Sequence[str]) -> bytes:
    return json.dumps(names, separators=(",", ":")).encode()


def unpack(message: bytes) -> Changed:
    """Return what a message tells."""
    names = json.loads(message)
    return None if names is None else frozenset(names)
