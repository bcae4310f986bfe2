import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from mmp.directory.ldap.filters import FilterTemplate
from mmp.directory.ldap.link import Link
from mmp.directory.ldap.requests import Search, Simple
from mmp.model import Endpoint
from tests.directory.ldap import oracle
from tests.directory.ldap.fakes import Connecting
from tests.directory.outcomes import finished, pending, run, started
from tests.directory.people import names

WHERE = Endpoint("ldap.example.com", 389)
SEARCH = Search.prepare("dc=example,dc=com", FilterTemplate.parse("(uid=%U)"), ["mailHost"], 5.0).operation(names())
FOUND = {"mailHost": [b"store1"]}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def connector():
    return Connecting()


@pytest.fixture
def link(clock, connector):
    made = Link(clock, 5.0)
    run(made.connect(connector, WHERE))
    return made


@pytest.fixture
def wire(link, connector):
    return connector.wire


def broken(deferred):
    """Return why the link is of no use any more to what was asked on it."""
    with pytest.raises(ConnectionError) as raised:
        finished(deferred)
    return str(raised.value)


def test_a_search_is_answered(link, wire):
    asked = link.search(SEARCH)
    number = wire.number()
    wire.answer(oracle.entry(number, "uid=alice", FOUND), oracle.done(number))
    answer = finished(asked)
    assert answer.result.code == 0
    assert [entry.get("mailHost") for entry in answer.entries] == [("store1",)]


def test_an_answer_may_come_in_any_pieces(link, wire):
    asked = link.search(SEARCH)
    number = wire.number()
    for octet in oracle.entry(number, "uid=alice", FOUND) + oracle.done(number):
        wire.answer(bytes((octet,)))
    assert len(finished(asked).entries) == 1


def test_searches_are_under_way_together_and_answered_in_any_order(link, wire):
    first, second = link.search(SEARCH), link.search(SEARCH)
    (one, _), (two, _) = wire.asked()
    assert one != two
    wire.answer(oracle.entry(two, "second", {}), oracle.entry(one, "first", {}), oracle.done(two))
    assert finished(second).entries[0].name == "second"
    assert pending(first)
    wire.answer(oracle.done(one))
    assert finished(first).entries[0].name == "first"


def test_bad_results_are_results(link, wire):
    asked = link.search(SEARCH)
    wire.answer(oracle.done(wire.number(), 32, "nothing there"))
    assert str(finished(asked).result) == "noSuchObject: nothing there"


def test_references_to_elsewhere_are_passed_over(link, wire):
    asked = link.search(SEARCH)
    number = wire.number()
    wire.answer(oracle.reference(number, "ldap://elsewhere/"), oracle.done(number))
    assert finished(asked).entries == []


def test_a_connection_has_no_more_under_way_than_a_server_stands(link, wire):
    asked = [link.search(SEARCH) for _ in range(200)]
    answered = 0
    while numbers := [number for number, _ in wire.asked()]:
        assert len(numbers) <= 32
        wire.answer(*(oracle.done(number) for number in numbers))
        answered += len(numbers)
    assert answered == 200
    assert not [search for search in asked if pending(search)]


def test_a_silent_server_fails_everything_when_the_first_has_waited_long_enough(link, wire, clock):
    first = link.search(SEARCH)
    clock.advance(3)
    second = link.search(SEARCH)
    clock.advance(1.9)
    assert pending(first)
    clock.advance(0.1)
    assert broken(first) == broken(second) == "no answer within 5 s"
    assert wire.closed == "aborted"
    assert not link.usable
    assert not clock.getDelayedCalls()


def test_a_server_that_answers_others_fails_only_the_slow_search(link, wire, clock):
    slow = link.search(SEARCH)
    number = wire.number()
    clock.advance(1)
    quick = link.search(SEARCH)
    wire.answer(oracle.done(wire.number()))
    clock.advance(4)
    with pytest.raises(TimeoutError, match="no answer within 5 s"):
        finished(slow)
    assert finished(quick).result.code == 0
    assert [name for _, name in wire.asked()] == ["abandonRequest"]
    wire.answer(oracle.done(number))
    assert link.usable
    clock.advance(100)
    assert not clock.getDelayedCalls()


def test_each_search_has_its_own_time(link, wire, clock):
    for _ in range(10):
        asked = link.search(SEARCH)
        number = wire.number()
        clock.advance(4)
        wire.answer(oracle.done(number))
        assert finished(asked).result.code == 0
    assert link.usable


def test_those_that_waited_too_long_for_their_turn_are_never_begun(link, wire, clock):
    asked = [link.search(SEARCH) for _ in range(40)]
    begun = wire.asked()
    clock.advance(1)
    wire.answer(oracle.reference(begun[0][0], "ldap://elsewhere/"))
    clock.advance(4)
    for search in asked:
        with pytest.raises(TimeoutError):
            finished(search)
    assert {name for _, name in wire.asked()} == {"abandonRequest"}


def test_a_cancelled_search_is_abandoned_and_its_late_answer_passed_over(link, wire):
    asked, other = link.search(SEARCH), link.search(SEARCH)
    (number, _), (other_number, _) = wire.asked()
    asked.cancel()
    with pytest.raises(CancelledError):
        finished(asked)
    assert [name for _, name in wire.asked()] == ["abandonRequest"]
    wire.answer(oracle.entry(number, "", {}), oracle.done(number), oracle.done(other_number))
    assert finished(other).result.code == 0


def test_a_search_cancelled_before_its_turn_is_never_begun(link, wire):
    asked = [link.search(SEARCH) for _ in range(33)]
    numbers = [number for number, _ in wire.asked()]
    asked[-1].cancel()
    asked[-1].addErrback(lambda failure: failure.trap(CancelledError))
    wire.answer(*(oracle.done(number) for number in numbers))
    assert wire.asked() == []


def test_one_that_fails_may_have_the_others_cancelled(link, wire):
    first, second = link.search(SEARCH), link.search(SEARCH)
    first.addErrback(lambda _: second.cancel())
    wire.lose()
    finished(first)
    with pytest.raises(CancelledError):
        finished(second)


def test_a_lost_connection_fails_what_is_under_way_and_what_waits(link, wire, clock):
    asked = [link.search(SEARCH) for _ in range(40)]
    wire.lose("reset by peer")
    assert {broken(search) for search in asked} == {"connection lost: reset by peer"}
    assert broken(link.search(SEARCH)) == "connection lost: reset by peer"
    assert not clock.getDelayedCalls()


def test_closing_takes_leave(link, wire, clock):
    asked = link.search(SEARCH)
    wire.asked()
    link.close()
    assert [name for _, name in wire.asked()] == ["unbindRequest"]
    assert wire.closed == "in order"
    assert broken(asked) == "closed"
    link.close()
    wire.lose()
    assert not clock.getDelayedCalls()


def test_a_notice_of_disconnection_ends_the_link_with_the_servers_reason(link, wire):
    asked = link.search(SEARCH)
    wire.answer(oracle.extended(0, 52, "shutting down", oracle.NOTICE))
    assert broken(asked) == f"notice of disconnection: {oracle.NOTICE}: unavailable: shutting down"
    assert wire.closed == "aborted"


def test_other_notices_are_passed_over(link, wire):
    asked = link.search(SEARCH)
    wire.answer(oracle.extended(0, 0, "", "1.3.6.1.1.21.4"), oracle.done(wire.number()))
    assert finished(asked).result.code == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x30\x80\x02\x01\x01\x65\x00\x00",
        b"\x30\x84\x7f\xff\xff\xff",
        b"\x30\x84\x00\x20\x00\x00",
        b"\x30\x06\x02\x01\x01\x65\x80\x00",
        b"\x30\x08\x02\x01\x01\x65\x03\x0a\x05\x00",
        oracle.done(2),
        oracle.done(77),
        oracle.done(0),
        oracle.bound(1),
        oracle.extended(1),
        oracle.entry(1, "a", {}) * 3,
        b"\x30\x0c\x02\x01\xff\x65\x07\x0a\x01\x00\x04\x00\x04\x00",
        b"\x30\x05\x02\x01\x01\x79\x00",
    ],
)
def test_a_server_that_breaks_the_protocol_is_left(link, wire, answer):
    asked = link.search(SEARCH)
    assert wire.number() == 1
    wire.answer(answer)
    assert broken(asked).startswith("protocol broken: ")
    assert wire.closed == "aborted"
    wire.answer(bytes(1000))


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5))
def test_no_octets_do_more_harm_than_the_loss_of_the_link(pieces):
    clock, connector = Clock(), Connecting()
    link = Link(clock, 5.0)
    run(link.connect(connector, WHERE))
    asked = link.search(SEARCH)
    for piece in pieces:
        connector.wire.answer(piece)
    if link.usable:
        connector.wire.lose()
    assert broken(asked)


def test_a_bind_is_answered(link, wire):
    bound = started(link.bind(Simple("cn=proxy", b"secret")))
    ((number, name),) = wire.asked()
    assert name == "bindRequest"
    wire.answer(oracle.bound(number))
    finished(bound)


def test_a_refused_bind_is_told_without_the_password(link, wire):
    bound = started(link.bind(Simple("cn=proxy", b"secret")))
    wire.answer(oracle.bound(wire.number(), 49, "no"))
    assert broken(bound) == "bind as cn=proxy refused: invalidCredentials: no"


def test_entries_are_no_answer_to_a_bind(link, wire):
    bound = started(link.bind(Simple("cn=proxy", b"secret")))
    wire.answer(oracle.entry(wire.number(), "", {}))
    assert broken(bound).startswith("protocol broken: ")


def test_tls_is_begun_when_the_server_agrees(link, wire, connector):
    begun = started(link.start_tls(connector, "ldap.example.com"))
    ((number, name),) = wire.asked()
    assert name == "extendedReq"
    assert wire.secured_for is None
    wire.answer(oracle.extended(number))
    finished(begun)
    assert wire.secured_for == "ldap.example.com"


def test_a_server_that_has_no_tls_is_not_spoken_to_without(link, wire, connector):
    begun = started(link.start_tls(connector, "ldap.example.com"))
    wire.answer(oracle.extended(wire.number(), 2, "unsupported"))
    assert broken(begun) == "StartTLS refused: protocolError: unsupported"
    assert wire.secured_for is None


@pytest.mark.parametrize("behind", [oracle.bound(2), oracle.extended(0, 0, "", "1.3.6.1.1.21.4"), b"\x30"])
def test_octets_in_clear_behind_the_agreement_to_tls_end_the_link(link, wire, connector, behind):
    begun = started(link.start_tls(connector, "ldap.example.com"))
    wire.answer(oracle.extended(wire.number()), behind)
    assert broken(begun) == "protocol broken: octets in clear behind the answer to StartTLS"
    assert wire.secured_for is None


def test_numbers_begin_again_behind_the_last_there_is(link, wire):
    link._number = 2**31 - 2
    first, second = link.search(SEARCH), link.search(SEARCH)
    assert [number for number, _ in wire.asked()] == [2**31 - 1, 1]
    wire.answer(oracle.done(2**31 - 1), oracle.done(1))
    assert finished(first).result.code == finished(second).result.code == 0
