"""Durations as operators write them, such as "90s" or "15m", and back."""

from __future__ import annotations

import re
from typing import Final

UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
"""How many milliseconds each unit has, largest first."""

LONGEST: Final = 3650 * 86400.0
"""Ten years in seconds: anything longer is a slip, and a timer would overflow before it ran out."""

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)")


def parse_duration(text: str) -> float:
    """Return the seconds that a number with a unit stands for; ValueError, worded for the operator, if it is none."""
    if not (match := _DURATION.fullmatch(text)):
        raise ValueError('needs a number and a unit (ms, s, m, h or d), as in "90s"')
    number, unit = match.groups()
    seconds = round(float(number) * UNITS[unit]) / 1000
    if seconds > LONGEST:
        raise ValueError(f'is longer than "{render_duration(LONGEST)}"')
    return seconds


def render_duration(seconds: float) -> str:
    """Write seconds, to the millisecond, with the largest unit that divides them."""
    milliseconds = round(seconds * 1000)
    unit = next((unit for unit, size in UNITS.items() if milliseconds and milliseconds % size == 0), "s")
    return f"{milliseconds // UNITS[unit]}{unit}"
