"""What clients should not send, and what becomes of it."""

import base64

import pytest

from mmp.errors import RemoteProtocolError
from mmp.model import Credentials, Offer, Refusal
from mmp.wire.events import LoggedIn, Login
from mmp.wire.pop3.server import LINE_LIMIT, SECRET_LIMIT, Server
from mmp.wire.toward_client import COMMANDS_LIMIT, ERRORS_LIMIT

CLEAR = Offer(mechanisms=(), plaintext=False, starttls=True)
OPEN = Offer(mechanisms=("PLAIN", "CRAM-MD5"), plaintext=True, starttls=False)
NOOP = b"NOOP\r\n"
NOOP_OK = b"+OK Still here\r\n"
DIGEST = b"c4c9334bac560ecc979e58001b3e22fb"


def greeted(offer=OPEN):
    core = Server(offer=offer, hostname="mail.example.com", timestamp=b"<1@mail.example.com>")
    core.greet()
    core.data_to_send()
    return core


def said_to(core, octets):
    """Return what a core answers to octets that lead to no event."""
    core.receive_data(octets)
    assert core.next_event() is None
    return core.data_to_send()


def ended_by(octets, offer=OPEN):
    """Return the last words to octets that end the connection."""
    core = greeted(offer)
    core.receive_data(octets)
    with pytest.raises(RemoteProtocolError) as error:
        while core.next_event() is not None:
            core.refuse(Refusal.BAD_CREDENTIALS)
    assert b"secret" not in str(error.value).encode()
    words = core.data_to_send()
    core.receive_data(NOOP)
    assert core.next_event() is None
    assert core.data_to_send() == b""
    assert core.buffered == 0
    return words


@pytest.mark.parametrize(
    "line",
    [
        b"\r\n",
        b" \r\n",
        b" NOOP\r\n",
        b"NOOP \r\n",
        b"NOOP x\r\n",
        b"NOOP\n",
        b"NOOP\r\r\n",
        b"NO\rOP\r\n",
        b"NOOP\0\r\n",
        b"CAPA all\r\n",
        b"QUIT now\r\n",
        b"STLS\r\n",
        b"STLS now\r\n",
        b"XYZZY\r\n",
        b"XFORWARD ADDR=127.0.0.1\r\n",
        b"\xc3\xa9\r\n",
        b"x" * 41 + b"\r\n",
        b"STAT\r\n",
        b"RETR 1\r\n",
        b"LIST\r\n",
        b"USER\r\n",
        b"USER \r\n",
        b"USER us\xffer\r\n",
        b"USER us\x1ber\r\n",
        b"USER us\0er\r\n",
        b"USER us\rer\r\n",
        b"USER user\n",
        b"PASS secret\r\n",
        b"PASS\r\n",
        b"PASS secret\n",
        b"APOP\r\n",
        b"APOP user\r\n",
        b"APOP user " + DIGEST[1:] + b"\r\n",
        b"APOP user " + DIGEST + b" \r\n",
        b"APOP user x" + DIGEST[1:] + b"\r\n",
        b"APOP  " + DIGEST + b"\r\n",
        b"APOP us\0er " + DIGEST + b"\r\n",
        b"AUTH \r\n",
        b"AUTH PLAIN \r\n",
        b"AUTH PLAIN !!!!\r\n",
        b"AUTH PLAIN =AAA\r\n",
        b"AUTH PLAIN AAA=BBB\r\n",
        b"AUTH PLAIN AHVzZXIAc2VjcmV\r\n",
        b"AUTH PLAIN AHVzZXIAc2VjcmV0 x\r\n",
        b"AUTH PLAIN AHVzZXIAc2VjcmV0\n",
        b"AUTH PLAIN " + base64.b64encode(b"user\0secret") + b"\r\n",
        b"AUTH PLAIN " + base64.b64encode(b"\0us\xffer\0secret") + b"\r\n",
        b"AUTH XYZZY\r\n",
    ],
)
def test_what_breaks_the_grammar_is_an_error_and_the_next_command_is_heard(line):
    core = greeted()
    assert said_to(core, NOOP) == NOOP_OK
    answer = said_to(core, line)
    assert answer.startswith(b"-ERR ")
    assert answer.count(b"\r\n") == 1
    assert b"secret" not in answer
    assert said_to(core, NOOP) == NOOP_OK


def test_a_nul_in_the_password_is_refused():
    core = greeted()
    said_to(core, b"USER user\r\n")
    assert said_to(core, b"PASS sec\0et\r\n").startswith(b"-ERR ")


@pytest.mark.parametrize(
    "response", [b"!!!!", b"=", b"=AAA", b"AAA=BBB", b"AHVzZXIAc2VjcmV0 ", b"AHVz\rZXI", b"YQ==", b"**"]
)
def test_responses_that_are_no_base64_or_no_plain_end_the_exchange(response):
    core = greeted()
    said_to(core, b"AUTH PLAIN\r\n")
    assert said_to(core, response + b"\r\n").startswith(b"-ERR ")
    assert said_to(core, NOOP) == NOOP_OK


def test_a_response_ended_by_a_bare_lf_is_refused():
    core = greeted()
    said_to(core, b"AUTH PLAIN\r\n")
    assert said_to(core, b"AHVzZXIAc2VjcmV0\n").startswith(b"-ERR ")


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: mail.example.com\r\n\r\nUSER user\r\nPASS secret\r\n",
        b"POST / HTTP/1.1\r\n\r\nUSER user\r\nPASS secret\r\n",
        b"EHLO client.example.com\r\n",
        b"a LOGIN user secret\r\n",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\r\n",
        b"XYZZY\r\n",
        b"\0\0\0\r\n",
        b"\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
        b"\x16",
        b"\x16\x03\x01",
    ],
)
def test_a_first_line_that_is_not_pop3_ends_it_at_once(first):
    assert ended_by(first) == b"-ERR This is a port for POP3\r\n"


def test_a_known_command_out_of_place_is_no_reason_to_end_it():
    assert said_to(greeted(), b"STAT\r\n").startswith(b"-ERR ")
    assert said_to(greeted(), b"NOOP\n").startswith(b"-ERR ")
    assert said_to(greeted(), b"UTF8\r\n").startswith(b"-ERR ")


@pytest.mark.parametrize(
    "command", [b"a" * 255, b"NOOP " + b"x" * 250, b"USER " + b"x" * 249 + b"\r\n", b"a" * 100_000]
)
def test_a_line_beyond_255_octets_ends_it(command):
    assert ended_by(NOOP + command) == NOOP_OK + b"-ERR Line longer than 255 octets\r\n"


def test_a_line_of_255_octets_is_taken():
    name = b"u" * (LINE_LIMIT - 7)
    assert said_to(greeted(), b"USER %b\r\n" % name) == b"+OK Password required\r\n"


@pytest.mark.parametrize("first", [b"PASS ", b"AUTH PLAIN ", b"auth plain ", b"AUTH PLAIN\r\n"])
def test_where_a_secret_stands_64_kib_end_it(first):
    words = ended_by(first + b"A" * SECRET_LIMIT)
    assert words.removeprefix(b"+ \r\n") == b"-ERR Line longer than 65536 octets\r\n"


def test_a_password_of_60_kib_is_taken():
    core = greeted()
    core.receive_data(b"USER user\r\nPASS " + b"s" * 60_000 + b"\r\n")
    assert core.next_event() == Login(Credentials("USER", "user", b"s" * 60_000))


@pytest.mark.parametrize("password", [b"", b" ", b" two  words ", b"\xff\xfe", "grüße".encode(), b"a\rb", b'%{x}\\"'])
def test_a_password_is_what_follows_one_space(password):
    core = greeted()
    core.receive_data(b"USER user\r\npass " + password + b"\r\n")
    assert core.next_event() == Login(Credentials("USER", "user", password))


@pytest.mark.parametrize("name", ["user", "us er", "user*master", "jürgen@exämple.org", "DOM\\user"])
def test_a_name_is_what_follows_one_space(name):
    core = greeted()
    core.receive_data(f"user {name}\r\npass secret\r\n".encode())
    assert core.next_event() == Login(Credentials("USER", name, b"secret"))


def test_the_name_given_last_counts():
    core = greeted()
    core.receive_data(b"USER one\r\nCAPA\r\nUSER two\r\nPASS secret\r\n")
    assert core.next_event().credentials.user == "two"


def test_a_name_serves_for_one_password():
    core = greeted()
    core.receive_data(b"USER one\r\nPASS wrong\r\n")
    core.next_event()
    core.refuse(Refusal.BAD_CREDENTIALS)
    core.data_to_send()
    assert said_to(core, b"PASS secret\r\n").startswith(b"-ERR ")


def test_digests_are_read_in_either_case():
    core = greeted()
    core.receive_data(b"APOP us er " + DIGEST.upper() + b"\r\n")
    assert core.next_event().credentials.user == "us er"


def test_errors_end_it_in_the_end():
    words = ended_by(NOOP + b"XYZZY\r\n" * 50).removeprefix(NOOP_OK).split(b"\r\n")
    assert words == [b"-ERR Unknown command"] * ERRORS_LIMIT + [b"-ERR Too many errors", b""]


def test_cancelled_exchanges_count_as_errors():
    words = ended_by(b"AUTH PLAIN\r\n*\r\n" * 50)
    assert words.count(b"-ERR Authentication cancelled") == ERRORS_LIMIT


def test_ten_thousand_commands_in_one_segment_are_not_all_answered():
    words = ended_by(NOOP * 10_000).split(b"\r\n")
    assert words == [NOOP_OK.strip()] * COMMANDS_LIMIT + [b"-ERR Too many errors", b""]


def test_refusals_without_end_are_not_all_answered():
    assert ended_by(b"USER user\r\n" * 10_000, CLEAR).count(b"-ERR [SYS/PERM]") == COMMANDS_LIMIT
    assert ended_by(b"USER user\r\nPASS secret\r\n" * 10_000).count(b"-ERR [AUTH]") == COMMANDS_LIMIT // 2


def test_the_words_of_a_store_cannot_break_the_line():
    core = greeted()
    core.receive_data(b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n")
    core.next_event()
    core.accept(LoggedIn((), b"[AUTH] come\r\n-ERR in\0" + b"x" * 10_000, b""))
    said = core.data_to_send()
    assert said.startswith(b"+OK AUTH] come  -ERR in x")
    assert said.index(b"\r\n") == len(said) - 2
    assert len(said) <= 512
