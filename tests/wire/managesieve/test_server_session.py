"""How else the session and our side toward a ManageSieve client work together."""

import pytest

from mmp.wire.events import StartTLS
from tests.wire.managesieve.server_side import MANAGESIEVE
from tests.wire.server_side import CLEAR, OPEN, greeted, made

PLAIN = b'AUTHENTICATE "PLAIN" "AHVzZXIAc2VjcmV0"\r\n'


def test_nothing_of_before_tls_is_known_under_it():
    core = greeted(MANAGESIEVE, CLEAR)
    core.receive_data(b"STARTTLS\r\n")
    assert core.next_event() == StartTLS()
    assert core.data_to_send() == b'OK "Begin TLS negotiation"\r\n'
    core.receive_data(PLAIN)
    assert core.next_event() is None
    core.tls_started(OPEN)
    assert core.next_event() is None
    said = core.data_to_send()
    assert b'"SASL" "PLAIN"\r\n' in said
    assert b"STARTTLS" not in said
    assert said.endswith(b'OK "TLS negotiation completed"\r\n')


def test_implicit_tls_settles_the_offer_before_the_greeting():
    core = made(MANAGESIEVE, CLEAR)
    core.tls_started(OPEN)
    assert core.data_to_send() == b""
    core.greet()
    assert b'"SASL" "PLAIN"\r\n' in core.data_to_send()


@pytest.mark.parametrize(
    ("said", "ttl"),
    [
        (b" ADDR=192.0.2.7 PORT=5 SESSION=s1 TTL=3", 3),
        (b" ttl=3 ADDR=192.0.2.7", 3),
        (b" ADDR=192.0.2.7", None),
        (b" XTTL=3", None),
        (b" TTL=-1", None),
        (b" TTL=1000", None),
        (b"", None),
    ],
)
def test_of_what_a_proxy_says_of_its_client_only_the_way_that_is_left_counts(said, ttl):
    core = greeted(MANAGESIEVE)
    core.receive_data(b"XCLIENT" + said + b"\r\n" + MANAGESIEVE.login(b"secret"))
    login = core.next_event()
    assert (login.credentials.user, login.ttl) == ("user", ttl)
    assert core.data_to_send() == b'OK "Noted"\r\n'
