import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.errors import RemoteProtocolError
from mmp.wire.buffer import Buffer
from tests.strategies import cut


def lines_of(chunks, limit=100):
    buffer, lines = Buffer(), []
    for chunk in chunks:
        buffer.feed(chunk)
        while (line := buffer.line(limit)) is not None:
            lines.append(line)
    return lines, buffer.rest()


def test_a_line_comes_with_its_terminator_and_leaves_the_rest():
    assert lines_of([b"one\r\ntwo\nthr"]) == ([b"one\r\n", b"two\n"], b"thr")


@given(st.binary().map(lambda octets: octets.replace(b"\x01", b"\r\n")), st.sets(st.integers(0, 50)))
def test_chunks_make_no_difference(octets, places):
    assert lines_of(cut(octets, places), 1000) == lines_of([octets], 1000)


def test_eighty_thousand_lines_of_one_octet_come_out_of_one_chunk():
    lines, rest = lines_of([b"\n" * 80_000])
    assert (len(lines), rest) == (80_000, b"")


def test_a_line_at_the_limit_is_taken():
    assert lines_of([b"12345678\r\n"], limit=10) == ([b"12345678\r\n"], b"")


@pytest.mark.parametrize(
    "chunks", [[b"123456789\r\n"], [b"123456789\r", b"\n"], [b"1234567890"], [b"1234567890123", b"\n"]]
)
def test_a_line_beyond_the_limit_is_an_error(chunks):
    with pytest.raises(RemoteProtocolError):
        lines_of(chunks, limit=10)


def test_counted_octets_come_once_all_are_there():
    buffer = Buffer()
    buffer.feed(b"abc")
    assert buffer.take(5) is None
    buffer.feed(b"defg")
    assert buffer.take(5) == b"abcde"
    assert buffer.take(0) == b""
    assert (len(buffer), buffer.rest(), len(buffer)) == (2, b"fg", 0)


def test_a_line_is_found_where_octets_were_taken_before_it():
    buffer = Buffer()
    buffer.feed(b"12345")
    assert buffer.line(10) is None
    assert buffer.take(4) == b"1234"
    buffer.feed(b"\n")
    assert buffer.line(10) == b"5\n"


def test_nothing_of_it_is_shown():
    buffer = Buffer()
    buffer.feed(b"a LOGIN alice secret\r\n")
    assert "secret" not in f"{buffer!r} {buffer}"
