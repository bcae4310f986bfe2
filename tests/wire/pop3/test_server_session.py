"""How else the session and our side toward a POP3 client work together."""

import pytest

from mmp.model import Offer
from mmp.wire.events import StartTLS
from tests.wire.pop3.server_side import POP3
from tests.wire.server_side import CLEAR, OPEN, greeted, made

MIXED = Offer(mechanisms=("PLAIN",), plaintext=True, starttls=True)
DIGESTS = Offer(mechanisms=("CRAM-MD5",), plaintext=False, starttls=True)
PLAIN = b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n"


def test_the_greeting_names_the_host():
    core = made(POP3, CLEAR)
    core.greet()
    assert core.data_to_send() == b"+OK mail.example.com ready\r\n"


def test_the_greeting_has_a_timestamp_only_where_digests_are_taken():
    core = made(POP3, DIGESTS)
    core.greet()
    assert core.data_to_send() == b"+OK mail.example.com ready <1@mail.example.com>\r\n"


def test_nothing_of_before_tls_is_known_under_it():
    core = greeted(POP3, MIXED)
    core.receive_data(b"USER somebody\r\nSTLS\r\n")
    assert core.next_event() == StartTLS()
    assert core.data_to_send() == b"+OK Password required\r\n+OK Begin TLS negotiation\r\n"
    core.receive_data(PLAIN)
    assert core.next_event() is None
    core.tls_started(OPEN)
    assert core.next_event() is None
    assert core.data_to_send() == b""
    core.receive_data(b"PASS secret\r\nSTLS\r\n")
    assert core.next_event() is None
    assert core.data_to_send() == b"-ERR USER comes before PASS\r\n-ERR STLS is not available\r\n"


@pytest.mark.parametrize(
    ("said", "ttl"),
    [
        (b"ADDR=192.0.2.7 PORT=5 SESSION=s1 TTL=3", 3),
        (b"ttl=3 ADDR=192.0.2.7", 3),
        (b"ADDR=192.0.2.7", None),
        (b"XTTL=3", None),
        (b"TTL=-1", None),
        (b"TTL=1000", None),
        (b"TTL=3\r", None),
        (b"", None),
    ],
)
def test_of_what_a_proxy_says_of_its_client_only_the_way_that_is_left_counts(said, ttl):
    core = greeted(POP3)
    core.receive_data(b"XCLIENT " + said + b"\r\n" + PLAIN)
    login = core.next_event()
    assert (login.credentials.user, login.ttl) == ("user", ttl)
    assert core.data_to_send() == b"+OK Noted\r\n"


def test_how_often_a_connection_may_be_passed_on_is_forgotten_under_tls():
    core = greeted(POP3, MIXED)
    core.receive_data(b"XCLIENT TTL=1\r\nSTLS\r\n")
    assert core.next_event() == StartTLS()
    core.tls_started(OPEN)
    core.receive_data(PLAIN)
    assert core.next_event().ttl is None


def test_implicit_tls_settles_the_offer_before_the_greeting():
    core = made(POP3, CLEAR)
    core.tls_started(DIGESTS)
    core.greet()
    assert core.data_to_send().endswith(b" <1@mail.example.com>\r\n")
