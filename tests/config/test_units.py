from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.config.units import LONGEST, parse_duration, render_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1ms", 0.001),
        ("500ms", 0.5),
        ("0s", 0),
        ("90s", 90),
        ("1.5s", 1.5),
        ("0.001s", 0.001),
        ("15m", 900),
        ("12h", 43200),
        ("0.5h", 1800),
        ("2d", 172_800),
        ("3650d", LONGEST),
    ],
)
def test_every_unit_is_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "90", "s", "-1s", "+1s", "1 s", " 1s", "1s ", "1S", "1min", "1w", "1.s", ".5s", "1,5s", "1e3s", "٣s", "1s\n"],
)
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match='as in "90s"'):
        parse_duration(text)


@pytest.mark.parametrize("text", ["3651d", "999999999999d", "3650.001d"])
def test_more_than_ten_years_is_taken_for_a_slip(text):
    with pytest.raises(ValueError, match='longer than "3650d"'):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.001, "1ms"), (1, "1s"), (60, "1m"), (90, "90s"), (1800, "30m"), (86400, "1d")]
)
def test_a_duration_is_written_with_the_largest_unit_that_divides_it(seconds, text):
    assert render_duration(seconds) == text


@given(st.integers(0, int(LONGEST * 1000)).map(lambda milliseconds: milliseconds / 1000))
def test_what_is_written_is_read_back_the_same(seconds):
    assert parse_duration(render_duration(seconds)) == seconds


@given(st.text())
def test_no_text_does_worse_than_being_refused(text):
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert 0 <= seconds <= LONGEST
