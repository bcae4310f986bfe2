"""The little of BER that LDAP uses (RFC 4511, 5.1): definite lengths, tags of one octet."""

from __future__ import annotations

from typing import Final

from mmp.errors import RemoteProtocolError

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
ENUMERATED: Final = 0x0A
SEQUENCE: Final = 0x30
SET: Final = 0x31
CONTROLS: Final = 0xA0
CONSTRUCTED: Final = 0x20
"""The bit of a tag that says that the content is elements again."""

_LONGEST_NUMBER: Final = 4
_LONG: Final = 0x80
"""The bit of a length's first octet that says how many octets of length follow."""
LONGEST_HEADER: Final = 6
"""Octets of a tag and the longest length that is accepted: four octets of it after the first are plenty."""


def element(tag: int, content: bytes) -> bytes:
    """Return an element in the shortest form."""
    size = len(content)
    if size < _LONG:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG | len(octets))) + octets + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """Return an integer or an enumerated value; none that we send is negative."""
    return element(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def content(octets: bytes, position: int, end: int, tag: int) -> tuple[int, int]:
    """Return where the content of the element at a position begins and stops.

    RemoteProtocolError if there is another tag, or if the element does not stop before the end.
    """
    start = position + 2
    if start > end or octets[position] != tag:
        raise RemoteProtocolError(f"no element {tag:#04x} at octet {position}")
    size = octets[position + 1]
    if size >= _LONG:
        start, size = _long_form(octets, start)
    stop = start + size
    if stop > end:
        raise RemoteProtocolError(f"element at octet {position} is cut off")
    return start, stop


def size_of(octets: bytes | bytearray, tag: int) -> int:
    """Return how long the element is that begins these octets, which are as many as the longest header has."""
    if octets[0] != tag:
        raise RemoteProtocolError(f"{octets[0]:#04x} where an element {tag:#04x} begins")
    start, size = 2, octets[1]
    if size >= _LONG:
        start, size = _long_form(octets, start)
    return start + size


def _long_form(octets: bytes | bytearray, start: int) -> tuple[int, int]:
    """Return where the content starts, and its size, if the length goes on here. The indefinite form has no size."""
    count = octets[start - 1] & ~_LONG
    if not 1 <= count <= LONGEST_HEADER - 2:
        raise RemoteProtocolError(f"length of {count} octets at octet {start}")
    return start + count, int.from_bytes(octets[start : start + count], "big")


def number(octets: bytes, start: int, stop: int) -> int:
    """Return the integer that this content is."""
    if not 1 <= stop - start <= _LONGEST_NUMBER:
        raise RemoteProtocolError(f"number of {stop - start} octets at octet {start}")
    return int.from_bytes(octets[start:stop], "big", signed=True)
