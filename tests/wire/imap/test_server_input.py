"""What clients should not send, and what becomes of it."""

import base64

import pytest

from mmp.errors import RemoteProtocolError
from mmp.model import Credentials, Offer, Refusal
from mmp.wire.events import LoggedIn, Login
from mmp.wire.imap.server import Server
from mmp.wire.toward_client import COMMANDS_LIMIT, ERRORS_LIMIT

CLEAR = Offer(mechanisms=(), plaintext=False, starttls=True)
OPEN = Offer(mechanisms=("PLAIN",), plaintext=True, starttls=False)
NOOP = b"n NOOP\r\n"
NOOP_OK = b"n OK NOOP completed\r\n"


def greeted(offer=OPEN):
    core = Server(offer=offer, hostname="mail.example.com", timestamp=b"<1.2@mail.example.com>")
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
    ("line", "tag"),
    [
        (b"\r\n", b"*"),
        (b"a\r\n", b"a"),
        (b" NOOP\r\n", b"*"),
        (b"a  NOOP\r\n", b"a"),
        (b"a NOOP \r\n", b"a"),
        (b"a NOOP x\r\n", b"a"),
        (b"a+ NOOP\r\n", b"*"),
        (b"(a) NOOP\r\n", b"*"),
        (b"\xc3\xa9 NOOP\r\n", b"*"),
        (b"t" * 65 + b" NOOP\r\n", b"*"),
        (b"a XYZZY\r\n", b"a"),
        (b"a SELECT inbox\r\n", b"a"),
        (b"a UID FETCH 1 FLAGS\r\n", b"a"),
        (b"a IDLE\r\n", b"a"),
        (b"a STARTTLS\r\n", b"a"),
        (b"a NOOP\n", b"a"),
        (b"a LOGIN user secret\n", b"a"),
        (b"a NO\rOP\r\n", b"a"),
        (b"a NOOP\r\r\n", b"a"),
        (b"a NOOP\0\r\n", b"a"),
        (b"a\0 NOOP\r\n", b"*"),
        (b"a LOGIN us\0er secret\r\n", b"a"),
        (b'a LOGIN "us\0er" secret\r\n', b"a"),
        (b'a LOGIN user "sec\rret"\r\n', b"a"),
        (b'a LOGIN user "secret\r\n', b"a"),
        (b'a LOGIN user secret"\r\n', b"a"),
        (b'a LOGIN user "sec\\ret"\r\n', b"a"),
        (b'a LOGIN user "secret\\"\r\n', b"a"),
        (b'a LOGIN "user""secret"\r\n', b"a"),
        (b"a LOGIN user\r\n", b"a"),
        (b"a LOGIN user \r\n", b"a"),
        (b"a LOGIN user secret more\r\n", b"a"),
        (b"a LOGIN (user) secret\r\n", b"a"),
        (b"a LOGIN us{er secret\r\n", b"a"),
        (b"a LOGIN us\xc3\xa9r secret\r\n", b"a"),
        (b'a LOGIN "" secret\r\n', b"a"),
        (b'a LOGIN "us\xffer" secret\r\n', b"a"),
        (b'a LOGIN "us\x1ber" secret\r\n', b"a"),
        (b"a LOGIN {6}\r\n", None),
        (b"a LOGIN " + b"(" * 8000 + b"\r\n", b"a"),
        (b"a AUTHENTICATE\r\n", b"a"),
        (b"a AUTHENTICATE \r\n", b"a"),
        (b"a AUTHENTICATE PLAIN \r\n", b"a"),
        (b"a AUTHENTICATE PLAIN !!!!\r\n", b"a"),
        (b"a AUTHENTICATE PLAIN =AAA\r\n", b"a"),
        (b"a AUTHENTICATE PLAIN AAA=BBB\r\n", b"a"),
        (b"a AUTHENTICATE PLAIN AHVzZXIAc2VjcmV\r\n", b"a"),
        (b"a AUTHENTICATE PLAIN " + base64.b64encode(b"user\0secret") + b"\r\n", b"a"),
        (b"a AUTHENTICATE PLAIN " + base64.b64encode(b"\0us\xffer\0secret") + b"\r\n", b"a"),
        (b"a AUTHENTICATE PLAIN {4}\r\n", b"a"),
        (b"a ID\r\n", b"a"),
        (b"a ID ()x\r\n", b"a"),
        (b"a ID (name mmp)\r\n", b"a"),
        (b'a ID ("name")\r\n', b"a"),
        (b'a ID ("name" "x" )\r\n', b"a"),
        (b'a ID (NIL "x")\r\n', b"a"),
        (b"a ID (" + b" ".join([b'"f" "v"'] * 31) + b")\r\n", b"a"),
        (b"a ID {5}\r\n", None),
        (b"a LOGOUT now\r\n", b"a"),
        (b"a NOOP {5}\r\n", b"a"),
        (b"a CAPABILITY {5}\r\n", b"a"),
        (b"a APPEND inbox {5}\r\n", b"a"),
        (b"a LOGIN {65537}\r\n", b"a"),
        (b"a LOGIN {99999999999}\r\n", b"a"),
        (b"a LOGIN {" + b"9" * 8000 + b"}\r\n", b"a"),
        (b"a LOGIN {-1}\r\n", b"a"),
        (b"a LOGIN {1++}\r\n", b"a"),
        (b"a LOGIN {}\r\n", b"a"),
        (b"a LOGIN {1}\n", b"a"),
    ],
)
def test_what_breaks_the_grammar_is_bad_and_the_next_command_is_heard(line, tag):
    core = greeted()
    assert said_to(core, NOOP) == NOOP_OK
    answer = said_to(core, line)
    if tag is None:
        assert answer == b"+ Go on\r\n"
        return
    assert answer.startswith(tag + b" BAD ")
    assert answer.count(b"\r\n") == 1
    assert b"secret" not in answer
    assert said_to(core, NOOP) == NOOP_OK


@pytest.mark.parametrize(
    "command",
    [
        b"a LOGIN {4+}\r\nuser\r\n",
        b"a LOGIN {4+}\r\nuser{6+}\r\nsecret\r\n",
        b"a LOGIN {0+}\r\n {6+}\r\nsecret\r\n",
        b"a LOGIN {4+}\r\nus\0r {6+}\r\nsecret\r\n",
        b"a LOGIN {4+}\r\nuser {6+}\r\nsec\0et\r\n",
        b"a LOGIN {5+}\r\nus\r\nr {6+}\r\nsecret\r\n",
        b"a LOGIN {4+}\r\nuser {6+}\r\nsecret more\r\n",
        b"a LOGIN {4+}\nuser {6+}\nsecret\r\n",
        b'a LOGIN "user{6+}\r\nsecret {6+}\r\nsecret\r\n',
        b"a LOGIN user{6+}\r\nsecret\r\n",
        b"a NOOP {8+}\r\nb NOOP\r\n\r\n",
        b"a XYZZY {8+}\r\nb NOOP\r\n {8+}\r\nc NOOP\r\n\r\n",
        b"a SELECT {8+}\r\nb NOOP\r\n\r\n",
        b"\xff {8+}\r\nb NOOP\r\n\r\n",
        b"a STARTTLS {8+}\r\nb NOOP\r\n\r\n",
        b"a AUTHENTICATE PLAIN {8+}\r\nb NOOP\r\n\r\n",
        b"a LOGIN {8+}\r\nb NOOP\r\n {99999}\r\n",
        b"a NOOP {8+}\r\nb NOOP\r\n {5}\r\n",
    ],
)
def test_the_literals_of_a_refused_command_are_never_read_as_commands(command):
    core = greeted()
    said_to(core, NOOP)
    answer = said_to(core, command)
    assert answer.startswith((b"a BAD ", b"* BAD "))
    assert answer.count(b"\r\n") == 1
    assert said_to(core, NOOP) == NOOP_OK


def test_a_literal_in_a_sasl_exchange_is_no_response_but_is_passed_over():
    core = greeted()
    assert said_to(core, b"a AUTHENTICATE PLAIN\r\n") == b"+ \r\n"
    answer = said_to(core, b"{8+}\r\nb NOOP\r\n\r\n")
    assert answer.startswith(b"a BAD ")
    assert answer.count(b"\r\n") == 1
    assert said_to(core, NOOP) == NOOP_OK


@pytest.mark.parametrize(
    "response", [b"!!!!", b"=", b"=AAA", b"AAA=BBB", b"AHVzZXIAc2VjcmV0 ", b"AHVz\rZXI", b"YQ==", b"**"]
)
def test_responses_that_are_no_base64_or_no_plain_end_the_exchange(response):
    core = greeted()
    said_to(core, b"a AUTHENTICATE PLAIN\r\n")
    assert said_to(core, response + b"\r\n").startswith(b"a BAD ")
    assert said_to(core, NOOP) == NOOP_OK


def test_a_response_ended_by_a_bare_lf_is_refused():
    core = greeted()
    said_to(core, b"a AUTHENTICATE PLAIN\r\n")
    assert said_to(core, b"AHVzZXIAc2VjcmV0\n").startswith(b"a BAD ")


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: mail.example.com\r\n\r\na LOGIN user secret\r\n",
        b"POST / HTTP/1.1\r\n\r\na LOGIN user secret\r\n",
        b"EHLO client.example.com\r\n",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\r\n",
        b"a XYZZY\r\n",
        b"a XYZZY {5+}\r\n",
        b"\0\0\0\r\n",
        b"\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 {5+}\r\n",
        b"\x16",
        b"\x16\x03\x01",
    ],
)
def test_a_first_line_that_is_not_imap_ends_it_at_once(first):
    assert ended_by(first) == b"* BYE This is a port for IMAP\r\n"


def test_a_known_command_out_of_place_is_no_reason_to_end_it():
    assert said_to(greeted(), b"a SELECT inbox\r\n").startswith(b"a BAD ")
    assert said_to(greeted(), b"a NOOP\n").startswith(b"a BAD ")


@pytest.mark.parametrize("command", [b"a" * 8192, b"a NOOP " + b"x" * 8185, b"a" * 100_000 + b"\r\n"])
def test_a_line_beyond_8_kib_ends_it(command):
    assert ended_by(NOOP + command) == NOOP_OK + b"* BYE Line longer than 8192 octets\r\n"


def test_a_line_of_8_kib_is_taken():
    command = b"a LOGIN user " + b"s" * (8192 - 15) + b"\r\n"
    assert len(command) == 8192
    core = greeted()
    core.receive_data(command)
    assert len(core.next_event().credentials.secret) == 8192 - 15


def test_an_endless_line_within_an_exchange_ends_it():
    words = ended_by(b"a AUTHENTICATE PLAIN\r\n" + b"A" * 70_000)
    assert words == b"+ \r\n* BYE Line longer than 65536 octets\r\n"


@pytest.mark.parametrize(
    "command", [b"a AUTHENTICATE PLAIN %b\r\n", b"a authenticate plain\r\n%b\r\n"], ids=["initial", "asked for"]
)
def test_a_response_may_be_as_long_as_access_tokens_are(command):
    core = greeted()
    core.receive_data(command % base64.b64encode(b"\0user\0" + b"s" * 48_000))
    assert len(core.next_event().credentials.secret) == 48_000


def test_only_a_response_may_be_so_long():
    for command in (b"a LOGIN user ", b"a NOOP AUTHENTICATE ", b"a ID AUTHENTICATE "):
        assert b"* BYE Line longer than 8192 octets" in ended_by(command + b"A" * 9000)


@pytest.mark.parametrize(
    "command",
    [
        b"a LOGIN {65537+}\r\n",
        b"a LOGIN {99999999999+}\r\n",
        b"a LOGIN user {" + b"9" * 5000 + b"+}\r\n",
        b"a LOGIN {1+}\r\nx {65536+}\r\n" + b"x" * 65536 + b" {65536+}\r\n",
        b"a ID (" + b'"f" {1+}\r\nx ' * 16 + b'"f" {1+}\r\n',
        b"a NOOP {65537+}\r\n",
        b"a NOOP {1+}\r\nx {99999+}\r\n",
        b"a NOOP" + b" {1+}\r\nx" * 17,
    ],
)
def test_literals_that_come_unasked_beyond_the_limits_end_it(command):
    words = ended_by(NOOP + command).removeprefix(NOOP_OK)
    assert words.startswith(b"a BAD ")
    assert words.endswith(b"\r\n* BYE Literal too large, or one too many\r\n")
    assert words.count(b"\r\n") == 2


def test_a_seventeenth_literal_that_waits_is_refused_and_the_next_command_is_heard():
    core = greeted()
    answer = said_to(core, b"a ID (" + b'"f" {1+}\r\nx ' * 16 + b'"f" {1}\r\n')
    assert answer.startswith(b"a BAD ")
    assert said_to(core, NOOP) == NOOP_OK


def test_sixteen_literals_are_taken():
    answer = said_to(greeted(), b"a ID (" + b" ".join([b'"f" {1+}\r\nx'] * 16) + b")\r\n")
    assert answer.endswith(b"a OK ID completed\r\n")


def test_two_literals_of_64_kib_are_taken():
    core = greeted()
    core.receive_data(b"a LOGIN {4+}\r\nuser {65536+}\r\n" + b"s" * 65536 + b"\r\n")
    assert core.next_event() == Login(Credentials("LOGIN", "user", b"s" * 65536))


def test_errors_end_it_in_the_end():
    words = ended_by(NOOP + b"a XYZZY\r\n" * 50).removeprefix(NOOP_OK).split(b"\r\n")
    assert words == [b"a BAD Unknown command"] * ERRORS_LIMIT + [b"* BYE Too many errors", b""]


def test_cancelled_exchanges_count_as_errors():
    words = ended_by(b"a AUTHENTICATE PLAIN\r\n*\r\n" * 50)
    assert words.count(b"a BAD ") == ERRORS_LIMIT


def test_ten_thousand_commands_in_one_segment_are_not_all_answered():
    words = ended_by(NOOP * 10_000).split(b"\r\n")
    assert words == [NOOP_OK.strip()] * COMMANDS_LIMIT + [b"* BYE Too many errors", b""]


def test_refusals_without_end_are_not_all_answered():
    words = ended_by(b"a LOGIN user secret\r\n" * 10_000, CLEAR)
    assert words.count(b"a NO [PRIVACYREQUIRED]") == COMMANDS_LIMIT
    words = ended_by(b"a LOGIN user secret\r\n" * 10_000)
    assert words.count(b"a NO [AUTHENTICATIONFAILED]") == COMMANDS_LIMIT


def test_a_password_that_may_not_be_sent_is_refused_where_its_literal_is_announced():
    core = greeted(CLEAR)
    answer = said_to(core, b"a LOGIN {4}\r\n")
    assert answer.startswith(b"a NO [PRIVACYREQUIRED] ")
    assert answer.count(b"\r\n") == 1
    assert said_to(core, NOOP) == NOOP_OK


def test_a_password_that_comes_unasked_is_passed_over():
    core = greeted(CLEAR)
    answer = said_to(core, b"a LOGIN user {16+}\r\n")
    assert answer.startswith(b"a NO [PRIVACYREQUIRED] ")
    assert said_to(core, b"b LOGIN x y\r\n1") == b""
    assert said_to(core, b"23 {3+}\r\n") == b""
    assert said_to(core, b"123\r\n") == b""
    assert said_to(core, NOOP) == NOOP_OK


@pytest.mark.parametrize(
    "line", [b"a LOGIN user secret\r\n", b'a LOGIN "user" "secret"\r\n', b"a AUTHENTICATE PLAIN AHUAcA==\r\n"]
)
def test_a_password_in_the_line_itself_is_refused(line):
    assert said_to(greeted(CLEAR), line).startswith(b"a NO [PRIVACYREQUIRED] ")


@pytest.mark.parametrize(
    ("arguments", "user", "secret"),
    [
        (b"user secret", "user", b"secret"),
        (b"us*er DOM\\ain%", "us*er", b"DOM\\ain%"),
        (b"NIL nil]", "NIL", b"nil]"),
        (b'"us er" ""', "us er", b""),
        (b'"u\\"s\\\\r" "\\\\\\\\"', 'u"s\\r', b"\\\\"),
        (b'"us\xc3\xa9r" "s\xffcret"', "us\xe9r", b"s\xffcret"),
        (b"{5+}\r\nus\xc3\xa9r secret", "us\xe9r", b"secret"),
        (b"user {8+}\r\n{1+}\r\n\xff\r", "user", b"{1+}\r\n\xff\r"),
        (b'{4+}\r\nuser "secret"', "user", b"secret"),
        (b'"user" {0+}\r\n', "user", b""),
        (b'"{4+}" secret', "{4+}", b"secret"),
    ],
)
def test_every_form_of_string_is_taken(arguments, user, secret):
    core = greeted()
    core.receive_data(b"a lOgIn " + arguments + b"\r\n")
    assert core.next_event() == Login(Credentials("LOGIN", user, secret))


@pytest.mark.parametrize("arguments", [b"NIL", b"()", b'("name" NIL)', b'("n\\"" {3+}\r\nabc {1+}\r\nx "v")', b"nil"])
def test_every_form_of_identity_is_taken(arguments):
    answer = said_to(greeted(), b"a ID " + arguments + b"\r\n")
    assert answer == b'* ID ("name" "mmp")\r\na OK ID completed\r\n'


def test_the_words_of_a_store_cannot_break_the_line():
    core = greeted()
    core.receive_data(b"a LOGIN user secret\r\n")
    core.next_event()
    core.accept(LoggedIn((b"IMAP4rev1",), b"[ALERT] come\r\n* BYE in\0" + b"x" * 10_000, b""))
    said = core.data_to_send()
    assert said.startswith(b"a OK [CAPABILITY IMAP4rev1] ALERT] come  * BYE in x")
    assert said.index(b"\r\n") == len(said) - 2
    assert len(said) < 600


@pytest.mark.parametrize(
    ("fields", "ttl"),
    [
        (b'("x-proxy-ttl" "3")', 3),
        (b'("name" "proxy" "X-Proxy-TTL" "1" "x-originating-ip" "192.0.2.1")', 1),
        (b'("name" NIL {11+}\r\nx-proxy-ttl {1+}\r\n0)', 0),
        (b'("x-proxy-ttl" NIL)', None),
        (b'("x-proxy-ttl" "-1")', None),
        (b'("x-proxy-ttl" "99999")', None),
        (b'("name" "x-proxy-ttl" "version" "3")', None),
        (b"NIL", None),
    ],
)
def test_a_client_that_is_a_proxy_may_say_how_many_more_are_allowed(fields, ttl):
    core = greeted()
    assert said_to(core, b"a ID " + fields + b"\r\n").endswith(b"a OK ID completed\r\n")
    core.receive_data(b"b LOGIN user secret\r\n")
    assert core.next_event().ttl == ttl
