"""Search filters (RFC 4515), encoded once; each search fills in its values.

A value becomes an octet string inside a filter that is already parsed, so nothing in it can be read as filter: there is
nothing to escape.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from attrs import frozen
from ldap3.core.exceptions import LDAPExceptionError
from ldap3.operation.search import compile_filter, parse_filter
from ldap3.utils.asn1 import encode

from mmp.directory.ldap.ber import CONSTRUCTED, content, element
from mmp.directory.names import Names, field_of, reader_of

_NAMELESS = re.compile(r"\((?!\s*[&|!]|\s*[A-Za-z0-9.;:-]+\s*[~<>]?=)")
"""A parenthesis that begins neither a combination nor a comparison of an attribute named outright."""
_BAD_ESCAPE = re.compile(r"\\(?![0-9A-Fa-f]{2})")
_MARK = re.compile(rb"\0([A-Za-z])")
"""What ``%`` and a letter are while the filter is parsed. A filter of an operator's has no other use for NUL."""


@frozen
class _Filled:
    """An element to fill in: its content is octets as they are, values by their number, and more such elements."""

    tag: int
    parts: tuple[bytes | int | _Filled, ...]

    def encode(self, values: Sequence[bytes]) -> bytes:
        return element(self.tag, b"".join([_encode(part, values) for part in self.parts]))


@frozen
class FilterTemplate:
    """A filter with ``%s`` and the like where a login's values go."""

    values: Callable[[Names], tuple[str, ...]]
    """Reads those that it asks for: if they are equal, so is the filter."""
    root: bytes | _Filled

    @classmethod
    def parse(cls, text: str) -> FilterTemplate:
        """Read a filter; ValueError with the rest of the sentence 'the filter …' if it cannot be read."""
        letters = list(dict.fromkeys(re.findall("%(.?)", text)))
        fields = [field_of(letter) for letter in letters]
        encoded = _parse(text)
        (root,) = _parts(encoded, 0, len(encoded), letters)
        return cls(reader_of(fields), root)

    def encode(self, values: Sequence[str]) -> bytes:
        """Return the filter in BER with these values."""
        return _encode(self.root, [value.encode() for value in values])


def _encode(part: bytes | int | _Filled, values: Sequence[bytes]) -> bytes:
    if isinstance(part, bytes):
        return part
    return values[part] if isinstance(part, int) else part.encode(values)


def _parse(text: str) -> bytes:
    """Return the filter in BER, with marks; the checks are those that ldap3 does not make."""
    if "\0" in text or r"\00" in text:
        raise ValueError("has a NUL, which no attribute has")
    if nameless := _NAMELESS.search(text):
        raise ValueError(f"has no attribute's name behind the parenthesis at character {nameless.end()}")
    if escape := _BAD_ESCAPE.search(text):
        raise ValueError(f"has a backslash without two hexadecimal digits at character {escape.end()}")
    try:
        parsed = parse_filter(text.replace("%", "\0"), None, False, False, None, False)  # noqa: FBT003 - ldap3's order
        return bytes(encode(compile_filter(parsed.elements[0])))
    except (LDAPExceptionError, AttributeError):  # the latter comes of a parenthesis too many
        raise ValueError("is not of the form that RFC 4515 describes") from None


def _parts(octets: bytes, start: int, stop: int, letters: Sequence[str]) -> Iterator[bytes | _Filled]:
    """Yield the elements between two positions, those with a mark in them taken apart."""
    while start < stop:
        tag = octets[start]
        inner, end = content(octets, start, stop, tag)
        if b"\0" not in octets[inner:end]:
            yield octets[start:end]
        elif tag & CONSTRUCTED:
            yield _Filled(tag, tuple(_parts(octets, inner, end, letters)))
        else:
            yield _Filled(tag, tuple(_pieces(octets[inner:end], letters)))
        start = end


def _pieces(value: bytes, letters: Sequence[str]) -> Iterator[bytes | int]:
    """Yield the fixed pieces of a value, and for each mark the number of what is filled in there."""
    for place, piece in enumerate(_MARK.split(value)):
        if place % 2:
            yield letters.index(piece.decode())
        elif piece:
            yield piece
