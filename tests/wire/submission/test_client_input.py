"""What relays should not send, and what becomes of it."""

import pytest

from mmp.errors import RemoteProtocolError
from mmp.model import Endpoint, Origin, Refusal, Replay
from mmp.wire.events import LoginRefused, Ready, StartTLS
from mmp.wire.submission.client import Client
from mmp.wire.submission.reply import LINE_LIMIT, LINES_LIMIT

PASSWORD = b"squeamish ossifrage"
ORIGIN = Origin("s1", Endpoint("192.0.2.7", 1), Endpoint("192.0.2.1", 587), ttl=5)


def new(*, starttls=False):
    return Client(starttls=starttls, hostname="proxy.example.com")


def heard(core, *answers):
    """Return the last event that these answers lead to; what is said in between is forgotten."""
    event = None
    for answer in answers:
        core.receive_data(answer)
        event = core.next_event()
        core.data_to_send()
    return event


def logging_in(capabilities=b"250-r\r\n250 AUTH PLAIN\r\n", **replay):
    core = new()
    assert heard(core, b"220 hello\r\n", capabilities) == Ready()
    core.log_in(Replay("user", PASSWORD, **replay))
    core.data_to_send()
    return core


def given_up(core, octets):
    """The octets make the store no use: nothing more is said, or kept."""
    core.receive_data(octets)
    with pytest.raises(RemoteProtocolError) as error:
        core.next_event()
    assert "squeam" not in str(error.value)
    assert core.data_to_send() == b""
    assert core.buffered == 0
    core.receive_data(b"250 x\r\n")
    assert core.next_event() is None
    assert core.buffered == 0
    return str(error.value)


@pytest.mark.parametrize(
    "greeting",
    [
        b"554 5.3.2 not you\r\n",
        b"421 4.3.2 busy\r\n",
        b"250 hello\r\n",
        b"220 hello\n",
        b"220hello\r\n",
        b"22 hello\r\n",
        b"120 hello\r\n",
        b"920 hello\r\n",
        b" 220 hello\r\n",
        b"220-hello\r\n221 there\r\n",
        b"220-hello\r\n220\thello\r\n",
        b"* OK hello\r\n",
        b"+OK hello\r\n",
        b"\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x15\x03\x01\0\x02\x02\x0a\n",
        b"2" * LINE_LIMIT,
        b"220-x\r\n" * LINES_LIMIT,
    ],
)
@pytest.mark.parametrize("starttls", [False, True])
def test_what_is_no_greeting_is_the_end(greeting, starttls):
    given_up(new(starttls=starttls), greeting)


@pytest.mark.parametrize(
    "answer", [b"500 what\r\n", b"502 5.5.2 EHLO\r\n", b"421 bye\r\n", b"354 go\r\n", b"250-a\r\n251 b\r\n"]
)
def test_a_relay_that_refuses_ehlo_is_no_use(answer):
    core = new()
    heard(core, b"220 hello\r\n")
    given_up(core, answer)


@pytest.mark.parametrize("answer", [b"454 4.7.0 no\r\n", b"501 no\r\n", b"250 yes\r\n"])
def test_a_relay_that_refuses_starttls_hears_nothing_more(answer):
    core = new(starttls=True)
    heard(core, b"220 hello\r\n", b"250-r\r\n250 STARTTLS\r\n")
    given_up(core, answer)


def test_a_relay_that_does_not_offer_starttls_hears_nothing_more():
    core = new(starttls=True)
    heard(core, b"220 hello\r\n")
    assert given_up(core, b"250-r\r\n250 AUTH PLAIN\r\n") == "The store does not offer STARTTLS"


@pytest.mark.parametrize("behind", [b"250-r\r\n250 AUTH PLAIN\r\n", b"\n", b"x"])
def test_bytes_behind_the_answer_to_starttls_end_it(behind):
    core = new(starttls=True)
    heard(core, b"220 hello\r\n", b"250-r\r\n250 STARTTLS\r\n")
    given_up(core, b"220 go\r\n" + behind)


def test_what_comes_while_tls_is_negotiated_is_forgotten():
    core = new(starttls=True)
    assert heard(core, b"220 hello\r\n", b"250-r\r\n250-XCLIENT ADDR\r\n250 STARTTLS\r\n", b"220 go\r\n") == StartTLS()
    core.receive_data(b"250 AUTH PLAIN\r\n")
    core.tls_started()
    assert core.buffered == 0
    assert core.capabilities == ()
    assert core.data_to_send() == b"EHLO proxy.example.com\r\n"


@pytest.mark.parametrize("spoken", [b"421 4.4.2 timeout\r\n", b"250 what\r\n", b"garbage\r\n"])
def test_a_relay_that_speaks_unasked_is_no_use(spoken):
    core = new()
    heard(core, b"220 hello\r\n", b"250-r\r\n250 AUTH PLAIN\r\n")
    given_up(core, spoken)


@pytest.mark.parametrize("answer", [b"334 \r\n", b"334 bW9yZQ==\r\n", b"garbage\r\n", b"235-in\r\n250 in\r\n"])
def test_an_answer_to_plain_that_is_none_is_the_end(answer):
    given_up(logging_in(), answer)


def test_a_relay_that_agrees_before_it_has_heard_the_password_is_no_use():
    core = new()
    heard(core, b"220 hello\r\n", b"250-r\r\n250 AUTH LOGIN\r\n")
    core.log_in(Replay("user", PASSWORD))
    assert core.data_to_send() == b"AUTH LOGIN\r\n"
    given_up(core, b"235 2.7.0 in\r\n")


@pytest.mark.parametrize("challenge", [b"334 {}\r\n", b"334-YQ==\r\n334 YQ==\r\n", b"334 YQ\r\n"])
def test_a_challenge_that_is_no_base64_is_the_end(challenge):
    given_up(logging_in(b"250-r\r\n250 AUTH XOAUTH2\r\n", mechanism="XOAUTH2"), challenge)


@pytest.mark.parametrize("answer", [b"500 what\r\n", b"421 bye\r\n", b"354 x\r\n"])
def test_a_relay_that_refuses_ehlo_after_xclient_is_no_use(answer):
    core = logging_in(b"250-r\r\n250-XCLIENT ADDR\r\n250 AUTH PLAIN\r\n", origin=ORIGIN)
    heard(core, b"220 again\r\n")
    given_up(core, answer)


@pytest.mark.parametrize(
    "answer",
    [
        b"500 unknown command AHVzZXIAc3F1ZWFtaXNoIG9zc2lmcmFnZQ==\r\n",
        b"535 5.7.8 squeamish ossifrage is wrong\r\n",
        b"535-5.7.8 squeamish\r\n535 5.7.8 ossifrage\r\n",
        b"535 " + b"x" * 470 + b"squeamish ossifrage\r\n",
    ],
)
def test_the_password_does_not_come_back_in_the_words_of_the_relay(answer):
    event = heard(logging_in(), answer)
    assert isinstance(event, LoginRefused)
    assert "squeamish ossifrage" not in event.text
    assert "AHVz" not in event.text


def test_the_words_of_the_relay_are_fit_for_a_log():
    event = heard(logging_in(), b"535 \x1b[31mred\r\0\x07\xff " + b"x" * 5000 + b"\r\n")
    assert event.refusal is Refusal.BAD_CREDENTIALS
    assert event.text.startswith("535  [31mred   \ufffd xxx")
    assert event.text.isprintable()
    assert len(event.text) < 600
