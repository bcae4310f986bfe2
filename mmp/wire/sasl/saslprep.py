"""SASLprep (RFC 4013): one form for all the ways to write a name that are meant to be the same."""

from __future__ import annotations

import stringprep
from typing import Final
from unicodedata import ucd_3_2_0

_PROHIBITED: Final = (
    stringprep.in_table_c12,  # blanks beyond ASCII
    stringprep.in_table_c21_c22,  # control characters
    stringprep.in_table_c3,  # for private use
    stringprep.in_table_c4,  # no characters
    stringprep.in_table_c5,  # surrogates, which here stand for octets that are no UTF-8
    stringprep.in_table_c6,  # not fit for plain text
    stringprep.in_table_c7,  # not fit for canonical representation
    stringprep.in_table_c8,  # changing how others are displayed
    stringprep.in_table_c9,  # tagging
)


def saslprep(text: str) -> str:
    """Return a name to look up in the form to compare; ValueError if it has characters that no name may have.

    Code points without a character in Unicode 3.2 stay as they are, as they may in what is asked for (RFC 3454, 7).
    """
    if text.isascii():
        prepared = text
    else:
        mapped = (" " if stringprep.in_table_c12(each) else each for each in text if not stringprep.in_table_b1(each))
        prepared = ucd_3_2_0.normalize("NFKC", "".join(mapped))
        _check_direction(prepared)
    if any(prohibits(each) for each in prepared for prohibits in _PROHIBITED):
        raise ValueError("has characters that SASLprep prohibits")
    return prepared


def _check_direction(text: str) -> None:
    """Text from right to left must begin and end so, and have nothing from left to right (RFC 3454, 6)."""
    if not any(map(stringprep.in_table_d1, text)):
        return
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    if not ends or any(map(stringprep.in_table_d2, text)):
        raise ValueError("mixes directions of writing in a way that SASLprep prohibits")
