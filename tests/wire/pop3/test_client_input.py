"""What stores should not send, and what becomes of it."""

import pytest

from mmp.errors import RemoteProtocolError
from mmp.model import Refusal, Replay
from mmp.wire.events import LoggedIn, LoginRefused, Ready, StartTLS
from mmp.wire.pop3.client import CAPABILITIES_LIMIT, LINE_LIMIT, Client

SQUEAMISH = Replay("user", b"squeamish ossifrage")


def heard(core, octets):
    core.receive_data(octets)
    return core.next_event()


def given_up(core, octets):
    """Return why the core gives the store up; it must not say another word to it."""
    core.receive_data(octets)
    with pytest.raises(RemoteProtocolError) as error:
        while core.next_event() is not None:
            pass
    core.receive_data(b"+OK\r\n.\r\n")
    assert core.next_event() is None
    assert core.data_to_send() == b""
    assert core.buffered == 0
    assert "squeamish" not in str(error.value)
    return str(error.value)


def greeted():
    core = Client(starttls=False)
    assert heard(core, b"+OK hello\r\n") is None
    assert core.data_to_send() == b"CAPA\r\n"
    return core


def logging_in(capabilities=b"SASL PLAIN\r\n"):
    core = greeted()
    assert heard(core, b"+OK\r\n%b.\r\n" % capabilities) == Ready()
    core.log_in(SQUEAMISH)
    core.data_to_send()
    return core


@pytest.mark.parametrize(
    "greeting",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"220 smtp.example.com ESMTP\r\n",
        b"* OK IMAP4rev1 ready\r\n",
        b"+ go on\r\n",
        b"+OKAY hello\r\n",
        b"+ok hello\r\n",
        b"-ERRONEOUS\r\n",
        b"-ERR [SYS/TEMP] later\r\n",
        b"\r\n",
        b"\n",
        b"+OK hello\n",
        b"\x15\x03\x01\x00\x02\x02\x0a",
        b"\x16\x03\x01\x00\x02\x02\r\n",
        b"\0" * 100 + b"\r\n",
        b"x" * LINE_LIMIT,
        b"+OK " + b"x" * 1_000_000 + b"\r\n",
    ],
)
def test_a_greeting_that_is_none(greeting):
    given_up(Client(starttls=False), greeting)


def test_a_greeting_that_refuses_tells_the_words_of_the_store():
    why = given_up(Client(starttls=False), b"-ERR [SYS/TEMP] come\x1b[2J back\x00 later\r\n")
    assert why.endswith("-ERR [SYS/TEMP] come [2J back  later")


@pytest.mark.parametrize("answer", [b"-ERR not now\r\n", b"-ERR\r\n", b"+ \r\n", b"no\r\n", b"+OK go\n"])
def test_stls_refused_is_the_end(answer):
    core = Client(starttls=True)
    assert heard(core, b"+OK hello\r\n") is None
    assert core.data_to_send() == b"STLS\r\n"
    given_up(core, answer)


@pytest.mark.parametrize("behind", [b"\r\n", b"+OK\r\n", b"+OK\r\nSASL PLAIN\r\n.\r\n", b"\x16\x03"])
def test_bytes_behind_the_ok_of_stls_are_the_end(behind):
    core = Client(starttls=True)
    assert heard(core, b"+OK hello\r\n") is None
    core.data_to_send()
    assert "STLS" in given_up(core, b"+OK go\r\n" + behind)


def test_what_came_in_clear_is_not_heard_under_tls():
    core = Client(starttls=True)
    heard(core, b"+OK hello\r\n")
    assert heard(core, b"+OK go\r\n") == StartTLS()
    assert heard(core, b"+OK\r\nSASL PLAIN\r\n.\r\n") is None
    core.data_to_send()
    core.tls_started()
    assert core.next_event() is None
    assert core.data_to_send() == b"CAPA\r\n"
    assert heard(core, b"+OK\r\nSASL LOGIN\r\n.\r\n") == Ready()
    assert core._capabilities == [b"SASL LOGIN"]


@pytest.mark.parametrize(
    "answer", [b"what\r\n", b"CAPA\r\n", b"+ more\r\n", b".\r\n", b"+OK\r\nTOP\n", b"+OK\r\n" + b"x" * LINE_LIMIT]
)
def test_answers_to_capa_that_are_none(answer):
    given_up(greeted(), answer)


def test_a_store_that_loses_patience_is_no_use():
    core = greeted()
    assert heard(core, b"-ERR what\r\n") == Ready()
    assert "idle" in given_up(core, b"-ERR idle for too long\r\n")


def test_endless_capabilities_are_the_end():
    core = greeted()
    assert heard(core, b"+OK\r\n" + b"X\r\n" * CAPABILITIES_LIMIT) is None
    given_up(core, b"X\r\n")


def test_odd_lines_of_capa_do_no_harm():
    core = greeted()
    assert heard(core, b"+OK\r\n\r\n..\r\n \r\n+OK\r\n-ERR no\r\n\xff\0\r\nsasl  plain \r\n.\r\n") == Ready()
    core.log_in(SQUEAMISH)
    assert core.data_to_send().startswith(b"AUTH PLAIN ")


@pytest.mark.parametrize(
    "answer",
    [
        b"+ more\r\n",
        b"+ YQ==\r\n",
        b"+OKAY\r\n",
        b"in\r\n",
        b"\r\n",
        b".\r\n",
        b"+OK in\n",
        b"* OK in\r\n",
        b"235 2.7.0 in\r\n",
        b"+OK " + b"x" * LINE_LIMIT,
    ],
)
def test_answers_to_the_login_that_are_none(answer):
    given_up(logging_in(), answer)


@pytest.mark.parametrize("answer", [b"+ \r\n", b"what\r\n"])
def test_answers_to_user_that_are_none(answer):
    given_up(logging_in(b"USER\r\n"), answer)


def test_a_store_that_agrees_before_it_has_heard_the_password_is_no_use():
    core = greeted()
    heard(core, b"+OK\r\nSASL PLAIN\r\n.\r\n")
    core.log_in(Replay("user", b"squeamish " * 100))
    assert core.data_to_send() == b"AUTH PLAIN\r\n"
    given_up(core, b"+OK in\r\n")


def test_a_challenge_that_is_no_base64_is_the_end():
    core = greeted()
    heard(core, b"+OK\r\nSASL XOAUTH2\r\n.\r\n")
    core.log_in(Replay("user", b"squeamish", mechanism="XOAUTH2"))
    core.data_to_send()
    given_up(core, b"+ {}\r\n")


@pytest.mark.parametrize(
    ("capabilities", "answer"),
    [
        (b"USER\r\n", b"+OK\r\n-ERR unknown command PASS squeamish ossifrage\r\n"),
        (b"SASL PLAIN\r\n", b"-ERR [AUTH] squeamish ossifrage is wrong\r\n"),
        (b"SASL PLAIN\r\n", b"-ERR " + b"x" * 470 + b"squeamish ossifrage\r\n"),
        (b"SASL PLAIN\r\n", b"-ERR what is AHVzZXIAc3F1ZWFtaXNoIG9zc2lmcmFnZQ== here\r\n"),
    ],
)
def test_the_password_does_not_come_back_in_the_words_of_the_store(capabilities, answer):
    event = heard(logging_in(capabilities), answer)
    assert isinstance(event, LoginRefused)
    assert "squeam" not in event.text
    assert "AHVz" not in event.text


def test_the_words_of_the_store_are_fit_for_a_log():
    event = heard(logging_in(), b"-ERR \x1b[31mred\r\0\x07\xff " + b"x" * 5000 + b"\r\n")
    assert event.refusal is Refusal.BAD_CREDENTIALS
    assert event.text.startswith("-ERR  [31mred   \ufffd xxx")
    assert event.text.isprintable()
    assert len(event.text) < 600


def test_a_code_in_the_ok_is_left_out():
    assert heard(logging_in(), b"+OK [WARN] in\r\n") == LoggedIn((), b"in", b"")
