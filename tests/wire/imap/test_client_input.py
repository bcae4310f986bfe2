"""What stores should not send, and what becomes of it."""

import pytest

from mmp.errors import LocalProtocolError, RemoteProtocolError
from mmp.model import Endpoint, Origin, Refusal, Replay
from mmp.wire.events import Challenge, LoggedIn, LoginRefused, Ready, StartTLS
from mmp.wire.imap.client import UNTAGGED_LIMIT, Client

GREETING = b"* OK [CAPABILITY IMAP4rev1] hello\r\n"
PLAIN_GREETING = b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR ID] hello\r\n"
CAME = Origin("s1", Endpoint("192.0.2.7", 51234), Endpoint("192.0.2.1", 993), ttl=4)
SQUEAMISH = Replay("user", b"squeamish ossifrage", origin=CAME)


def heard(core, octets):
    core.receive_data(octets)
    return core.next_event()


def given_up(core, octets):
    """Return why the core gives the store up; it must not say another word to it."""
    core.receive_data(octets)
    with pytest.raises(RemoteProtocolError) as error:
        while core.next_event() is not None:
            pass
    core.receive_data(b"m1 OK\r\n* OK\r\n")
    assert core.next_event() is None
    assert core.data_to_send() == b""
    assert core.buffered == 0
    assert "squeamish" not in str(error.value)
    return str(error.value)


def logging_in(greeting=GREETING):
    core = Client(starttls=False)
    assert heard(core, greeting) == Ready()
    core.log_in(SQUEAMISH)
    core.data_to_send()
    return core


@pytest.mark.parametrize(
    "greeting",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"220 smtp.example.com ESMTP\r\n",
        b"+OK POP3 ready\r\n",
        b"+ go on\r\n",
        b"\r\n",
        b"\n",
        b"*\r\n",
        b"* \r\n",
        b"* OK hello\n",
        b"* OKAY hello\r\n",
        b"* NO hello\r\n",
        b"* BAD hello\r\n",
        b"* CAPABILITY IMAP4rev1\r\n",
        b"* LIST () NIL inbox\r\n",
        b"m1 OK hello\r\n",
        b"a OK hello\r\n",
        b"\x15\x03\x01\x00\x02\x02\x0a",
        b"\x16\x03\x01\x00\x02\x02\r\n",
        b"\0" * 100 + b"\r\n",
        b"x" * 70_000,
        b"* OK " + b"x" * 1_000_000 + b"\r\n",
        b'* ID ("name" {70000}\r\n',
        b'* ID ("name" {99999999999999999999}\r\n',
    ],
)
def test_a_greeting_that_is_none(greeting):
    given_up(Client(starttls=False), greeting)


def test_a_greeting_with_bye_tells_the_words_of_the_store():
    why = given_up(Client(starttls=False), b"* BYE [UNAVAILABLE] come\x1b[2J back\x00 later\r\n")
    assert why.endswith("BYE [UNAVAILABLE] come [2J back  later")


def test_a_store_that_takes_us_for_logged_in_is_no_use():
    assert "PREAUTH" in given_up(Client(starttls=False), b"* PREAUTH [CAPABILITY IMAP4rev1] hello\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"m1 OK done\r\n",
        b"m1 NO\r\n",
        b"m1 BAD what\r\n",
        b"* CAPABILITY IMAP4\r\nm1 OK\r\n",
        b"* CAPABILITY \r\nm1 OK\r\n",
    ],
)
def test_a_store_without_imap4rev1_is_no_use(answer):
    core = Client(starttls=False)
    assert heard(core, b"* OK hello\r\n") is None
    assert core.data_to_send() == b"m1 CAPABILITY\r\n"
    given_up(core, answer)


def test_a_store_is_never_spoken_to_in_clear_where_starttls_is_asked_for():
    assert "STARTTLS" in given_up(Client(starttls=True), PLAIN_GREETING)


@pytest.mark.parametrize("answer", [b"m1 NO not now\r\n", b"m1 BAD what\r\n", b"* BYE\r\n", b"m2 OK\r\n", b"+ go\r\n"])
def test_starttls_refused_is_the_end(answer):
    core = Client(starttls=True)
    assert heard(core, b"* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN] hello\r\n") is None
    given_up(core, answer)


@pytest.mark.parametrize(
    "behind", [b"\r\n", b"* OK\r\n", b"m2 OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\r\n", b"\x16\x03"]
)
def test_bytes_behind_the_ok_of_starttls_are_the_end(behind):
    core = Client(starttls=True)
    assert heard(core, b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n") is None
    assert "STARTTLS" in given_up(core, b"m1 OK go\r\n" + behind)


def test_what_came_in_clear_is_not_heard_under_tls():
    core = Client(starttls=True)
    heard(core, b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n")
    assert heard(core, b"m1 OK go\r\n") == StartTLS()
    assert heard(core, b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nm2 OK\r\n") is None
    core.data_to_send()
    core.tls_started()
    assert core.next_event() is None
    assert core.data_to_send() == b"m2 CAPABILITY\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"m1 OK in\r\n+ more\r\n",
        b"+ more\r\n",
        b"m9 OK in\r\n",
        b"user OK in\r\n",
        b"m1 PREAUTH in\r\n",
        b"m1 in\r\n",
        b"m1\r\n",
        b"m1 BYE\r\n",
        b"OK\r\n",
        b"m1 OK in\n",
    ],
)
def test_answers_to_the_login_that_are_none(answer):
    given_up(logging_in(), answer)


def test_endless_continuation_requests_are_the_end():
    core = Client(starttls=False)
    heard(core, b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hello\r\n")
    core.log_in(SQUEAMISH)
    core.data_to_send()
    assert heard(core, b"+ \r\n") is None
    assert core.data_to_send() == b"AHVzZXIAc3F1ZWFtaXNoIG9zc2lmcmFnZQ==\r\n"
    given_up(core, b"+ \r\n")


def test_a_store_that_agrees_before_it_has_heard_the_password_is_no_use():
    core = Client(starttls=False)
    heard(core, b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hello\r\n")
    core.log_in(SQUEAMISH)
    given_up(core, b"m1 OK in\r\n")


def test_the_login_may_not_be_answered_before_the_identity():
    core = logging_in(PLAIN_GREETING)
    given_up(core, b"m2 OK in\r\n")


@pytest.mark.parametrize(
    "line", [b"* OK still here\r\n", b"* 5 EXISTS\r\n", b"* ID NIL\r\n", b"* LIST () NIL {1}\r\nx\r\n"]
)
def test_endless_untagged_responses_are_the_end(line):
    core = logging_in()
    assert heard(core, line * (UNTAGGED_LIMIT - 1)) is None
    given_up(core, line)


def test_literals_in_responses_are_never_read_as_responses():
    core = logging_in(PLAIN_GREETING)
    literal = b"m2 OK [CAPABILITY EVIL] in\r\n"
    assert (
        heard(core, b'* ID ("name" {%d}\r\n%b "v" {%d}\r\n%b)\r\n' % (len(literal), literal, len(literal), literal))
        is None
    )
    assert heard(core, b"m1 OK\r\nm2 OK [CAPABILITY IMAP4rev1] in\r\n") == LoggedIn((b"IMAP4rev1",), b"in", b"")


def test_the_text_of_a_status_announces_no_literal():
    core = logging_in()
    assert heard(core, b"* OK see {5}\r\nm1 OK [CAPABILITY IMAP4rev1] in {500}\r\n") == (
        LoggedIn((b"IMAP4rev1",), b"in {500}", b"")
    )


def test_the_login_may_fail_with_a_store_that_says_bye_while_it_is_ready():
    core = Client(starttls=False)
    heard(core, GREETING)
    assert "idle" in given_up(core, b"* BYE idle for too long\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        b'm1 BAD Unknown command: LOGIN "user" "squeamish ossifrage"\r\n',
        b"m1 NO [ALERT] squeamish ossifrage is wrong\r\n",
        b"* BYE squeamish ossifrage\r\n",
        b"m1 NO " + b"x" * 500 + b"squeamish ossifrage\r\n",
    ],
)
def test_the_password_does_not_come_back_in_the_words_of_the_store(answer):
    event = heard(logging_in(), answer)
    assert isinstance(event, LoginRefused)
    assert "squeam" not in event.text


def test_nor_does_the_encoded_password():
    core = logging_in(PLAIN_GREETING)
    event = heard(core, b"m1 OK\r\nm2 BAD what is AHVzZXIAc3F1ZWFtaXNoIG9zc2lmcmFnZQ== here\r\n")
    assert event == LoginRefused(Refusal.BACKEND_UNAVAILABLE, "BAD what is *** here")


def test_the_words_of_the_store_are_fit_for_a_log():
    event = heard(logging_in(), b"m1 NO \x1b[31mred\r\0\x07\xff " + b"x" * 5000 + b"\r\n")
    assert event.text.startswith("NO  [31mred   \ufffd xxx")
    assert event.text.isprintable()
    assert len(event.text) < 600


def test_capabilities_that_are_no_atoms_are_left_out():
    core = logging_in()
    event = heard(core, b"m1 OK [CAPABILITY IMAP4rev1  IDLE (x) \0 a\rb \xff AUTH=PLAIN] in\r\n")
    assert event.capabilities == (b"IMAP4rev1", b"IDLE", b"AUTH=PLAIN")


def challenged(words=b"+ cj14\r\n"):
    core = Client(starttls=False)
    core.receive_data(b"* OK [CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-1 SASL-IR] hello\r\n")
    core.next_event()
    core.log_in(Replay("user", b"n,,n=user,r=squeamish", mechanism="SCRAM-SHA-1"))
    core.data_to_send()
    core.receive_data(words)
    return core


def test_nothing_more_is_heard_until_the_challenge_is_answered():
    core = challenged(b"+ cj14\r\nm1 NO no\r\n")
    assert core.next_event() == Challenge(b"r=x")
    assert core.next_event() is None
    core.respond(b"c=biws")
    assert core.data_to_send() == b"Yz1iaXdz\r\n"
    assert core.next_event() == LoginRefused(Refusal.BAD_CREDENTIALS, "NO no")


def test_what_the_client_has_answered_is_not_in_the_words_for_the_log():
    core = challenged()
    core.next_event()
    core.respond(b"p=ossifrage")
    core.receive_data(b"m1 NO n,,n=user,r=squeamish p=ossifrage cD1vc3NpZnJhZ2U=\r\n")
    assert core.next_event() == LoginRefused(Refusal.BAD_CREDENTIALS, "NO *** *** ***")


@pytest.mark.parametrize("words", [b"+ !\r\n", b"+ cj1\r\n", b"+ cj14 cj14\r\n", b"+ {5}\r\n"])
def test_a_challenge_that_is_no_base64_is_no_use(words):
    with pytest.raises(RemoteProtocolError):
        challenged(words).next_event()


def test_a_challenge_behind_the_stores_yes_is_no_use():
    core = challenged(b"m1 OK\r\n+ cj14\r\n")
    with pytest.raises(RemoteProtocolError):
        core.next_event()


def test_a_response_without_a_challenge_is_our_own_fault():
    with pytest.raises(LocalProtocolError):
        challenged(b"").respond(b"")
