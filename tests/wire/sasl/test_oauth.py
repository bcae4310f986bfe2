"""XOAUTH2 and OAUTHBEARER: an access token, in two spellings."""

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.model import Credentials, Replay
from mmp.wire.sasl import MECHANISMS, SASLError, initial_response
from tests.strategies import user_names

TOKEN = b"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
RFC_7628_4_1 = b64decode(
    b"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRj"
    b"Mk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
)
XOAUTH2_OF_GOOGLE = b64decode(
    b"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZ"
    b"Mjl0Q2cBAQ=="
)
MECHANISM_NAMES = ["XOAUTH2", "OAUTHBEARER"]
BOTH = pytest.mark.parametrize("mechanism", MECHANISM_NAMES)


def told(mechanism, message):
    return MECHANISMS[mechanism](b"<1.2@mail.example.com>").next(message)


@BOTH
def test_without_a_message_the_challenge_is_empty(mechanism):
    assert told(mechanism, None) == b""


def test_the_example_of_rfc_7628_4_1():
    assert told("OAUTHBEARER", RFC_7628_4_1) == Credentials("OAUTHBEARER", "user@example.com", TOKEN)


def test_the_example_of_google():
    token = b"ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"
    assert told("XOAUTH2", XOAUTH2_OF_GOOGLE) == Credentials("XOAUTH2", "someuser@example.com", token)


@pytest.mark.parametrize(
    ("message", "user"),
    [
        (b"n,a=u=2Cs=3Der,\x01auth=Bearer t\x01\x01", "u,s=er"),
        (b"y,a=user,\x01auth=bearer  t\x01qs=\x01\x01", "user"),
        (b"n,,\x01user=user\x01auth=Bearer t\x01\x01", "user"),
        (b"n,a=user,\x01auth=Bearer t\x01user=other\x01\x01", "user"),
    ],
)
def test_where_oauthbearer_has_the_user(message, user):
    assert told("OAUTHBEARER", message) == Credentials("OAUTHBEARER", user, b"t")


@given(st.sampled_from(MECHANISM_NAMES), user_names, st.text("abcXYZ019-._~+/=", min_size=1).map(str.encode))
def test_what_we_say_to_a_store_is_what_we_hear_from_a_client(mechanism, user, token):
    message = initial_response(Replay(user, token, mechanism=mechanism))
    assert told(mechanism, message) == Credentials(mechanism, user, token)


@BOTH
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x01",
        b"\x01\x01",
        b"auth=Bearer t\x01\x01",
        b"user=user\x01\x01",
        b"user=user\x01auth=Bearer \x01\x01",
        b"user=user\x01auth=Basic dTpz\x01\x01",
        b"user=user\x01auth=Bearer t\x01",
        b"user=user\x01auth=Bearer t",
        b"user=user\x01auth=Bearer t\x01\x01x",
        b"user=user\x01auth=Bearer two words\x01\x01",
        b"user=user\x01auth=Bearer t\x01auth=Bearer s\x01\x01",
        b"user=user\x01auth=Bearer t\x01odd\x01\x01",
        b"user=\xff\x01auth=Bearer t\x01\x01",
        b"user=us\ner\x01auth=Bearer t\x01\x01",
        b"user=" + b"u" * 1025 + b"\x01auth=Bearer t\x01\x01",
    ],
)
def test_messages_out_of_shape_are_refused(mechanism, body):
    with pytest.raises(SASLError):
        told(mechanism, body if mechanism == "XOAUTH2" else b"n,,\x01" + body)


@pytest.mark.parametrize(
    "message", [b"", b"\x01", b"n", b"n,a=,\x01", b"x,a=user,\x01", b"n,a=u=ser,\x01", b"n,b=user,\x01", b"n,a=user,"]
)
def test_headers_out_of_shape_are_refused(message):
    with pytest.raises(SASLError):
        told("OAUTHBEARER", message + b"auth=Bearer t\x01\x01")


def test_channel_binding_is_refused():
    with pytest.raises(SASLError, match="Channel binding"):
        told("OAUTHBEARER", b"p=tls-exporter,a=user,\x01auth=Bearer t\x01\x01")


@given(
    st.sampled_from(MECHANISM_NAMES),
    st.binary() | st.binary().map(lambda octets: b"n,a=user,\x01" + octets + b"\x01\x01"),
)
def test_whatever_the_message_only_its_own_error_comes_out(mechanism, message):
    try:
        credentials = told(mechanism, message)
    except SASLError:
        return
    assert credentials.user
    assert credentials.secret.isascii()
