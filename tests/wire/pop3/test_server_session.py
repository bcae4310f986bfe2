"""How the session and our side toward the client work together."""

import gc
from contextlib import suppress

import pytest

from mmp.errors import LocalProtocolError, RemoteProtocolError
from mmp.model import Offer, Refusal
from mmp.wire.events import LoggedIn, Login, Logout, StartTLS
from mmp.wire.pop3.server import Server, State

CLEAR = Offer(mechanisms=(), plaintext=False, starttls=True)
OPEN = Offer(mechanisms=("PLAIN",), plaintext=True, starttls=False)
MIXED = Offer(mechanisms=("PLAIN",), plaintext=True, starttls=True)
DIGESTS = Offer(mechanisms=("CRAM-MD5",), plaintext=False, starttls=True)
IN = LoggedIn((), b"Welcome", b"")
PLAIN = b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n"


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
            State.AUTHENTICATING: b"AUTH PLAIN\r\n",
            State.LOGGING_IN: PLAIN,
            State.RESPONDING: PLAIN,
            State.STARTING_TLS: b"STLS\r\n",
            State.TRANSACTION: PLAIN,
            State.QUIT: b"QUIT\r\n",
        }.get(state, b""),
    )
    core.next_event()
    if state is State.RESPONDING:
        core.challenge(b"more")
    if state is State.TRANSACTION:
        core.accept(IN)
    core.data_to_send()
    assert core._state is state
    return core


def test_the_greeting_names_the_host():
    core = new(CLEAR)
    core.greet()
    assert core.data_to_send() == b"+OK mail.example.com ready\r\n"


def test_the_greeting_has_a_timestamp_only_where_digests_are_taken():
    core = new(DIGESTS)
    core.greet()
    assert core.data_to_send() == b"+OK mail.example.com ready <1@mail.example.com>\r\n"


@pytest.mark.parametrize("refusal", Refusal)
def test_somebody_turned_away_hears_an_error_instead_of_a_greeting(refusal):
    core = new()
    core.turn_away(refusal)
    said = core.data_to_send()
    assert said.startswith(b"-ERR ")
    assert said.count(b"\r\n") == 1


@pytest.mark.parametrize("behind", [b"STAT\r\n", b"garbage\n\r\0\xff", b"x" * 100_000])
def test_what_follows_the_login_reaches_the_store_untouched(behind):
    core = logging_in(behind)
    core.receive_data(behind)
    assert core.next_event() is None
    assert core.data_to_send() == b""
    assert core.buffered == 2 * len(behind)
    core.accept(IN)
    assert core.data_to_send() == b"+OK Welcome\r\n"
    core.receive_data(behind)
    assert core.next_event() is None
    assert core.trailing() == 3 * behind
    assert core.trailing() == b""
    assert core.data_to_send() == b""


def test_what_follows_a_refused_login_is_heard():
    core = logging_in(b"NOOP\r\nUSER user\r\nPASS other\r\n")
    core.refuse(Refusal.BAD_CREDENTIALS)
    event = core.next_event()
    assert event.credentials.secret == b"other"
    assert core.data_to_send().endswith(b"\r\n+OK Still here\r\n+OK Password required\r\n")


@pytest.mark.parametrize("refusal", Refusal)
@pytest.mark.parametrize("state", [State.LOGGING_IN, State.RESPONDING])
def test_every_refusal_answers_the_login_with_one_error(refusal, state):
    core = in_state(state)
    core.refuse(refusal)
    answer = core.data_to_send()
    assert answer.startswith(b"-ERR ")
    assert answer.index(b"\r\n") == len(answer) - 2
    assert core._state is State.AUTHORIZATION


@pytest.mark.parametrize("state", State)
def test_nothing_is_said_after_a_goodbye_which_is_one_error(state):
    core = in_state(state)
    core.goodbye(Refusal.SHUTTING_DOWN)
    said = core.data_to_send()
    assert said.count(b"-ERR [SYS/TEMP] ") == said.count(b"\r\n") == (state not in (State.STARTING_TLS, State.QUIT))
    core.receive_data(b"NOOP\r\nUSER user\r\nPASS secret\r\n")
    assert core.next_event() is None
    core.goodbye(Refusal.INTERNAL)
    core.refuse(Refusal.BAD_CREDENTIALS)
    assert core.data_to_send() == b""
    assert core.buffered == 0


def test_the_answer_to_quit_is_the_last_word():
    core = greeted()
    core.receive_data(b"QUIT\r\nNOOP\r\n")
    assert core.next_event() == Logout()
    assert core.data_to_send() == b"+OK Logging out\r\n"
    assert core.next_event() is None
    core.goodbye(Refusal.SHUTTING_DOWN)
    assert core.data_to_send() == b""


@pytest.mark.parametrize("behind", [b"\r\n", b"USER user\r\nPASS secret\r\n", b"\x16\x03\x01", b" "])
def test_bytes_behind_stls_end_it_without_agreement(behind):
    core = greeted(CLEAR)
    core.receive_data(b"STLS\r\n" + behind)
    with pytest.raises(RemoteProtocolError):
        core.next_event()
    assert core.data_to_send() == b"-ERR Bytes behind STLS\r\n"
    assert core.next_event() is None


def test_nothing_of_before_tls_is_known_under_it():
    core = greeted(MIXED)
    core.receive_data(b"USER somebody\r\nSTLS\r\n")
    assert core.next_event() == StartTLS()
    assert core.data_to_send() == b"+OK Password required\r\n+OK Begin TLS negotiation\r\n"
    core.receive_data(PLAIN)
    assert core.next_event() is None
    core.tls_started(OPEN)
    assert core.next_event() is None
    assert core.data_to_send() == b""
    core.receive_data(b"PASS secret\r\nSTLS\r\n")
    assert core.next_event() is None
    assert core.data_to_send() == b"-ERR USER comes before PASS\r\n-ERR STLS is not available\r\n"


@pytest.mark.parametrize(
    ("said", "ttl"),
    [
        (b"ADDR=192.0.2.7 PORT=5 SESSION=s1 TTL=3", 3),
        (b"ttl=3 ADDR=192.0.2.7", 3),
        (b"ADDR=192.0.2.7", None),
        (b"XTTL=3", None),
        (b"TTL=-1", None),
        (b"TTL=1000", None),
        (b"TTL=3\r", None),
        (b"", None),
    ],
)
def test_of_what_a_proxy_says_of_its_client_only_the_way_that_is_left_counts(said, ttl):
    core = greeted()
    core.receive_data(b"XCLIENT " + said + b"\r\n" + PLAIN)
    login = core.next_event()
    assert (login.credentials.user, login.ttl) == ("user", ttl)
    assert core.data_to_send() == b"+OK Noted\r\n"


def test_how_often_a_connection_may_be_passed_on_is_forgotten_under_tls():
    core = greeted(MIXED)
    core.receive_data(b"XCLIENT TTL=1\r\nSTLS\r\n")
    assert core.next_event() == StartTLS()
    core.tls_started(OPEN)
    core.receive_data(PLAIN)
    assert core.next_event().ttl is None


def test_implicit_tls_settles_the_offer_before_the_greeting():
    core = new(CLEAR)
    core.tls_started(DIGESTS)
    core.greet()
    assert core.data_to_send().endswith(b" <1@mail.example.com>\r\n")


@pytest.mark.parametrize(
    ("call", "states"),
    [
        (Server.greet, {State.CONNECTED}),
        (lambda core: core.accept(IN), {State.LOGGING_IN}),
        (lambda core: core.challenge(b"more"), {State.AUTHORIZATION, State.AUTHENTICATING, State.LOGGING_IN}),
        (lambda core: core.refuse(Refusal.INTERNAL), {State.LOGGING_IN, State.RESPONDING, State.QUIT}),
        (lambda core: core.tls_started(OPEN), {State.CONNECTED, State.STARTING_TLS}),
        (Server.trailing, {State.TRANSACTION}),
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
        b"USER user\r\nPASS squeamish\r\n",
        b"AUTH PLAIN AHVzZXIAc3F1ZWFtaXNo\r\n",
        b"AUTH PLAIN\r\nAHVzZXIAc3F1ZWFtaXNo\r\n",
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


@pytest.mark.parametrize("command", [b"USER user\r\nPASS squeamish", b"AUTH PLAIN squeamish", b"PASS squeamish\n"])
def test_the_password_is_gone_once_the_connection_is_over(command):
    core = greeted()
    core.receive_data(command)
    with suppress(RemoteProtocolError):
        core.next_event()
    core.goodbye(Refusal.LOGIN_TIMEOUT)
    kept = [each for each in reachable(core) if isinstance(each, bytes | bytearray | str)]
    assert not any("squeamish" in str(each) for each in kept)
