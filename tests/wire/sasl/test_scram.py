import hashlib
import hmac
import re
from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.errors import Refused
from mmp.model import Credentials, Refusal, Replay
from mmp.wire.sasl import MECHANISMS, SASLError, initial_response
from mmp.wire.sasl.scram import DIGESTS, Keys, Verification

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
    assert refused.value.refusal is Refusal.NOT_AUTHORIZED


RFC_5802 = {
    "mechanism": "SCRAM-SHA-1",
    "first": b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
    "salt": "QSXCR+Q6sek8bf92",
    "nonce": b"3rfcNHYJY1ZVvWVs7j",
    "challenge": b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    "final": b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    "proof": b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
}
RFC_7677 = {
    "mechanism": "SCRAM-SHA-256",
    "first": b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    "salt": "W22ZaJ0SNY7soEsUEjb6gQ==",
    "nonce": b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    "challenge": b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    "final": b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    "proof": b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
}
EXAMPLES = pytest.mark.parametrize("example", [RFC_5802, RFC_7677], ids=["RFC 5802", "RFC 7677"])


def verification(example, password=b"pencil", first=None):
    keys = Keys.derive(example["mechanism"], password, b64decode(example["salt"]))
    return Verification(told(first or example["first"], example["mechanism"]), keys, example["nonce"])


@EXAMPLES
def test_the_examples_are_judged_as_they_are_printed(example):
    exchange = verification(example)
    assert exchange.challenge == example["challenge"]
    assert exchange.verdict(example["final"]) == example["proof"]
    assert "pencil" not in repr(exchange)


@EXAMPLES
@pytest.mark.parametrize(
    "wrong",
    [
        lambda final: b"",
        lambda final: final[:-1],
        lambda final: final + b"=",
        lambda final: final.rpartition(b",p=")[0],
        lambda final: final.rpartition(b",p=")[0] + b",p=",
        lambda final: final.replace(b"biws", b"eSws"),
        lambda final: final.replace(b"r=", b"r=x"),
        lambda final: final.replace(b",p=", b"x,p="),
        lambda final: final.replace(b",p=", b",x=y,p="),
        lambda final: b"p=" + final,
        lambda final: final.upper(),
    ],
)
def test_nothing_but_the_right_response_is_taken(example, wrong):
    assert verification(example).verdict(wrong(example["final"])) is None


@EXAMPLES
def test_another_password_proves_nothing(example):
    assert verification(example, b"Pencil").verdict(example["final"]) is None


def client(mechanism, password, first, challenge, more=b""):
    """Return the response of a client that does what RFC 5802, 3, says, written down independently."""
    digest = DIGESTS[mechanism]
    found = dict(pair.split(b"=", 1) for pair in challenge.split(b","))
    header, bare = re.fullmatch(rb"([^,]*,[^,]*,)(.*)", first).groups()
    salted = hashlib.pbkdf2_hmac(digest, password, b64decode(found[b"s"]), int(found[b"i"]))
    key = hmac.digest(salted, b"Client Key", digest)
    message = b"c=" + b64encode(header) + b",r=" + found[b"r"] + more
    signature = hmac.digest(hashlib.new(digest, key).digest(), b",".join((bare, challenge, message)), digest)
    return message + b",p=" + b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True)))


@pytest.mark.parametrize("more", [b"", b",x=extension", b",p=x"])
@pytest.mark.parametrize("first", [b"y,,n=user,r=abc", b"n,a=user,n=user,r=abc,x=y"])
@BOTH
def test_clients_that_could_bind_and_extensions_are_taken(mechanism, first, more):
    keys = Keys.derive(mechanism, b"secret", b"salt", 4200)
    exchange = Verification(told(first, mechanism), keys, b"nonce")
    response = client(mechanism, b"secret", first, exchange.challenge, more)
    assert exchange.verdict(response).startswith(b"v=")
    other = Verification(told(first, mechanism), keys, b"other")
    assert other.verdict(response) is None


def test_passwords_that_look_alike_are_alike():
    """RFC 4013, 3."""
    for one, other in [("I\xadX", "IX"), ("\xaa", "a"), ("\u2168", "IX"), ("a\xa0b", "a b")]:
        assert Keys.derive("SCRAM-SHA-1", one.encode(), b"s", 1) == Keys.derive("SCRAM-SHA-1", other.encode(), b"s", 1)
    assert Keys.derive("SCRAM-SHA-1", b"\xff", b"s", 1) != Keys.derive("SCRAM-SHA-1", b"", b"s", 1)


@given(st.binary())
def test_whatever_the_response_it_is_judged(response):
    assert verification(RFC_7677).verdict(response) is None
