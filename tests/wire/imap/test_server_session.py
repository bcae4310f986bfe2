"""How the session and our side toward the client work together."""

import gc
from contextlib import suppress

import pytest

from mmp.errors import LocalProtocolError, RemoteProtocolError
from mmp.model import Offer, Refusal
from mmp.wire.events import LoggedIn, Login, Logout, Response, StartTLS
from mmp.wire.imap.server import Server, State

CLEAR = Offer(mechanisms=(), plaintext=False, starttls=True)
OPEN = Offer(mechanisms=("PLAIN",), plaintext=True, starttls=False)
IN = LoggedIn((b"IMAP4rev1",), b"Welcome", b"")


def greeted(offer=OPEN):
    core = Server(offer=offer, hostname="mail.example.com", timestamp=b"<1.2@mail.example.com>")
    core.greet()
    core.data_to_send()
    return core


def logging_in(behind=b""):
    core = greeted()
    core.receive_data(b"a LOGIN user secret\r\n" + behind)
    assert isinstance(core.next_event(), Login)
    return core


def in_state(state):
    core = Server(
        offer=CLEAR if state is State.STARTING_TLS else OPEN,
        hostname="mail.example.com",
        timestamp=b"<1.2@mail.example.com>",
    )
    if state is not State.CONNECTED:
        core.greet()
    core.receive_data(
        {
            State.AUTHENTICATING: b"a AUTHENTICATE PLAIN\r\n",
            State.LOGGING_IN: b"a LOGIN user secret\r\n",
            State.STARTING_TLS: b"a STARTTLS\r\n",
            State.RESPONDING: b"a LOGIN user secret\r\n",
            State.AUTHENTICATED: b"a LOGIN user secret\r\n",
            State.LOGOUT: b"a LOGOUT\r\n",
        }.get(state, b""),
    )
    core.next_event()
    if state is State.AUTHENTICATED:
        core.accept(IN)
    if state is State.RESPONDING:
        core.challenge(b"prove it")
    core.data_to_send()
    assert core._state is state
    return core


def responding(behind=b""):
    core = logging_in(behind)
    core.challenge(b"prove it")
    assert core.data_to_send() == b"+ cHJvdmUgaXQ=\r\n"
    return core


def alerting(text):
    core = Server(offer=OPEN, hostname="mail.example.com", timestamp=b"<1.2@mail.example.com>", alert=text)
    core.greet()
    core.receive_data(b"a LOGIN user secret\r\n")
    core.next_event()
    core.data_to_send()
    return core


def test_a_user_whose_store_is_away_is_alerted_and_may_go_on():
    core = alerting("Back at noon.")
    core.refuse(Refusal.BACKEND_UNAVAILABLE)
    untagged, tagged, rest = core.data_to_send().split(b"\r\n")
    assert untagged == b"* NO [ALERT] Back at noon."
    assert tagged.startswith(b"a NO [UNAVAILABLE] ")
    assert rest == b""
    core.receive_data(b"b LOGIN user secret\r\n")
    assert isinstance(core.next_event(), Login)


@pytest.mark.parametrize("refusal", [each for each in Refusal if each is not Refusal.BACKEND_UNAVAILABLE])
def test_no_other_refusal_alerts(refusal):
    core = alerting("Back at noon.")
    core.refuse(refusal)
    assert b"ALERT" not in core.data_to_send()


def test_there_is_no_alert_without_a_text():
    core = alerting("")
    core.refuse(Refusal.BACKEND_UNAVAILABLE)
    assert core.data_to_send().startswith(b"a NO [UNAVAILABLE] ")


def test_a_pending_login_may_be_asked_for_more():
    core = responding()
    assert core.next_event() is None
    core.receive_data(b"bXkgcHJvb2Y=\r\n")
    assert core.next_event() == Response(b"my proof")
    core.challenge(b"")
    assert core.data_to_send() == b"+ \r\n"
    core.receive_data(b"\r\nb SELECT inbox\r\n")
    assert core.next_event() == Response(b"")
    assert core.next_event() is None
    core.accept(IN)
    assert core.data_to_send() == b"a OK [CAPABILITY IMAP4rev1] Welcome\r\n"
    assert core.trailing() == b"b SELECT inbox\r\n"


@pytest.mark.parametrize("line", [b"*\r\n", b"!\r\n", b"YQ\r\n", b"YQ==\n", b"{5}\r\n", b"b NOOP {3+}\r\nxxx\r\n"])
def test_an_exchange_that_the_client_gives_up_is_bad_and_another_login_may_follow(line):
    core = responding()
    core.receive_data(line + b"c LOGIN user other\r\n")
    assert core.next_event() == Response(None)
    core.refuse(Refusal.CANCELLED)
    assert core.data_to_send() == b"a BAD Given up by the client\r\n"
    assert core.next_event().credentials.secret == b"other"


@pytest.mark.parametrize("line", [b"A" * 70_000, b"x {99999999+}\r\n"])
def test_an_endless_response_is_the_end(line):
    core = responding()
    core.receive_data(line)
    with pytest.raises(RemoteProtocolError):
        core.next_event()
    assert core.data_to_send().startswith(b"* BYE ")
    assert core.buffered == 0


def test_the_greeting_names_host_and_capabilities():
    core = Server(offer=CLEAR, hostname="mail.example.com", timestamp=b"<1.2@mail.example.com>")
    core.greet()
    assert core.data_to_send() == (
        b"* OK [CAPABILITY IMAP4rev1 SASL-IR ID LITERAL+ STARTTLS LOGINDISABLED] mail.example.com ready\r\n"
    )


def test_somebody_turned_away_hears_bye_instead_of_a_greeting():
    core = Server(offer=OPEN, hostname="mail.example.com", timestamp=b"<1.2@mail.example.com>")
    core.turn_away(Refusal.SHUTTING_DOWN)
    assert core.data_to_send().startswith(b"* BYE [UNAVAILABLE] ")


@pytest.mark.parametrize("behind", [b"b SELECT inbox\r\n", b"garbage\n\r\0\xff{5+}", b"x" * 100_000])
def test_what_follows_the_login_reaches_the_store_untouched(behind):
    core = logging_in(behind)
    core.receive_data(behind)
    assert core.next_event() is None
    assert core.data_to_send() == b""
    assert core.buffered == 2 * len(behind)
    core.accept(IN)
    assert core.data_to_send() == b"a OK [CAPABILITY IMAP4rev1] Welcome\r\n"
    core.receive_data(behind)
    assert core.next_event() is None
    assert core.trailing() == 3 * behind
    assert core.trailing() == b""
    assert core.data_to_send() == b""


def test_what_follows_a_refused_login_is_heard():
    core = logging_in(b"b NOOP\r\nc LOGIN user other\r\n")
    core.refuse(Refusal.BAD_CREDENTIALS)
    event = core.next_event()
    assert event.credentials.secret == b"other"
    assert core.data_to_send().endswith(b"\r\nb OK NOOP completed\r\n")


@pytest.mark.parametrize("refusal", [each for each in Refusal if each is not Refusal.CANCELLED])
def test_every_refusal_answers_the_login_with_a_tagged_no(refusal):
    core = logging_in()
    core.refuse(refusal)
    answer = core.data_to_send()
    assert answer.startswith(b"a NO ")
    assert answer.index(b"\r\n") == len(answer) - 2
    assert core._state is State.NOT_AUTHENTICATED


@pytest.mark.parametrize("refusal", Refusal)
def test_a_goodbye_answers_the_pending_login_first(refusal):
    core = logging_in()
    core.goodbye(refusal)
    no, bye, end = core.data_to_send().split(b"\r\n")
    assert no.startswith((b"a NO ", b"a BAD "))
    assert bye.startswith(b"* BYE ")
    assert end == b""


def test_unknown_user_and_wrong_password_read_alike():
    answers = set()
    for secret in (b"wrong", b"unknown"):
        core = greeted()
        core.receive_data(b"a LOGIN user %b\r\n" % secret)
        core.next_event()
        core.refuse(Refusal.BAD_CREDENTIALS)
        answers.add(core.data_to_send())
    assert len(answers) == 1


@pytest.mark.parametrize("state", State)
def test_nothing_is_said_after_a_goodbye(state):
    core = in_state(state)
    core.goodbye(Refusal.SHUTTING_DOWN)
    said = core.data_to_send()
    assert said.count(b"* BYE ") == (state not in (State.STARTING_TLS, State.LOGOUT))
    core.receive_data(b"b NOOP\r\nc LOGIN user secret\r\n")
    assert core.next_event() is None
    core.goodbye(Refusal.INTERNAL)
    core.refuse(Refusal.BAD_CREDENTIALS)
    assert core.data_to_send() == b""
    assert core.buffered == 0


def test_the_answer_to_logout_is_the_last_word():
    core = greeted()
    core.receive_data(b"a LOGOUT\r\nb NOOP\r\n")
    assert core.next_event() == Logout()
    assert core.data_to_send() == b"* BYE Logging out\r\na OK LOGOUT completed\r\n"
    assert core.next_event() is None
    core.goodbye(Refusal.SHUTTING_DOWN)
    assert core.data_to_send() == b""


@pytest.mark.parametrize("behind", [b"\r\n", b"b LOGIN user secret\r\n", b"\x16\x03\x01", b" "])
def test_bytes_behind_starttls_end_it_without_agreement(behind):
    core = greeted(CLEAR)
    core.receive_data(b"a STARTTLS\r\n" + behind)
    with pytest.raises(RemoteProtocolError):
        core.next_event()
    assert core.data_to_send() == b"a BAD Nothing may follow STARTTLS\r\n* BYE Bytes behind STARTTLS\r\n"
    assert core.next_event() is None


def test_nothing_of_before_tls_is_known_under_it():
    core = greeted(CLEAR)
    core.receive_data(b"a STARTTLS\r\n")
    assert core.next_event() == StartTLS()
    assert core.data_to_send() == b"a OK Begin TLS negotiation\r\n"
    core.receive_data(b"b LOGIN injected secret\r\n")
    assert core.next_event() is None
    core.tls_started(OPEN)
    assert core.next_event() is None
    assert core.data_to_send() == b""
    core.receive_data(b"c CAPABILITY\r\nd STARTTLS\r\n")
    assert core.next_event() is None
    said = core.data_to_send()
    assert said.startswith(b"* CAPABILITY IMAP4rev1 SASL-IR ID LITERAL+ AUTH=PLAIN\r\nc OK ")
    assert b"\r\nd BAD " in said


def test_implicit_tls_settles_the_offer_before_the_greeting():
    core = Server(offer=CLEAR, hostname="mail.example.com", timestamp=b"<1.2@mail.example.com>")
    core.tls_started(OPEN)
    core.greet()
    assert b"LITERAL+ AUTH=PLAIN]" in core.data_to_send()


@pytest.mark.parametrize(
    ("call", "states"),
    [
        (Server.greet, {State.CONNECTED}),
        (lambda core: core.accept(IN), {State.LOGGING_IN}),
        (lambda core: core.challenge(b""), {State.LOGGING_IN}),
        (lambda core: core.refuse(Refusal.INTERNAL), {State.LOGGING_IN, State.RESPONDING, State.LOGOUT}),
        (lambda core: core.tls_started(OPEN), {State.CONNECTED, State.STARTING_TLS}),
        (Server.trailing, {State.AUTHENTICATED}),
    ],
)
def test_a_call_out_of_place_is_our_own_fault(call, states):
    for state in State:
        core = in_state(state)
        if state in states:
            call(core)
        else:
            with pytest.raises(LocalProtocolError):
                call(core)


def reachable(thing):
    """Yield everything that an object keeps alive, but classes and modules."""
    seen, waiting = {}, [thing]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, type) or callable(each):
            continue
        seen[id(each)] = each
        waiting += gc.get_referents(each)
    return seen.values()


@pytest.mark.parametrize(
    "command",
    [
        b"a LOGIN user squeamish\r\n",
        b'a LOGIN user "squeamish"\r\n',
        b"a LOGIN {4+}\r\nuser {9+}\r\nsqueamish\r\n",
        b"a AUTHENTICATE PLAIN AHVzZXIAc3F1ZWFtaXNo\r\n",
        b"a AUTHENTICATE PLAIN\r\nAHVzZXIAc3F1ZWFtaXNo\r\n",
    ],
)
def test_the_password_is_gone_once_the_login_is_handed_out(command):
    core = greeted()
    core.receive_data(command)
    event = core.next_event()
    assert event.credentials.secret == b"squeamish"
    assert "squeamish" not in repr(event)
    del event
    kept = [each for each in reachable(core) if isinstance(each, bytes | bytearray | str)]
    assert not any("squeamish" in str(each) or "c3F1ZWFtaXNo" in str(each) for each in kept)


@pytest.mark.parametrize(
    "command",
    [b"a LOGIN {9+}\r\nsqueamish {99999+}\r\n", b"a LOGIN user squeamish x\r\n", b"a LOGIN user {9+}\r\nsqueamish"],
)
def test_the_password_is_gone_once_the_connection_is_over(command):
    core = greeted()
    core.receive_data(command)
    with suppress(RemoteProtocolError):
        core.next_event()
    core.goodbye(Refusal.LOGIN_TIMEOUT)
    kept = [each for each in reachable(core) if isinstance(each, bytes | bytearray | str)]
    assert not any("squeamish" in str(each) for each in kept)
