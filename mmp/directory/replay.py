"""The name that the store is told, made from what the user typed and what the directory says."""

from __future__ import annotations

import re

from attrs import frozen

from mmp.directory.names import Names, field_of
from mmp.errors import Refused
from mmp.interfaces import Entry
from mmp.model import Refusal

_ESCAPE = re.compile(r"%(?:A?\[(?P<attribute>[A-Za-z][A-Za-z0-9-]*)\]|(?P<letter>.?))")


@frozen
class _Typed:
    field: str


@frozen
class _Attribute:
    name: str


@frozen
class ReplayName:
    """A pattern such as ``%U`` or ``%A[uid]@%V``."""

    pieces: tuple[str | _Typed | _Attribute, ...]

    @classmethod
    def parse(cls, pattern: str) -> ReplayName:
        """Read a pattern of text, %s, %o, %U, %V and %A[attribute]; ValueError if there is another ``%`` in it.

        ``%[attribute]`` is the same as the last, and the way to write it in the directory.
        """
        pieces: list[str | _Typed | _Attribute] = []
        end = 0
        for escape in _ESCAPE.finditer(pattern):
            pieces.append(pattern[end : escape.start()])
            pieces.append(_piece(escape))
            end = escape.end()
        pieces.append(pattern[end:])
        return cls(tuple(piece for piece in pieces if piece))

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes that it reads."""
        return tuple(piece.name for piece in self.pieces if isinstance(piece, _Attribute))

    def render(self, names: Names, entry: Entry) -> str:
        """Return the name, or raise Refused if the entry does not give one that can be told."""
        name = ""
        for piece in self.pieces:
            name += getattr(names, piece.field) if isinstance(piece, _Typed) else _text(piece, entry)
        if not name:  # to an administrator's login it would mean the administrator
            raise Refused(Refusal.BACKEND_UNAVAILABLE, "the name for the store is empty")
        if not name.isprintable():
            raise Refused(Refusal.BACKEND_UNAVAILABLE, "the name for the store has characters that cannot be printed")
        return name


def _piece(escape: re.Match[str]) -> _Typed | _Attribute:
    if attribute := escape["attribute"]:
        return _Attribute(attribute)
    return _Typed(field_of(escape["letter"], known="soUV"))


def _text(piece: str | _Attribute, entry: Entry) -> str:
    if isinstance(piece, str):
        return piece
    if values := entry.get(piece.name):
        return values[0]
    raise Refused(Refusal.BACKEND_UNAVAILABLE, f"no {piece.name}, which the name for the store needs")
