import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.errors import Refused
from mmp.model import Credentials, Refusal, Replay
from mmp.wire.sasl import SASLError, initial_response
from mmp.wire.sasl.plain import PlainServer
from tests.strategies import secrets, user_names


def test_plain_without_a_message_gets_an_empty_challenge():
    assert PlainServer().next(None) == b""


@pytest.mark.parametrize(
    ("message", "user", "secret", "authzid"),
    [
        (b"\0tim\0tanstaaftanstaaf", "tim", b"tanstaaftanstaaf", ""),
        (b"Ursel\0Kurt\0xipj3plmq", "Kurt", b"xipj3plmq", "Ursel"),
    ],
)
def test_plain_takes_the_examples_of_rfc_4616(message, user, secret, authzid):
    assert PlainServer().next(message) == Credentials("PLAIN", user, secret, authzid)


def test_an_authzid_that_says_the_same_is_none():
    assert PlainServer().next(b"tim\0tim\0secret").authzid == ""


@given(user_names, secrets, st.just("") | user_names)
def test_plain_takes_what_plain_says(user, secret, authzid):
    message = initial_response(Replay(user, secret, authzid))
    assert PlainServer().next(message) == Credentials("PLAIN", user, secret, "" if authzid == user else authzid)


@given(st.binary())
def test_whatever_the_message_only_its_own_error_comes_out(message):
    try:
        credentials = PlainServer().next(message)
    except SASLError:
        return
    assert credentials.user
    assert b"\0" not in credentials.secret


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"user",
        b"\0user",
        b"\0user\0secret\0",
        b"\0\0secret",
        b"\0us\xffer\0secret",
        b"\xc0\x80\0user\0secret",
        b"\0us\r\ner\0secret",
        b"\0us\x1b[2Jer\0secret",
        b"\0us\xc2\x85er\0secret",
        b"adm\nin\0user\0secret",
        b"\0" + b"u" * 1025 + b"\0secret",
    ],
)
def test_plain_refuses_names_that_are_none_and_messages_out_of_shape(message):
    with pytest.raises(SASLError) as refused:
        PlainServer().next(message)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "replay", [Replay("us\0er", b"s"), Replay("user", b"se\0cret"), Replay("user", b"s", "o\0ther")]
)
def test_a_nul_cannot_be_replayed(replay):
    with pytest.raises(Refused) as refused:
        initial_response(replay)
    assert refused.value.refusal is Refusal.BAD_CREDENTIALS
