import pytest
from twisted.internet.task import Clock

from mmp.directory.ldap.directory import LDAPDirectory, Replicas
from mmp.directory.ldap.filters import FilterTemplate
from mmp.directory.ldap.replica import LDAPURL, Opening, Replica
from mmp.directory.ldap.requests import Search
from mmp.model import Refusal
from tests.directory.ldap import oracle
from tests.directory.ldap.fakes import Connecting, Noted
from tests.directory.outcomes import finished, pending, refusal, started
from tests.directory.people import names

SEARCH = Search.prepare("dc=example,dc=com", FilterTemplate.parse("(uid=%U)"), ["mailHost"], 5.0)
FOUND = {"mailHost": [b"store1"]}
REFUSED = ConnectionRefusedError("refused")


@pytest.fixture
def clock():
    return Clock()


def directory(clock, *connectors, **options):
    replicas = [
        Replica(Opening(LDAPURL.parse(f"ldap://ldap{place}"), connector, clock, 5.0), Noted())
        for place, connector in enumerate(connectors, 1)
    ]
    return LDAPDirectory(Replicas(replicas, **options), SEARCH)


def answer(connector, *entries, code=0):
    """Answer the one search under way there."""
    number = connector.wire.number()
    found = [oracle.entry(number, name, FOUND) for name in entries]
    connector.wire.answer(*found, oracle.done(number, code))


def found(deferred):
    return [entry.name for entry in finished(deferred)]


def why(deferred):
    refused = refusal(deferred)
    assert refused.refusal is Refusal.DIRECTORY_UNAVAILABLE
    return refused.reason


@pytest.mark.parametrize("entries", [[], ["one"], ["one", "two"]])
def test_the_entries_that_match_are_found(clock, entries):
    connector = Connecting()
    asked = started(directory(clock, connector).find(names()))
    answer(connector, *entries)
    assert found(asked) == entries


def test_more_than_two_that_match_are_as_many_as_two(clock):
    connector = Connecting()
    asked = started(directory(clock, connector).find(names()))
    answer(connector, "one", "two", code=4)
    assert found(asked) == ["one", "two"]


@pytest.mark.parametrize("entries", [[], ["one"]])
def test_a_server_that_stops_before_two_does_not_know_whether_there_is_one(clock, entries):
    connector = Connecting()
    asked = started(directory(clock, connector).find(names()))
    answer(connector, *entries, code=4)
    assert why(asked) == "search failed: sizeLimitExceeded"


@pytest.mark.parametrize(
    ("code", "name"), [(1, "operationsError"), (3, "timeLimitExceeded"), (10, "referral"), (32, "noSuchObject")]
)
def test_a_search_that_fails_is_the_directorys_fault(clock, code, name):
    connector = Connecting()
    asked = started(directory(clock, connector).find(names()))
    answer(connector, code=code)
    assert why(asked) == f"search failed: {name}"


def test_the_key_is_what_the_filter_is_filled_in_with():
    search = Search.prepare(
        "dc=example,dc=com", FilterTemplate.parse("(|(uid=%U)(mail=%s)(a=%U%C))"), ["mailHost"], 5.0
    )
    made = LDAPDirectory(Replicas([]), search)
    assert made.key(names("alice@example.com")) == ("alice", "alice@example.com", "192.0.2.7")


def test_the_first_server_is_asked_as_long_as_it_is_there(clock):
    first, second = Connecting(), Connecting()
    made = directory(clock, first, second)
    for _ in range(3):
        asked = started(made.find(names()))
        answer(first, "one")
        assert found(asked) == ["one"]
    assert (first.attempts, second.attempts) == (1, 0)


def test_the_second_server_is_asked_when_the_first_is_down(clock):
    first, second = Connecting(failure=REFUSED), Connecting()
    asked = started(directory(clock, first, second).find(names()))
    answer(second, "one")
    assert found(asked) == ["one"]


def test_the_first_server_is_asked_again_once_it_is_back_and_nobody_waits_for_that(clock):
    first, second = Connecting(failure=REFUSED), Connecting()
    made = directory(clock, first, second)
    asked = started(made.find(names()))
    answer(second, "one")
    found(asked)
    first.hanging = True
    clock.advance(1)
    asked = started(made.find(names()))
    assert first.attempts == 2
    answer(second, "one")
    assert found(asked) == ["one"]
    first.hanging, first.failure = False, None
    clock.advance(10)
    clock.advance(10)
    for connector in (second, first):
        asked = started(made.find(names()))
        answer(connector, "one")
        assert found(asked) == ["one"]


def test_when_no_server_is_there_each_ones_reason_is_told(clock):
    made = directory(clock, Connecting(failure=REFUSED), Connecting(failure=TimeoutError("too slow")))
    assert why(started(made.find(names()))) == "ldap://ldap1:389: refused; ldap://ldap2:389: too slow"


def test_a_search_whose_link_dies_is_asked_once_more_on_the_next_server(clock):
    first, second = Connecting(), Connecting()
    asked = started(directory(clock, first, second).find(names()))
    first.wire.lose()
    answer(second, "one")
    assert found(asked) == ["one"]


def test_a_search_whose_link_dies_is_asked_once_more_on_a_new_connection_if_there_is_one_server(clock):
    only = Connecting()
    asked = started(directory(clock, only).find(names()))
    only.wire.lose()
    answer(only, "one")
    assert found(asked) == ["one"]
    assert only.attempts == 2


def test_a_search_is_not_asked_a_third_time(clock):
    first, second, third = Connecting(), Connecting(), Connecting()
    asked = started(directory(clock, first, second, third).find(names()))
    first.wire.lose()
    second.wire.lose("reset")
    assert why(asked) == "ldap://ldap2:389: connection lost: reset"
    assert third.attempts == 0


@pytest.mark.parametrize("code", [51, 52])
def test_a_server_that_is_busy_sends_us_to_the_next(clock, code):
    first, second = Connecting(), Connecting()
    asked = started(directory(clock, first, second).find(names()))
    answer(first, code=code)
    answer(second, "one")
    assert found(asked) == ["one"]


def test_a_server_that_says_nothing_is_left_for_the_next(clock):
    first, second = Connecting(), Connecting()
    asked = started(directory(clock, first, second).find(names()))
    clock.advance(5)
    assert first.wire.closed == "aborted"
    answer(second, "one")
    assert found(asked) == ["one"]


def test_servers_that_say_nothing_are_told_so(clock):
    asked = started(directory(clock, Connecting()).find(names()))
    clock.advance(5)
    assert pending(asked)
    clock.advance(5)
    assert why(asked) == "ldap://ldap1:389: no answer within 5 s"


def test_a_search_that_alone_is_not_answered_is_not_asked_again(clock):
    only = Connecting()
    made = directory(clock, only)
    slow, quick = started(made.find(names())), None
    only.wire.asked()
    clock.advance(1)
    quick = started(made.find(names()))
    answer(only, "one")
    found(quick)
    clock.advance(4)
    assert why(slow) == "ldap://ldap1:389: no answer within 5 s"
    assert only.attempts == 1


def test_balanced_searches_take_turns(clock):
    connectors = [Connecting(), Connecting(), Connecting()]
    made = directory(clock, *connectors, balance=True)
    asked = [started(made.find(names())) for _ in range(9)]
    for connector in connectors:
        numbers = [number for number, _ in connector.wire.asked()]
        assert len(numbers) >= 2
        connector.wire.answer(*(oracle.done(number) for number in numbers))
    assert not [search for search in asked if pending(search)]


def test_balanced_searches_pass_over_a_server_that_is_down(clock):
    first, second = Connecting(failure=REFUSED), Connecting()
    made = directory(clock, first, second, balance=True)
    for _ in range(4):
        asked = started(made.find(names()))
        answer(second, "one")
        assert found(asked) == ["one"]


def test_closing_closes_every_link(clock):
    connectors = [Connecting(), Connecting()]
    replicas = Replicas(
        [
            Replica(Opening(LDAPURL.parse(f"ldap://ldap{place}"), connector, clock, 5.0), Noted())
            for place, connector in enumerate(connectors, 1)
        ],
        balance=True,
    )
    asked = [started(replicas.search(SEARCH.operation(names()))) for _ in range(3)]
    assert len(asked) == 3
    for connector in connectors:
        connector.wire.answer(*(oracle.done(number) for number, _ in connector.wire.asked()))
    replicas.close()
    assert [connector.wire.closed for connector in connectors] == ["in order", "in order"]
