"""What stores should not send, and what becomes of it."""

import pytest

from mmp.errors import RemoteProtocolError
from mmp.model import Refusal, Replay
from mmp.wire.events import LoginRefused, Ready, StartTLS
from mmp.wire.managesieve.client import CAPABILITIES_LIMIT, Client
from mmp.wire.managesieve.reader import LINE_LIMIT, SIZE_LIMIT

SQUEAMISH = Replay("user", b"squeamish ossifrage")
GREETING = b'"SIEVE" ""\r\n"SASL" "PLAIN"\r\n"STARTTLS"\r\nOK\r\n'


def heard(core, octets):
    core.receive_data(octets)
    return core.next_event()


def given_up(core, octets):
    """Return why the core gives the store up; it must not say another word to it."""
    core.receive_data(octets)
    with pytest.raises(RemoteProtocolError) as error:
        while core.next_event() is not None:
            pass
    core.receive_data(b"OK\r\n")
    assert core.next_event() is None
    assert core.data_to_send() == b""
    assert core.buffered == 0
    assert "squeamish" not in str(error.value)
    return str(error.value)


def logging_in():
    core = Client(starttls=False)
    assert heard(core, GREETING) == Ready()
    core.log_in(SQUEAMISH)
    core.data_to_send()
    return core


@pytest.mark.parametrize(
    "greeting",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"220 smtp.example.com ESMTP\r\n",
        b"* OK IMAP4rev1 ready\r\n",
        b"+OK POP3 ready\r\n",
        b"OK\r\n",
        b'"SASL" "PLAIN"\r\nOK\r\n',
        b"OKAY\r\n",
        b'NO "not here"\r\n',
        b'BYE (TRYLATER) "not now"\r\n',
        b"\r\n",
        b"\n",
        b'"SIEVE" ""\n',
        b'"SIEVE" "" ""\r\n',
        b'"SIEVE\r\n',
        b"SIEVE\r\n",
        b"\x15\x03\x01\x00\x02\x02\x0a",
        b"\0" * 100 + b"\r\n",
        b"x" * LINE_LIMIT,
        b'"SIEVE" {%d}\r\n' % SIZE_LIMIT,
        b'"SIEVE" {99999999999999999999}\r\n',
        b"{1}\r\nx {1}\r\nx {1}\r\nx {1}\r\nx {1}\r\nx\r\n",
    ],
)
def test_a_greeting_that_is_none(greeting):
    given_up(Client(starttls=False), greeting)


def test_a_greeting_with_bye_tells_the_words_of_the_store():
    why = given_up(Client(starttls=False), b'BYE (TRYLATER) "come\x1b[2J back\x07 \\"later\\""\r\n')
    assert why.endswith('BYE (TRYLATER) come [2J back  "later"')


def test_a_store_is_never_spoken_to_in_clear_where_starttls_is_asked_for():
    assert "STARTTLS" in given_up(Client(starttls=True), b'"SIEVE" ""\r\n"SASL" "PLAIN"\r\nOK\r\n')


@pytest.mark.parametrize("answer", [b'NO "not now"\r\n', b"BYE\r\n", b'"STARTTLS"\r\n', b"go\r\n"])
def test_starttls_refused_is_the_end(answer):
    core = Client(starttls=True)
    assert heard(core, GREETING) is None
    assert core.data_to_send() == b"STARTTLS\r\n"
    given_up(core, answer)


@pytest.mark.parametrize("behind", [b"\r\n", b"OK\r\n", GREETING, b"\x16\x03"])
def test_bytes_behind_the_ok_of_starttls_are_the_end(behind):
    core = Client(starttls=True)
    assert heard(core, GREETING) is None
    core.data_to_send()
    assert "STARTTLS" in given_up(core, b"OK\r\n" + behind)


def test_nothing_of_before_tls_is_believed_under_it():
    core = Client(starttls=True)
    heard(core, GREETING)
    assert heard(core, b"OK\r\n") == StartTLS()
    assert heard(core, GREETING) is None
    core.data_to_send()
    core.tls_started()
    assert core.next_event() is None
    assert heard(core, b'"SIEVE" ""\r\n"SASL" "LOGIN"\r\nOK\r\n') == Ready()
    assert core._capabilities == {b"SIEVE": b"", b"SASL": b"LOGIN"}


def test_endless_capabilities_are_the_end():
    core = Client(starttls=False)
    assert heard(core, b"".join(b'"X%d"\r\n' % number for number in range(CAPABILITIES_LIMIT))) is None
    given_up(core, b'"Y"\r\n')


@pytest.mark.parametrize("line", [b'NO "idle"\r\n', b'BYE "idle for too long"\r\n', b'"SIEVE" ""\r\n', b"OK\r\n"])
def test_a_store_that_speaks_unasked_is_no_use(line):
    core = Client(starttls=False)
    assert heard(core, GREETING) == Ready()
    given_up(core, line)


@pytest.mark.parametrize(
    "answer",
    [
        b'"YQ=="\r\n',
        b'"SIEVE" ""\r\n',
        b"OKAY\r\n",
        b"in\r\n",
        b"\r\n",
        b"OK in\r\n",
        b"OK\n",
        b"+OK in\r\n",
        b"OK (\r\n",
    ],
)
def test_answers_to_the_login_that_are_none(answer):
    given_up(logging_in(), answer)


def test_a_challenge_that_is_no_base64_is_the_end():
    core = Client(starttls=False)
    heard(core, b'"SIEVE" ""\r\n"SASL" "XOAUTH2"\r\nOK\r\n')
    core.log_in(Replay("user", b"squeamish", mechanism="XOAUTH2"))
    core.data_to_send()
    given_up(core, b'"{}"\r\n')


def test_literals_in_responses_are_never_read_as_responses():
    core = Client(starttls=False)
    assert heard(core, b'"IMPLEMENTATION" {4}\r\nOK\r\n\r\n"SIEVE" {0}\r\n\r\n"SASL" "PLAIN"\r\n') is None
    assert heard(core, b"OK {8}\r\nBYE no\r\n\r\n") == Ready()


@pytest.mark.parametrize(
    "answer",
    [
        b'NO "squeamish ossifrage is wrong"\r\n',
        b"NO {20}\r\nsqueamish ossifrage!\r\n",
        b'NO (TRYLATER) "' + b"x" * 500 + b'squeamish ossifrage"\r\n',
        b'NO "what is AHVzZXIAc3F1ZWFtaXNoIG9zc2lmcmFnZQ=="\r\n',
        b'BYE "squeamish ossifrage"\r\n',
    ],
)
def test_the_password_does_not_come_back_in_the_words_of_the_store(answer):
    event = heard(logging_in(), answer)
    assert isinstance(event, LoginRefused)
    assert "squeam" not in event.text
    assert "AHVz" not in event.text


def test_the_words_of_the_store_are_fit_for_a_log():
    words = b"\x1b[31mred\r\n\0\x07\xff " + b"x" * 5000
    event = heard(logging_in(), b"NO {%d}\r\n%b\r\n" % (len(words), words))
    assert event.refusal is Refusal.BAD_CREDENTIALS
    assert event.text.startswith("NO  [31mred    \ufffd xxx")
    assert event.text.isprintable()
    assert len(event.text) < 600
