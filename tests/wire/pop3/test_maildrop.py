"""The maildrop that stands in for a store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.wire.pop3.maildrop import MESSAGE_LIMIT, SAID_LIMIT, Maildrop, message
from tests.strategies import chunked
from tests.wire.pop3.pieces import client_pieces

NOTICE = message(b"Subject: Out of service\nFrom: postmaster@example.com\n\nToday\n.there is\n..no mail.\n")
RETRIEVED = (
    b"Subject: Out of service\r\nFrom: postmaster@example.com\r\n\r\nToday\r\n..there is\r\n...no mail.\r\n.\r\n"
)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"STAT", b"+OK 1 %d\r\n" % len(NOTICE)),
        (b"LIST", b"+OK\r\n1 %d\r\n.\r\n" % len(NOTICE)),
        (b"list 1", b"+OK 1 %d\r\n" % len(NOTICE)),
        (b"RETR 1", b"+OK\r\n" + RETRIEVED),
        (b"TOP 1 0", b"+OK\r\nSubject: Out of service\r\nFrom: postmaster@example.com\r\n\r\n.\r\n"),
        (b"TOP 1 2", b"+OK\r\n" + RETRIEVED.replace(b"...no mail.\r\n", b"")),
        (b"TOP 1 999", b"+OK\r\n" + RETRIEVED),
        (b"DELE 1", b"+OK\r\n"),
        (b"NOOP", b"+OK\r\n"),
        (b"RSET", b"+OK\r\n"),
        (b"QUIT", b"+OK Logging out\r\n"),
    ],
)
def test_one_message_is_served(command, answer):
    maildrop = Maildrop(NOTICE)
    assert maildrop.receive_data(command + b"\r\n") == answer
    assert maildrop.closed == (command == b"QUIT")


@pytest.mark.parametrize(
    ("command", "answer"), [(b"STAT", b"+OK 0 0\r\n"), (b"LIST", b"+OK\r\n.\r\n"), (b"UIDL", b"+OK\r\n.\r\n")]
)
def test_without_a_message_it_is_empty(command, answer):
    assert Maildrop(b"").receive_data(command + b"\r\n") == answer


def test_the_message_keeps_its_identity():
    assert Maildrop(NOTICE).receive_data(b"UIDL\r\n") == Maildrop(NOTICE).receive_data(b"UIDL\r\n")
    assert Maildrop(NOTICE).receive_data(b"UIDL 1\r\n").startswith(b"+OK 1 ")


def test_what_is_deleted_is_gone_until_reset():
    maildrop = Maildrop(NOTICE)
    assert maildrop.receive_data(b"DELE 1\r\nSTAT\r\nRETR 1\r\nRSET\r\nSTAT\r\n").split(b"\r\n") == [
        b"+OK",
        b"+OK 0 0",
        b"-ERR No such message",
        b"+OK",
        b"+OK 1 %d" % len(NOTICE),
        b"",
    ]


@pytest.mark.parametrize(
    "command",
    [
        b"RETR",
        b"RETR 0",
        b"RETR 2",
        b"RETR 01",
        b"RETR 1 ",
        b"TOP 1",
        b"TOP 1 -1",
        b"TOP 1 1234567890",
        b"DELE 2",
        b"LIST 2",
        b"UIDL x",
        b"STAT 1",
        b"XYZZY",
        b"",
        b"NOOP x",
        b"USER x",
    ],
)
def test_what_cannot_be_is_an_error(command):
    assert Maildrop(NOTICE).receive_data(command + b"\r\n").startswith(b"-ERR ")


def test_nothing_is_said_without_end():
    maildrop = Maildrop(message(b"Subject: x\n\n" + b"x" * 60_000))
    said = maildrop.receive_data(b"RETR 1\r\n" * 1000)
    assert maildrop.closed
    assert len(said) < SAID_LIMIT + MESSAGE_LIMIT
    assert maildrop.receive_data(b"RETR 1\r\n") == b""


def test_an_endless_line_ends_it():
    maildrop = Maildrop(NOTICE)
    assert maildrop.receive_data(b"x" * 300) == b"-ERR Line longer than 255 octets\r\n"
    assert maildrop.closed


@given(chunked(client_pieces))
def test_chunks_make_no_difference(chunks):
    one, other = Maildrop(NOTICE), Maildrop(NOTICE)
    assert b"".join(map(one.receive_data, chunks)) == other.receive_data(b"".join(chunks))


@given(st.binary(max_size=300))
def test_whatever_the_bytes_no_error_comes_out(octets):
    Maildrop(NOTICE).receive_data(octets)


@pytest.mark.parametrize(
    "octets", [b"", b"\n\nbody", b"no header", b"Subject: \0\n", b"Subject: x\n" + b"x" * MESSAGE_LIMIT]
)
def test_what_is_no_message(octets):
    with pytest.raises(ValueError, match=r"header|NUL"):
        message(octets)
