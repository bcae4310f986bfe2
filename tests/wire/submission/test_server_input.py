"""What clients should not send, and what becomes of it."""

import base64

import pytest

from mmp.errors import RemoteProtocolError
from mmp.model import Credentials, Offer, Refusal
from mmp.wire.events import Login
from mmp.wire.submission.server import AUTH_LIMIT, CHUNK_LIMIT, ENVELOPE_LIMIT, LINE_LIMIT, Server
from mmp.wire.toward_client import COMMANDS_LIMIT, ERRORS_LIMIT

CLEAR = Offer(mechanisms=(), plaintext=False, starttls=True)
OPEN = Offer(mechanisms=("PLAIN", "LOGIN"), plaintext=True, starttls=False)
NOOP = b"NOOP\r\n"
NOOP_OK = b"250 2.0.0 Still here\r\n"


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
    ("line", "reply"),
    [
        (b"\r\n", b"500 5.5.2"),
        (b" \r\n", b"500 5.5.2"),
        (b" NOOP\r\n", b"500 5.5.2"),
        (b"NOOP\n", b"500 5.5.2"),
        (b"MAIL FROM:<x>\n", b"500 5.5.2"),
        (b"NOOP\0\r\n", b"500 5.5.2"),
        (b"NOOP\r\r\n", b"500 5.5.2"),
        (b"NO\rOP\r\n", b"500 5.5.2"),
        (b"x" * 41 + b"\r\n", b"500 5.5.2"),
        (b"\xc3\xa9\r\n", b"500 5.5.2"),
        (b'"NOOP"\r\n', b"500 5.5.2"),
        (b"XYZZY\r\n", b"500 5.5.1"),
        (b"XCLIENT ADDR=127.0.0.1 LOGIN=user\r\n", b"500 5.5.1"),
        (b"XFORWARD ADDR=127.0.0.1\r\n", b"500 5.5.1"),
        (b"TURN\r\n", b"500 5.5.1"),
        (b"EHLO\r\n", b"501 5.5.4"),
        (b"EHLO \r\n", b"501 5.5.4"),
        (b"EHLO a b\r\n", b"501 5.5.4"),
        (b"EHLO a\0b\r\n", b"501 5.5.4"),
        (b"EHLO a\rb\r\n", b"501 5.5.4"),
        (b"EHLO " + b"x" * 256 + b"\r\n", b"501 5.5.4"),
        (b"RSET now\r\n", b"501 5.5.4"),
        (b"QUIT now\r\n", b"501 5.5.4"),
        (b"STARTTLS now\r\n", b"501 5.5.4"),
        (b"STARTTLS\r\n", b"503 5.5.1"),
        (b"AUTH\r\n", b"501 5.5.4"),
        (b"AUTH PLAIN a b\r\n", b"501 5.5.4"),
        (b"AUTH PLAIN !!!!\r\n", b"501 5.5.2"),
        (b"AUTH PLAIN =AAA\r\n", b"501 5.5.2"),
        (b"AUTH PLAIN AAA=BBB\r\n", b"501 5.5.2"),
        (b"AUTH PLAIN AHVzZXIAc2VjcmV\r\n", b"501 5.5.2"),
        (b"AUTH PLAIN AHVzZXIAc2VjcmV0\n", b"500 5.5.2"),
        (b"AUTH PLAIN " + base64.b64encode(b"user\0secret") + b"\r\n", b"501 5.5.2"),
        (b"AUTH PLAIN " + base64.b64encode(b"\0us\xffer\0secret") + b"\r\n", b"501 5.5.2"),
        (b"AUTH LOGIN =\r\n", b"501 5.5.2"),
        (b"AUTH XYZZY\r\n", b"504 5.5.4"),
    ],
)
def test_what_breaks_the_grammar_is_an_error_and_the_next_command_is_heard(line, reply):
    core = greeted()
    said_to(core, b"EHLO client\r\n")
    answer = said_to(core, line)
    assert answer.startswith(reply + b" ")
    assert answer.count(b"\r\n") == 1
    assert b"secret" not in answer
    assert said_to(core, NOOP) == NOOP_OK


@pytest.mark.parametrize("response", [b"!!!!", b"=", b"=AAA", b"AHVzZXIAc2VjcmV0 ", b"AHVz\rZXI", b"YQ==", b"**"])
def test_responses_that_are_no_base64_or_no_plain_end_the_exchange(response):
    core = greeted()
    said_to(core, b"EHLO client\r\nAUTH PLAIN\r\n")
    assert said_to(core, response + b"\r\n").startswith(b"501 5.5.2 ")
    assert said_to(core, NOOP) == NOOP_OK


def test_a_response_ended_by_a_bare_lf_is_refused():
    core = greeted()
    said_to(core, b"EHLO client\r\nAUTH PLAIN\r\n")
    assert said_to(core, b"AHVzZXIAc2VjcmV0\n").startswith(b"501 5.5.2 ")


@pytest.mark.parametrize(
    "name", [b"client", b"[192.0.2.7]", b"[IPv6:2001:db8::1]", b"under_score", b"J\xc3\xbcrgen", b"\xff"]
)
def test_clients_may_call_themselves_what_they_like(name):
    core = greeted()
    assert said_to(core, b"EHLO %b\r\n" % name).startswith(b"250-")
    core.receive_data(b"AUTH PLAIN AHUAcA==\r\n")
    assert core.next_event() == Login(Credentials("PLAIN", "u", b"p"), greeting=name.decode(errors="replace"))


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: mail.example.com\r\n\r\nEHLO x\r\nAUTH PLAIN AHVzZXIAc2VjcmV0\r\n",
        b"POST / HTTP/1.1\r\n\r\nEHLO x\r\n",
        b"a LOGIN user secret\r\n",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"LHLO x\r\n",
        b"\r\n",
        b"\0\0\0\r\n",
        b"\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
        b"\x16",
        b"\x16\x03\x01",
    ],
)
def test_a_first_line_that_is_not_submission_ends_it_at_once(first):
    assert ended_by(first) == b"421 4.7.0 This is a port for mail submission\r\n"


@pytest.mark.parametrize(
    "command", [b"a" * 512, b"NOOP " + b"x" * 520, b"EHLO " + b"x" * 510 + b"\r\n", b"a" * 100_000]
)
def test_a_line_beyond_512_octets_ends_it(command):
    assert ended_by(NOOP + command) == NOOP_OK + b"421 4.7.0 Line longer than 512 octets\r\n"


@pytest.mark.parametrize("verb", [b"MAIL", b"RCPT", b"mail"])
def test_an_envelope_has_more_room(verb):
    line = verb + b" FROM:<" + b"x" * (ENVELOPE_LIMIT - len(verb) - 10) + b">\r\n"
    assert len(line) == ENVELOPE_LIMIT
    assert said_to(greeted(), line).startswith(b"530 5.7.0")
    assert ended_by(b"NOOP\r\n" + line[:-2] + b"x\r\n").endswith(b"421 4.7.0 Line longer than 2048 octets\r\n")


def test_a_line_of_512_octets_is_taken():
    assert said_to(greeted(), b"NOOP " + b"x" * (LINE_LIMIT - 7) + b"\r\n") == NOOP_OK


@pytest.mark.parametrize("first", [b"AUTH PLAIN ", b"auth plain ", b"AUTH PLAIN\r\n"])
def test_where_a_secret_stands_64_kib_end_it(first):
    words = ended_by(b"EHLO c\r\n" + first + b"A" * AUTH_LIMIT)
    assert words.endswith(b"421 4.7.0 Line longer than 65536 octets\r\n")


def test_a_password_of_40_kib_is_taken():
    core = greeted()
    core.receive_data(b"EHLO c\r\nAUTH PLAIN " + base64.b64encode(b"\0user\0" + b"s" * 40_000) + b"\r\n")
    assert core.next_event() == Login(Credentials("PLAIN", "user", b"s" * 40_000), greeting="c")


@pytest.mark.parametrize("argument", [b"", b"x", b"-1", b"5 last now", b"5 FIRST", b"0x5", b"9" * 20])
def test_a_chunk_of_unknown_size_ends_it(argument):
    words = ended_by(NOOP + b"BDAT %b\r\nQUIT\r\n" % argument).removeprefix(NOOP_OK)
    assert words.startswith(b"530 5.7.0 ")
    assert b"\r\n421 4.7.0 BDAT" in words


def test_a_chunk_that_is_too_large_ends_it():
    assert b"\r\n421 4.7.0 BDAT" in ended_by(b"BDAT %d\r\n" % (CHUNK_LIMIT + 1))


def test_a_chunk_is_passed_over_without_being_kept():
    core = greeted()
    assert said_to(core, b"BDAT %d LAST\r\n" % CHUNK_LIMIT).startswith(b"530 5.7.0")
    for _ in range(CHUNK_LIMIT // 4096):
        assert said_to(core, b"QUIT\r\n" * 682 + b"QUIT") == b""
        assert core.buffered == 0
    assert said_to(core, NOOP) == NOOP_OK


def test_errors_end_it_in_the_end():
    words = ended_by(NOOP + b"XYZZY\r\n" * 50).removeprefix(NOOP_OK).split(b"\r\n")
    assert words == [b"500 5.5.1 Unknown command"] * ERRORS_LIMIT + [b"421 4.7.0 Too many errors", b""]


def test_cancelled_exchanges_count_as_errors():
    words = ended_by(b"EHLO c\r\n" + b"AUTH PLAIN\r\n*\r\n" * 50)
    assert words.count(b"501 5.0.0 Authentication cancelled") == ERRORS_LIMIT


def test_ten_thousand_commands_in_one_segment_are_not_all_answered():
    words = ended_by(NOOP * 10_000).split(b"\r\n")
    assert words == [NOOP_OK.strip()] * COMMANDS_LIMIT + [b"421 4.7.0 Too many errors", b""]


def test_refusals_without_end_are_not_all_answered():
    assert ended_by(b"MAIL FROM:<x>\r\n" * 10_000).count(b"530 5.7.0") == COMMANDS_LIMIT
    assert ended_by(b"BDAT 6\r\nQUIT\r\n" * 10_000).count(b"530 5.7.0") == COMMANDS_LIMIT
    assert ended_by(b"EHLO c\r\n" + b"AUTH PLAIN\r\n" * 10_000, CLEAR).count(b"538 5.7.11") == COMMANDS_LIMIT - 1
