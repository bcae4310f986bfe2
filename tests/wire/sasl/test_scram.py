import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.errors import Refused
from mmp.model import Credentials, Refusal, Replay
from mmp.wire.sasl import MECHANISMS, SASLError, initial_response

RFC_5802_5 = b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"
RFC_7677_3 = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
BOTH = pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256"])


def told(message, mechanism="SCRAM-SHA-256"):
    return MECHANISMS[mechanism](b"<1.2@mail.example.com>").next(message)


@BOTH
def test_without_a_message_the_challenge_is_empty(mechanism):
    assert told(None, mechanism) == b""


def test_the_name_is_read_from_the_examples_of_rfc_5802_and_7677():
    assert told(RFC_5802_5, "SCRAM-SHA-1") == Credentials("SCRAM-SHA-1", "user", RFC_5802_5)
    assert told(RFC_7677_3, "SCRAM-SHA-256") == Credentials("SCRAM-SHA-256", "user", RFC_7677_3)


@pytest.mark.parametrize(
    ("message", "user", "authzid"),
    [
        (b"y,,n=user,r=x", "user", ""),
        (b"n,a=other,n=user,r=x", "user", "other"),
        (b"n,a=user,n=user,r=x", "user", ""),
        (b"n,a=o=2Cther,n=us=3Der=2C,r=x", "us=er,", "o,ther"),
        (b"n,,n=j\xc3\xb6rg,r=x", "j\xf6rg", ""),
        (b"n,,n=user,r=x,e=xtension,f=u=r=t=her", "user", ""),
    ],
)
def test_names_are_read_as_they_are_meant_and_the_message_is_left_as_it_is(message, user, authzid):
    assert told(message) == Credentials("SCRAM-SHA-256", user, message, authzid)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n,,",
        b"n=user,r=x",
        b"n,n=user,r=x",
        b"n,,n=,r=x",
        b"n,,n=user",
        b"n,,n=user,r=",
        b"n,,n=user,r=x y",
        b"n,,r=x,n=user",
        b"n,,m=ext,n=user,r=x",
        b"n,,n=us=er,r=x",
        b"n,,n=us=2cer,r=x",
        b"n,,n=us\0er,r=x",
        b"n,,n=us\ner,r=x",
        b"n,,n=us\xffer,r=x",
        b"n,a=\xff,n=user,r=x",
        b"n,,n=user,r=x,odd",
        b"N,,n=user,r=x",
        b"n,,n=" + b"u" * 1025 + b",r=x",
    ],
)
def test_messages_out_of_shape_are_refused(message):
    with pytest.raises(SASLError):
        told(message)


def test_channel_binding_is_refused():
    with pytest.raises(SASLError, match="Channel binding"):
        told(b"p=tls-exporter,,n=user,r=x")


@given(st.binary() | st.binary().map(lambda octets: b"n,,n=user," + octets))
def test_whatever_the_message_only_its_own_error_comes_out(message):
    try:
        credentials = told(message)
    except SASLError:
        return
    assert credentials.user
    assert credentials.secret == message


@BOTH
@pytest.mark.parametrize("message", [RFC_7677_3, b"y,,n=user,r=x", b"n,a=user,n=user,r=x,e=x"])
def test_the_store_hears_the_message_octet_for_octet(mechanism, message):
    assert initial_response(Replay("user", message, mechanism=mechanism)) == message


@pytest.mark.parametrize(
    ("message", "user", "authzid"),
    [
        (b"n,,n=user@example.com,r=x", "user", ""),
        (b"n,a=other,n=user,r=x", "user", ""),
        (b"n,,n=user,r=x", "user", "other"),
    ],
)
def test_names_that_the_store_knows_by_others_cannot_be_told(message, user, authzid):
    with pytest.raises(Refused) as refused:
        initial_response(Replay(user, message, authzid, mechanism="SCRAM-SHA-256"))
    assert refused.value.refusal is Refusal.BACKEND_UNAVAILABLE
