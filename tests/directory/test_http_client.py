import pytest
from twisted.internet.task import Clock

from mmp.directory.http_client import HTTPClient
from mmp.model import Endpoint
from tests.directory.ldap.fakes import Connecting
from tests.directory.outcomes import finished, pending, started

ANSWER = b"HTTP/1.1 204 No Content\r\nAuth-Status: OK\r\n\r\n"
LAST = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


def client(connector, clock=None):
    return HTTPClient(Endpoint("127.0.0.1", 9000), connector, clock or Clock(), 5.0)


def test_a_question_is_answered():
    connector = Connecting()
    asked = started(client(connector).ask(b"question"))
    assert connector.wire.unread == b"question"
    connector.wire.answer(ANSWER[:20], ANSWER[20:])
    assert finished(asked).fields["auth-status"] == b"OK"


def test_a_connection_is_asked_again():
    connector = Connecting()
    http = client(connector)
    for _ in range(3):
        asked = started(http.ask(b"question"))
        connector.wire.answer(ANSWER)
        finished(asked)
    assert connector.attempts == 1


def test_a_connection_that_ends_with_its_answer_is_not():
    connector = Connecting()
    http = client(connector)
    for _ in range(2):
        asked = started(http.ask(b"question"))
        connector.wire.answer(LAST)
        finished(asked)
    assert connector.attempts == 2
    assert [wire.closed for wire in connector.wires] == ["aborted", "aborted"]


def test_those_who_ask_at_the_same_time_have_connections_of_their_own():
    connector = Connecting()
    http = client(connector)
    asked = [started(http.ask(b"question")) for _ in range(3)]
    for wire in connector.wires:
        wire.answer(ANSWER)
    assert [finished(one).status for one in asked] == [204] * 3
    assert connector.attempts == 3


def test_a_kept_connection_that_was_closed_meanwhile_is_replaced():
    connector = Connecting()
    http = client(connector)
    first = started(http.ask(b"question"))
    connector.wire.answer(ANSWER)
    finished(first)
    second = started(http.ask(b"question"))
    connector.wire.lose()
    connector.wire.answer(ANSWER)
    assert finished(second).status == 204
    assert connector.attempts == 2


def test_what_comes_unasked_ends_the_connection():
    connector = Connecting()
    http = client(connector)
    asked = started(http.ask(b"question"))
    connector.wire.answer(ANSWER)
    finished(asked)
    connector.wire.answer(ANSWER)
    assert connector.wire.closed == "aborted"


@pytest.mark.parametrize("answer", [b"nonsense\r\n", None])
def test_without_an_answer_the_connection_is_at_fault(answer):
    connector = Connecting()
    asked = started(client(connector).ask(b"question"))
    connector.wire.lose() if answer is None else connector.wire.answer(answer)
    with pytest.raises(ConnectionError):
        finished(asked)


def test_a_server_that_cannot_be_reached_is_told():
    asked = started(client(Connecting(ConnectionRefusedError("refused"))).ask(b"question"))
    with pytest.raises(ConnectionRefusedError):
        finished(asked)


@pytest.mark.parametrize("hanging", [True, False])
def test_an_answer_that_does_not_come_is_given_up_and_never_taken_for_another(hanging):
    clock, connector = Clock(), Connecting(hanging=hanging)
    asked = started(client(connector, clock).ask(b"question"))
    clock.advance(4.9)
    assert pending(asked)
    clock.advance(0.2)
    with pytest.raises(TimeoutError, match="no answer within 5 s"):
        finished(asked)
    assert connector.given_up if hanging else connector.wire.closed == "aborted"


def test_there_is_a_bound_to_questions_without_an_answer():
    clock, connector = Clock(), Connecting()
    http = client(connector, clock)
    asked = [started(http.ask(b"question")) for _ in range(257)]
    assert connector.attempts == 256
    with pytest.raises(ConnectionError, match="not answered"):
        finished(asked[-1])
    clock.advance(6)
    for one in asked[:256]:
        with pytest.raises(TimeoutError):
            finished(one)
