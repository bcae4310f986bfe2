"""How the session and our side toward the client work together, in every protocol."""

import gc
from contextlib import suppress

import pytest

from mmp.errors import LocalProtocolError, RemoteProtocolError
from mmp.model import Refusal
from mmp.wire.events import Login, Logout
from mmp.wire.toward_client import State
from tests.wire.server_side import OPEN, in_state, introduced, logging_in, made, named
from tests.wire.servers import SERVERS

each_side = pytest.mark.parametrize("side", SERVERS, ids=named)
each_refusal = pytest.mark.parametrize("refusal", Refusal, ids=named)
each_state = pytest.mark.parametrize("state", State, ids=named)


@each_side
@each_refusal
def test_somebody_turned_away_hears_one_line_instead_of_a_greeting(side, refusal):
    core = made(side)
    core.turn_away(refusal)
    said = core.data_to_send()
    assert said.startswith(side.turned_away)
    assert said.count(b"\r\n") == 1


@each_side
@pytest.mark.parametrize("behind", [None, b"garbage\n\r\0\xff{5+}", b"x" * 100_000], ids=["command", "garbage", "long"])
def test_what_follows_the_login_reaches_the_store_untouched(side, behind):
    behind = side.later if behind is None else behind
    core = logging_in(side, behind)
    core.receive_data(behind)
    assert core.next_event() is None
    assert core.data_to_send() == b""
    assert core.buffered == 2 * len(behind)
    core.accept(side.let_in)
    assert core.data_to_send() == side.welcome
    core.receive_data(behind)
    assert core.next_event() is None
    assert core.trailing() == 3 * behind
    assert core.trailing() == b""
    assert core.data_to_send() == b""


@each_side
def test_what_follows_a_refused_login_is_heard(side):
    core = logging_in(side, side.noop + side.login(b"other"))
    core.refuse(Refusal.BAD_CREDENTIALS)
    assert core.next_event().credentials.secret == b"other"
    assert core.data_to_send().endswith(b"\r\n" + side.noop_ok)


@each_side
@each_refusal
@pytest.mark.parametrize("state", [State.LOGGING_IN, State.RESPONDING], ids=named)
def test_every_refusal_answers_the_login_with_one_line(side, state, refusal):
    core = in_state(side, state)
    core.refuse(refusal)
    answer = core.data_to_send()
    assert answer.startswith(side.cancelled if refusal is Refusal.CANCELLED else side.refused)
    assert answer.index(b"\r\n") == len(answer) - 2
    assert core._talk.state is State.READY


@each_side
@each_state
def test_nothing_is_said_after_a_goodbye(side, state):
    core = in_state(side, state)
    core.goodbye(Refusal.SHUTTING_DOWN)
    said = core.data_to_send()
    spoken = state not in (State.STARTING_TLS, State.ENDED)
    answered = side.goodbye_answers_login and state in (State.LOGGING_IN, State.RESPONDING)
    assert said.count(side.shutting_down) == spoken
    assert said.count(b"\r\n") == spoken + answered
    core.receive_data(side.noop + side.login(b"secret"))
    assert core.next_event() is None
    core.goodbye(Refusal.INTERNAL)
    core.refuse(Refusal.BAD_CREDENTIALS)
    assert core.data_to_send() == b""
    assert core.buffered == 0


@each_side
def test_the_answer_to_a_logout_is_the_last_word(side):
    core = introduced(side)
    core.receive_data(side.logout + side.noop)
    assert core.next_event() == Logout()
    assert core.data_to_send() == side.logout_ok
    assert core.next_event() is None
    core.goodbye(Refusal.SHUTTING_DOWN)
    assert core.data_to_send() == b""


def calls(side):
    """Yield calls of the session, and the states in which they are not our own fault."""
    pending = {State.LOGGING_IN}
    yield type(made(side)).greet, {State.CONNECTED}
    yield lambda core: core.accept(side.let_in), pending
    yield lambda core: core.challenge(b"more"), pending
    yield lambda core: core.refuse(Refusal.INTERNAL), {*pending, State.RESPONDING, State.ENDED}
    yield lambda core: core.tls_started(OPEN), {State.CONNECTED, State.STARTING_TLS}
    yield lambda core: core.trailing(), {State.AUTHENTICATED}


@pytest.mark.parametrize(
    ("side", "call", "states"), [(side, *each) for side in SERVERS for each in calls(side)], ids=named
)
def test_a_call_out_of_place_is_our_own_fault(side, call, states):
    for state in State:
        core = in_state(side, state)
        if state in states:
            call(core)
        else:
            with pytest.raises(LocalProtocolError):
                call(core)


def kept(thing):
    """Return all text and octets that an object keeps alive, but what classes and modules do."""
    seen, waiting = {}, [thing]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, type) or callable(each):
            continue
        seen[id(each)] = each
        waiting += gc.get_referents(each)
    return [str(each) for each in seen.values() if isinstance(each, bytes | bytearray | str)]


@pytest.mark.parametrize(("side", "commands"), [(side, said) for side in SERVERS for said in side.squeamish], ids=named)
def test_the_password_is_gone_once_the_login_is_handed_out(side, commands):
    core = introduced(side)
    core.receive_data(commands)
    event = core.next_event()
    assert isinstance(event, Login)
    assert event.credentials.secret == b"squeamish"
    assert "squeamish" not in repr(event)
    del event
    assert not any("squeamish" in each or "c3F1ZWFtaXNo" in each for each in kept(core))


@pytest.mark.parametrize(
    ("side", "commands"), [(side, said) for side in SERVERS for said in side.squeamish_unfinished], ids=named
)
def test_the_password_is_gone_once_the_connection_is_over(side, commands):
    core = introduced(side)
    core.receive_data(commands)
    with suppress(RemoteProtocolError):
        core.next_event()
    core.goodbye(Refusal.LOGIN_TIMEOUT)
    assert not any("squeamish" in each for each in kept(core))
