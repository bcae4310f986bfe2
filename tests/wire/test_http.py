import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.errors import RemoteProtocolError
from mmp.wire.http import ResponseReader, get

ANSWER = b"HTTP/1.1 200 OK\r\nAuth-Status: OK\r\nAUTH-Server:192.0.2.1 \r\nContent-Length: 3\r\n\r\nabc"


def read(octets):
    return ResponseReader().feed(octets)


def test_a_request_has_its_fields_in_order():
    asked = get("/auth?a=b", "example.com:9000", [("Auth-User", b"alice"), ("Auth-Pass", b"\xff")])
    assert asked == b"GET /auth?a=b HTTP/1.1\r\nHost: example.com:9000\r\nAuth-User: alice\r\nAuth-Pass: \xff\r\n\r\n"


@pytest.mark.parametrize("value", [b"a\r\nAuth-Status: OK", b"a\nb", b"a\0b", b"\x7f"])
def test_no_value_adds_a_field(value):
    with pytest.raises(ValueError, match="control character"):
        get("/", "example.com", [("Auth-User", value)])


@given(st.lists(st.integers(1, len(ANSWER)), unique=True).map(sorted))
def test_an_answer_is_read_in_whatever_pieces_it_comes(cuts):
    reader = ResponseReader()
    pieces = [ANSWER[start:end] for start, end in zip([0, *cuts], [*cuts, len(ANSWER)], strict=True)]
    *before, last = [reader.feed(piece) for piece in pieces if piece]
    assert before == [None] * len(before)
    assert (last.status, last.reusable) == (200, True)
    assert last.fields == {"auth-status": b"OK", "auth-server": b"192.0.2.1", "content-length": b"3"}


def test_the_first_of_several_values_counts():
    assert read(b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\nContent-Length: 0\r\n\r\n").fields["a"] == b"1"


def test_what_is_only_on_the_way_is_passed_over():
    assert read(b"HTTP/1.1 100 Continue\r\nA: 1\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n").fields == {}


@pytest.mark.parametrize(
    ("octets", "reusable"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nmore", False),
    ],
)
def test_a_connection_is_used_again_where_the_end_of_the_answer_is_certain(octets, reusable):
    assert read(octets).reusable is reusable


@pytest.mark.parametrize(
    "octets",
    [
        b"220 mail.example.com ESMTP\r\n",
        b"HTTP/2 200\r\n",
        b"HTTP/1.1 20x OK\r\n",
        b"HTTP/1.1 200 OK\r\nno field\r\n",
        b"HTTP/1.1 200 OK\r\n : x\r\n",
        b"HTTP/1.1 200 OK\r\nA : x\r\n",
        b"HTTP/1.1 200 OK\r\nA: 1\r\n folded\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"A%d: x\r\n" % number for number in range(200)),
        b"H" * 9000,
    ],
)
def test_what_is_no_answer_or_too_much_of_one_is_refused(octets):
    with pytest.raises(RemoteProtocolError):
        read(octets)


@given(st.binary())
def test_anything_is_an_answer_or_refused(octets):
    try:
        read(octets)
    except RemoteProtocolError:
        pass
