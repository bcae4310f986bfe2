"""How the session and our side toward the client work together."""

import gc
from contextlib import suppress

import pytest

from mmp.errors import LocalProtocolError, RemoteProtocolError
from mmp.model import Offer, Refusal
from mmp.wire.events import LoggedIn, Login, Logout, StartTLS
from mmp.wire.managesieve.server import Server, State

CLEAR = Offer(mechanisms=(), plaintext=False, starttls=True)
OPEN = Offer(mechanisms=("PLAIN",), plaintext=True, starttls=False)
IN = LoggedIn((), b"Welcome", b"")
PLAIN = b'AUTHENTICATE "PLAIN" "AHVzZXIAc2VjcmV0"\r\n'


def new(offer=OPEN):
    return Server(offer=offer, hostname="mail.example.com", timestamp=b"<1@mail.example.com>")


def greeted(offer=OPEN):
    core = new(offer)
    core.greet()
    core.data_to_send()
    return core


def logging_in(behind=b""):
    core = greeted()
    core.receive_data(PLAIN + behind)
    assert isinstance(core.next_event(), Login)
    return core


def in_state(state):
    core = new(CLEAR if state is State.STARTING_TLS else OPEN)
    if state is not State.CONNECTED:
        core.greet()
    core.receive_data(
        {
            State.AUTHENTICATING: b'AUTHENTICATE "PLAIN"\r\n',
            State.LOGGING_IN: PLAIN,
            State.RESPONDING: PLAIN,
            State.STARTING_TLS: b"STARTTLS\r\n",
            State.AUTHENTICATED: PLAIN,
            State.LOGOUT: b"LOGOUT\r\n",
        }.get(state, b""),
    )
    core.next_event()
    if state is State.RESPONDING:
        core.challenge(b"more")
    if state is State.AUTHENTICATED:
        core.accept(IN)
    core.data_to_send()
    assert core._state is state
    return core


@pytest.mark.parametrize("refusal", Refusal)
def test_somebody_turned_away_hears_bye_instead_of_a_greeting(refusal):
    core = new()
    core.turn_away(refusal)
    said = core.data_to_send()
    assert said.startswith(b"BYE ")
    assert said.count(b"\r\n") == 1


@pytest.mark.parametrize("behind", [b"LISTSCRIPTS\r\n", b"garbage\n\r\0\xff{5+}", b"x" * 100_000])
def test_what_follows_the_login_reaches_the_store_untouched(behind):
    core = logging_in(behind)
    core.receive_data(behind)
    assert core.next_event() is None
    assert core.data_to_send() == b""
    core.accept(IN)
    assert core.data_to_send() == b'OK "Welcome"\r\n'
    core.receive_data(behind)
    assert core.next_event() is None
    assert core.trailing() == 3 * behind
    assert core.trailing() == b""


def test_what_follows_a_refused_login_is_heard():
    core = logging_in(b"NOOP\r\n" + PLAIN)
    core.refuse(Refusal.BAD_CREDENTIALS)
    assert isinstance(core.next_event(), Login)
    assert core.data_to_send().endswith(b'\r\nOK "NOOP completed"\r\n')


@pytest.mark.parametrize("refusal", Refusal)
@pytest.mark.parametrize("state", [State.LOGGING_IN, State.RESPONDING])
def test_every_refusal_answers_the_login_with_one_no(refusal, state):
    core = in_state(state)
    core.refuse(refusal)
    answer = core.data_to_send()
    assert answer.startswith(b"NO ")
    assert answer.index(b"\r\n") == len(answer) - 2
    assert core._state is State.NON_AUTHENTICATED


@pytest.mark.parametrize("state", State)
def test_nothing_is_said_after_a_goodbye_which_is_one_bye(state):
    core = in_state(state)
    core.goodbye(Refusal.SHUTTING_DOWN)
    said = core.data_to_send()
    assert said.count(b"BYE (TRYLATER) ") == said.count(b"\r\n") == (state not in (State.STARTING_TLS, State.LOGOUT))
    core.receive_data(b"NOOP\r\n" + PLAIN)
    assert core.next_event() is None
    core.goodbye(Refusal.INTERNAL)
    core.refuse(Refusal.BAD_CREDENTIALS)
    assert core.data_to_send() == b""
    assert core.buffered == 0


def test_the_answer_to_logout_is_the_last_word():
    core = greeted()
    core.receive_data(b"LOGOUT\r\nNOOP\r\n")
    assert core.next_event() == Logout()
    assert core.data_to_send() == b'OK "Logging out"\r\n'
    assert core.next_event() is None


@pytest.mark.parametrize("behind", [b"\r\n", PLAIN, b"\x16\x03\x01", b" "])
def test_bytes_behind_starttls_end_it_without_agreement(behind):
    core = greeted(CLEAR)
    core.receive_data(b"STARTTLS\r\n" + behind)
    with pytest.raises(RemoteProtocolError):
        core.next_event()
    assert core.data_to_send() == b'BYE "Bytes behind STARTTLS"\r\n'
    assert core.next_event() is None


def test_nothing_of_before_tls_is_known_under_it():
    core = greeted(CLEAR)
    core.receive_data(b"STARTTLS\r\n")
    assert core.next_event() == StartTLS()
    assert core.data_to_send() == b'OK "Begin TLS negotiation"\r\n'
    core.receive_data(PLAIN)
    assert core.next_event() is None
    core.tls_started(OPEN)
    assert core.next_event() is None
    said = core.data_to_send()
    assert b'"SASL" "PLAIN"\r\n' in said
    assert b"STARTTLS" not in said
    assert said.endswith(b'OK "TLS negotiation completed"\r\n')


def test_implicit_tls_settles_the_offer_before_the_greeting():
    core = new(CLEAR)
    core.tls_started(OPEN)
    assert core.data_to_send() == b""
    core.greet()
    assert b'"SASL" "PLAIN"\r\n' in core.data_to_send()


@pytest.mark.parametrize(
    ("call", "states"),
    [
        (Server.greet, {State.CONNECTED}),
        (lambda core: core.accept(IN), {State.LOGGING_IN}),
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
        b'AUTHENTICATE "PLAIN" "AHVzZXIAc3F1ZWFtaXNo"\r\n',
        b'AUTHENTICATE "PLAIN" {20+}\r\nAHVzZXIAc3F1ZWFtaXNo\r\n',
        b'AUTHENTICATE "PLAIN"\r\n{20+}\r\nAHVzZXIAc3F1ZWFtaXNo\r\n',
    ],
)
def test_the_password_is_gone_once_the_login_is_handed_out(command):
    core = greeted()
    core.receive_data(command)
    event = core.next_event()
    assert event.credentials.secret == b"squeamish"
    del event
    kept = [each for each in reachable(core) if isinstance(each, bytes | bytearray | str)]
    assert not any("squeamish" in str(each) or "c3F1ZWFtaXNo" in str(each) for each in kept)


@pytest.mark.parametrize(
    "command", [b'AUTHENTICATE "PLAIN" {20+}\r\nsqueamish', b'AUTHENTICATE "PLAIN" {9+}\r\nsqueamish {99999+}\r\n']
)
def test_the_password_is_gone_once_the_connection_is_over(command):
    core = greeted()
    core.receive_data(command)
    with suppress(RemoteProtocolError):
        core.next_event()
    core.goodbye(Refusal.LOGIN_TIMEOUT)
    kept = [each for each in reachable(core) if isinstance(each, bytes | bytearray | str)]
    assert not any("squeamish" in str(each) for each in kept)
