"""What clients should not send, and what becomes of it."""

import base64

import pytest

from mmp.errors import RemoteProtocolError
from mmp.model import Credentials, Offer, Refusal
from mmp.wire.events import LoggedIn, Login
from mmp.wire.managesieve.reader import LINE_LIMIT, SIZE_LIMIT
from mmp.wire.managesieve.server import Server
from mmp.wire.toward_client import COMMANDS_LIMIT, ERRORS_LIMIT

CLEAR = Offer(mechanisms=(), plaintext=False, starttls=True)
OPEN = Offer(mechanisms=("PLAIN",), plaintext=True, starttls=False)
NOOP = b"NOOP\r\n"
NOOP_OK = b'OK "NOOP completed"\r\n'
PLAIN = b'AUTHENTICATE "PLAIN" "AHVzZXIAc2VjcmV0"\r\n'


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
    "command",
    [
        b"\r\n",
        b" NOOP\r\n",
        b"NOOP \r\n",
        b"NOOP x\r\n",
        b'NOOP "x" "y"\r\n',
        b'NOOP "x\r\n',
        b'NOOP "x\\y"\r\n',
        b'NOOP "\0"\r\n',
        b"NOOP {1+}\r\nx y\r\n",
        b"NOOP {1025+}\r\n" + b"x" * 1025 + b"\r\n",
        b"NOOP\n",
        b"NOOP\0\r\n",
        b"NO\rOP\r\n",
        b"CAPABILITY x\r\n",
        b"LOGOUT now\r\n",
        b"STARTTLS\r\n",
        b"XYZZY\r\n",
        b"XYZZY {6+}\r\nNOOP\r\n {6+}\r\nNOOP\r\n\r\n",
        b"\xc3\xa9\r\n",
        b"x" * 41 + b"\r\n",
        b"LISTSCRIPTS\r\n",
        b'PUTSCRIPT "x" {6+}\r\nNOOP\r\n\r\n',
        b"AUTHENTICATE\r\n",
        b"AUTHENTICATE PLAIN\r\n",
        b'AUTHENTICATE  "PLAIN"\r\n',
        b'AUTHENTICATE ""\r\n',
        b'AUTHENTICATE "PL AIN"\r\n',
        b'AUTHENTICATE "XYZZY"\r\n',
        b'AUTHENTICATE "PLAIN" AHVzZXIAc2VjcmV0\r\n',
        b'AUTHENTICATE "PLAIN" "!!!!"\r\n',
        b'AUTHENTICATE "PLAIN" "="\r\n',
        b'AUTHENTICATE "PLAIN" "AAA=BBB"\r\n',
        b'AUTHENTICATE "PLAIN" "AHVzZXIAc2VjcmV0" "x"\r\n',
        b'AUTHENTICATE "PLAIN" "AHVzZXIAc2VjcmV0"\n',
        b'AUTHENTICATE "PLAIN" {16+}\nAHVzZXIAc2VjcmV0\r\n',
        b'AUTHENTICATE "PLAIN" {6+}\r\nNOOP\r\n\r\n',
        b'AUTHENTICATE "PLAIN" "' + base64.b64encode(b"user\0secret") + b'"\r\n',
        b'AUTHENTICATE "PLAIN" "' + base64.b64encode(b"\0us\xffer\0secret") + b'"\r\n',
    ],
)
def test_what_breaks_the_grammar_is_refused_and_the_next_command_is_heard(command):
    core = greeted()
    assert said_to(core, NOOP) == NOOP_OK
    answer = said_to(core, command)
    assert answer.startswith(b'NO "')
    assert answer.count(b"\r\n") == 1
    assert b"secret" not in answer
    assert said_to(core, NOOP) == NOOP_OK


@pytest.mark.parametrize("response", [b'"!!!!"', b'"="', b"AHVzZXIAc2VjcmV0", b'"YQ=="', b"", b'"YQ==" "x"', b'"\0"'])
def test_responses_that_are_no_base64_or_no_plain_end_the_exchange(response):
    core = greeted()
    assert said_to(core, b'AUTHENTICATE "PLAIN"\r\n') == b'""\r\n'
    assert said_to(core, response + b"\r\n").startswith(b'NO "')
    assert said_to(core, NOOP) == NOOP_OK


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: mail.example.com\r\n\r\n" + PLAIN,
        b"POST / HTTP/1.1\r\n\r\n" + PLAIN,
        b"EHLO client.example.com\r\n",
        b"a LOGIN user secret\r\n",
        b"\r\n",
        b"XYZZY\r\n",
        b"\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
        b"\x16",
    ],
)
def test_a_first_line_that_is_not_managesieve_ends_it_at_once(first):
    assert ended_by(first) == b'BYE "This is a port for ManageSieve"\r\n'


def test_a_known_command_out_of_place_is_no_reason_to_end_it():
    assert said_to(greeted(), b"LISTSCRIPTS\r\n").startswith(b"NO ")
    assert said_to(greeted(), b"NOOP\n").startswith(b"NO ")


@pytest.mark.parametrize("command", [b"a" * 8192, b'NOOP "' + b"x" * 8190, b"a" * 100_000 + b"\r\n"])
def test_a_line_beyond_8_kib_ends_it(command):
    assert ended_by(NOOP + command) == NOOP_OK + b'BYE "Line longer than 8192 octets"\r\n'


@pytest.mark.parametrize(
    "command",
    [
        b'AUTHENTICATE "PLAIN" {%d+}\r\n' % SIZE_LIMIT,
        b'AUTHENTICATE "PLAIN" {99999999999999999999+}\r\n',
        b'AUTHENTICATE "PLAIN" {' + b"9" * 5000 + b"+}\r\n",
        b"XYZZY {99999}\r\n",
        b"XYZZY" + b" {1+}\r\nx" * 5,
        b"XYZZY {60000+}\r\n" + b"x" * 60000 + b" {60000+}\r\n",
        b'AUTHENTICATE "PLAIN"\r\n{99999+}\r\n',
    ],
)
def test_literals_beyond_the_limits_end_it(command):
    words = ended_by(NOOP + command).removeprefix(NOOP_OK).removeprefix(b'""\r\n')
    assert words == b'BYE "Literal too large, or one too many"\r\n'


def test_a_token_of_64_kib_is_taken():
    core = greeted()
    response = base64.b64encode(b"\0user\0" + b"s" * 65_536)
    core.receive_data(b'AUTHENTICATE "PLAIN" {%d+}\r\n%b\r\n' % (len(response), response))
    assert core.next_event() == Login(Credentials("PLAIN", "user", b"s" * 65_536))


def test_a_quoted_response_of_8000_octets_is_taken():
    core = greeted()
    core.receive_data(b'AUTHENTICATE "PLAIN" "%b"\r\n' % base64.b64encode(b"\0user\0" + b"s" * 5900))
    assert isinstance(core.next_event(), Login)
    assert LINE_LIMIT > 8000


def test_any_tag_comes_back_as_it_was():
    core = greeted()
    assert said_to(core, b'noop "a\\"\\\\b"\r\n') == b'OK (TAG "a\\"\\\\b") "Done"\r\n'
    assert said_to(core, b"NOOP {4+}\r\n\r\n\0\xff\r\n") == b'OK (TAG {4}\r\n\r\n\0\xff) "Done"\r\n'


def test_errors_end_it_in_the_end():
    words = ended_by(NOOP + b"XYZZY\r\n" * 50).removeprefix(NOOP_OK).split(b"\r\n")
    assert words == [b'NO "Unknown command"'] * ERRORS_LIMIT + [b'BYE "Too many errors"', b""]


def test_ten_thousand_commands_in_one_segment_are_not_all_answered():
    words = ended_by(NOOP * 10_000).split(b"\r\n")
    assert words == [NOOP_OK.strip()] * COMMANDS_LIMIT + [b'BYE "Too many errors"', b""]


def test_refusals_without_end_are_not_all_answered():
    assert ended_by(PLAIN * 10_000, CLEAR).count(b"NO (ENCRYPT-NEEDED)") == COMMANDS_LIMIT
    assert ended_by(PLAIN * 10_000).count(b"NO ") == COMMANDS_LIMIT


def test_the_words_of_a_store_cannot_break_the_line():
    core = greeted()
    core.receive_data(PLAIN)
    core.next_event()
    core.accept(LoggedIn((), b'a "quoted"\r\nBYE in\0' + b"x" * 10_000, b""))
    said = core.data_to_send()
    assert said.startswith(b'OK "a \\"quoted\\"  BYE in x')
    assert said.index(b"\r\n") == len(said) - 2
    assert len(said) < 600
