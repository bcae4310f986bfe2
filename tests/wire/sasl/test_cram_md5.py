import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.wire.sasl import MECHANISMS, SASLError

TIMESTAMP = b"<1896.697170952@postoffice.reston.mci.net>"
RESPONSE = b"tim b913a602c7eda7a495b4e6e7334d3890"


def exchange():
    made = MECHANISMS["CRAM-MD5"](TIMESTAMP)
    assert made.next(None) == TIMESTAMP
    return made


def test_the_example_of_rfc_2195():
    credentials = exchange().next(RESPONSE)
    assert (credentials.mechanism, credentials.user, credentials.secret) == ("CRAM-MD5", "tim", b"")
    assert credentials.proves(b"tanstaaftanstaaf")
    assert not credentials.proves(b"tanstaaftanstaaF")
    assert not credentials.proves(b"")
    assert "b913" not in repr(credentials)


def test_a_name_may_have_blanks():
    assert exchange().next(b"tim and tom " + b"0" * 32).user == "tim and tom"


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"tim",
        b"tim ",
        b" " + b"0" * 32,
        b"tim " + b"0" * 31,
        b"tim " + b"G" * 32,
        b"t\xff " + b"0" * 32,
        b"t\nim " + b"0" * 32,
        b"t" * 1025 + b" " + b"0" * 32,
        RESPONSE.replace(b" ", b""),
        RESPONSE + b"\n",
    ],
)
def test_responses_out_of_shape_are_refused(response):
    with pytest.raises(SASLError):
        exchange().next(response)


@given(st.binary())
def test_whatever_the_response_only_its_own_error_comes_out(response):
    with pytest.raises(SASLError):
        exchange().next(response)
