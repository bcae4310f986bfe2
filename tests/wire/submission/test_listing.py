"""What a client hears of a relay's keywords where a guard keeps some of the commands back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.wire.submission.guard import Guard
from mmp.wire.submission.listing import LINE_LIMIT
from tests.strategies import cut
from tests.wire.submission.test_guard import OK, REFUSED, XCLIENT

HELD_BACK = [b"XCLIENT NAME ADDR", b"xforward NAME", b"STARTTLS", b"XPEHLO"]
OTHERS = [b"SIZE 5", b"AUTH PLAIN", b"PIPELINING", b"X-XCLIENT", b"XCLIENTS", b"HELP XCLIENT"]


def reply(*lines):
    """Return a reply of these lines."""
    *before, last = lines
    return b"".join(b"250-%b\r\n" % line for line in before) + b"250 %b\r\n" % last


def heard(said, places=(), command=b"EHLO client\r\n"):
    watched = Guard()
    assert watched.from_client(command) == command
    return b"".join(watched.from_store(chunk) for chunk in cut(said, places))


@pytest.mark.parametrize("place", [1, 2, 3])
@pytest.mark.parametrize("keyword", HELD_BACK)
def test_the_answer_to_ehlo_is_without_what_is_not_to_be_had_wherever_it_stands(keyword, place):
    lines = [b"relay.example.com", b"SIZE 5", b"AUTH PLAIN"]
    assert heard(reply(*lines[:place], keyword, *lines[place:])) == reply(*lines)


@given(st.lists(st.sampled_from(HELD_BACK + OTHERS)), st.sets(st.integers(0, 300)))
def test_chunks_make_no_difference(lines, places):
    kept = [line for line in lines if line not in HELD_BACK]
    assert heard(reply(b"XCLIENT", *lines), places) == reply(b"XCLIENT", *kept)
    assert heard(reply(b"XCLIENT", *lines), range(300)) == reply(b"XCLIENT", *kept)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (b"HELO client\r\n", b"250 XCLIENT\r\n"),
        (b"EHLO client\r\n", b"502 5.5.1 XCLIENT\r\n"),
        (b"EHLO client\r\n", b"\r\n"),
        (b"EHLO client\r\n", b"250-relay\r\n250-\r\n250\r\n"),
        (b"HELP\r\n", b"214-XCLIENT\r\n214-XFORWARD\r\n214 STARTTLS\r\n"),
        (b"NOOP\r\n", b"250-a\r\n250 XCLIENT\r\n"),
        (b"EHLO client\r\n", b"250-" + b"x" * LINE_LIMIT + b"\r\n250 SIZE\r\n"),
    ],
)
def test_all_else_passes(command, said):
    assert heard(said, command=command) == said
    assert heard(said, range(len(said)), command=command) == said


def test_a_refusal_has_its_place_behind_the_answer():
    watched = Guard()
    watched.from_client(b"EHLO client\r\n" + XCLIENT + b"NOOP\r\nEHLO client\r\n")
    said = reply(b"relay", b"SIZE", b"XCLIENT")
    assert watched.from_store(said + OK + said) == reply(b"relay", b"SIZE") + REFUSED + OK + reply(b"relay", b"SIZE")


def test_what_is_kept_of_a_line_without_end_is_bounded():
    watched = Guard()
    watched.from_client(b"EHLO client\r\n")
    passed = b"".join(watched.from_store(b"x" * 100) for _ in range(100))
    assert len(passed) >= 100 * 100 - LINE_LIMIT
