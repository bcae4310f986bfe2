import pytest

from mmp.model import Credentials, Replay
from mmp.wire.sasl import SASLError, login_responses
from mmp.wire.sasl.login import LoginServer


@pytest.mark.parametrize("initial", [None, b"tim"], ids=["asked for", "initial response"])
def test_login_asks_for_the_name_and_then_for_the_password(initial):
    exchange = LoginServer()
    if initial is None:
        assert exchange.next(None) == b"Username:"
    assert exchange.next(b"tim") == b"Password:"
    assert exchange.next(b"tanstaaftanstaaf") == Credentials("LOGIN", "tim", b"tanstaaftanstaaf")


def test_a_name_that_is_empty_is_not_one_that_is_absent():
    with pytest.raises(SASLError, match="Empty user name"):
        LoginServer().next(b"")


@pytest.mark.parametrize("responses", [(b"us\xffer",), (b"us\r\ner",), (b"u" * 1025,), (b"user", b"sec\0ret")])
def test_login_refuses_names_that_are_none_and_passwords_with_nul(responses):
    exchange = LoginServer()
    *usual, last = responses
    for response in usual:
        exchange.next(response)
    with pytest.raises(SASLError) as refused:
        exchange.next(last)
    assert "ret" not in str(refused.value)


def test_the_password_may_be_anything_else():
    exchange = LoginServer()
    exchange.next(b"j\xc3\xb6rg")
    assert exchange.next(b"").secret == b""
    assert exchange.next(b"\xff\r\n").secret == b"\xff\r\n"


def test_a_store_is_told_both_in_turn():
    assert login_responses(Replay("j\xf6rg", b"secret")) == (b"j\xc3\xb6rg", b"secret")
