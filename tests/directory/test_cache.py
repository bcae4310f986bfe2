import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from mmp.directory.cache import Cached, Lifetimes
from mmp.errors import Refused
from mmp.model import Refusal
from tests.directory.outcomes import finished, pending, refusal, run, started
from tests.directory.people import ALICE, BOB, names

LIFETIMES = Lifetimes(found=900.0, negative=30.0, stale=3600.0)


class Asked:
    """A directory whose answers the test gives when it likes."""

    def __init__(self):
        self.queries = []

    def key(self, names):
        return (names.full, names.client_address)

    async def find(self, names):
        query = Deferred()
        self.queries.append((names.full, query))
        return await query

    def answer(self, *entries):
        """Answer the oldest query."""
        self.queries.pop(0)[1].callback(entries)

    def fail(self, failure=None):
        """Fail the oldest query."""
        self.queries.pop(0)[1].errback(failure or Refused(Refusal.DIRECTORY_UNAVAILABLE, "down"))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def directory():
    return Asked()


@pytest.fixture
def cached(directory, clock):
    return Cached(directory, 100, LIFETIMES, clock.seconds)


def find(cached, user="alice"):
    return started(cached.find(names(user)))


def remember(cached, directory, *entries, user="alice"):
    """Have the cache ask and be answered."""
    asked = find(cached, user)
    directory.answer(*entries)
    return finished(asked)


def test_an_entry_is_asked_for_once_in_its_lifetime(cached, directory, clock):
    assert remember(cached, directory, ALICE) == (ALICE,)
    clock.advance(800)
    assert run(cached.find(names("alice"))) == (ALICE,)
    assert directory.queries == []


def test_an_expired_entry_is_asked_for_again(cached, directory, clock):
    remember(cached, directory, ALICE)
    clock.advance(900)
    asked = find(cached)
    assert pending(asked)
    directory.answer()
    assert finished(asked) == ()


def test_who_still_logs_in_when_an_entry_is_about_to_expire_never_waits_for_the_next(cached, directory, clock):
    remember(cached, directory, ALICE)
    clock.advance(899)
    for _ in range(3):
        assert finished(find(cached)) == (ALICE,)
    assert len(directory.queries) == 1
    directory.answer(BOB)
    clock.advance(100)
    assert finished(find(cached)) == (BOB,)
    assert directory.queries == []


def test_asking_early_in_vain_takes_the_entry_from_nobody(cached, directory, clock):
    remember(cached, directory, ALICE)
    clock.advance(899)
    find(cached)
    directory.fail()
    for _ in range(3):
        assert finished(find(cached)) == (ALICE,)
    assert directory.queries == []  # it is known to be down


def test_who_does_not_exist_is_not_asked_for_early(cached, directory, clock):
    remember(cached, directory)
    clock.advance(29.9)
    assert finished(find(cached)) == ()
    assert directory.queries == []


def test_what_is_forgotten_is_asked_for_again(cached, directory):
    remember(cached, directory, ALICE)
    remember(cached, directory, BOB, user="bob")
    assert cached.forget(lambda _, entries: ALICE in entries) == 1
    assert finished(find(cached, "bob")) == (BOB,)
    assert pending(find(cached))


def test_what_may_all_have_changed_is_asked_for_again_and_serves_while_the_directory_is_down(cached, directory):
    remember(cached, directory, ALICE)
    cached.expire()
    asked = find(cached)
    assert pending(asked)
    directory.fail()
    assert finished(asked) == (ALICE,)


@pytest.mark.parametrize("change", [lambda cached: cached.expire(), lambda cached: cached.forget(lambda *_: True)])
def test_an_answer_that_was_under_way_when_something_changed_is_asked_for_once_more(cached, directory, change):
    asked = find(cached)
    change(cached)
    directory.answer(ALICE)
    assert pending(asked)
    directory.answer(BOB)
    assert finished(asked) == finished(find(cached)) == (BOB,)


def test_an_answer_that_is_overtaken_time_and_again_is_given_and_not_relied_on(cached, directory):
    asked = find(cached)
    for _ in range(2):
        cached.expire()
        directory.answer(ALICE)
    assert finished(asked) == (ALICE,)
    assert pending(find(cached))


def test_what_is_doubted_is_asked_for_again_but_not_by_every_guess(cached, directory, clock):
    assert not cached.doubt(names("alice"))
    remember(cached, directory, ALICE)
    clock.advance(9)
    assert not cached.doubt(names("alice"))
    clock.advance(1)
    assert cached.doubt(names("alice"))
    assert remember(cached, directory, ALICE) == (ALICE,)
    assert not cached.doubt(names("alice"))


@pytest.mark.parametrize("entries", [(), (ALICE, ALICE)])
def test_that_there_is_no_single_entry_is_remembered_for_a_shorter_time(cached, directory, clock, entries):
    remember(cached, directory, *entries)
    clock.advance(29)
    assert run(cached.find(names("alice"))) == entries
    clock.advance(1)
    assert pending(find(cached))


def test_the_answer_for_one_user_is_not_given_to_another(cached, directory):
    remember(cached, directory, ALICE)
    assert pending(find(cached, "bob"))


def test_whatever_the_directory_says_decides_is_told_apart(cached, directory):
    remember(cached, directory, ALICE)
    elsewhere = names("alice").__class__("alice", "alice", "alice", "", "203.0.113.9", "198.51.100.1")
    assert pending(started(cached.find(elsewhere)))
    assert cached.key(elsewhere) == directory.key(elsewhere)


def test_all_who_ask_for_the_same_wait_for_one_query(cached, directory):
    asked = [find(cached) for _ in range(5)]
    assert len(directory.queries) == 1
    directory.answer(ALICE)
    assert [finished(each) for each in asked] == [(ALICE,)] * 5


def test_different_users_are_asked_for_at_the_same_time(cached, directory):
    find(cached, "alice")
    find(cached, "bob")
    assert [user for user, _ in directory.queries] == ["alice", "bob"]


@pytest.mark.parametrize("leaving", [0, 1, 2])
def test_one_who_leaves_takes_the_answer_from_nobody(cached, directory, leaving):
    asked = [find(cached) for _ in range(3)]
    asked[leaving].cancel()
    with pytest.raises(CancelledError):
        finished(asked[leaving])
    directory.answer(ALICE)
    assert [finished(each) for place, each in enumerate(asked) if place != leaving] == [(ALICE,)] * 2


def test_the_answer_is_remembered_even_if_everybody_left(cached, directory):
    asked = find(cached)
    asked.addErrback(lambda failure: failure.trap(CancelledError))
    asked.cancel()
    directory.answer(ALICE)
    assert run(cached.find(names("alice"))) == (ALICE,)


def test_a_failure_is_told_to_all_who_wait_and_not_remembered(cached, directory):
    asked = [find(cached) for _ in range(3)]
    directory.fail()
    assert {refusal(each).refusal for each in asked} == {Refusal.DIRECTORY_UNAVAILABLE}
    assert pending(find(cached))
    assert len(directory.queries) == 1


def test_one_who_is_answered_may_ask_again_at_once(cached, directory):
    again = []
    asked = find(cached)
    asked.addErrback(lambda _: again.append(find(cached)))
    directory.fail()
    directory.answer(ALICE)
    assert finished(again[0]) == (ALICE,)


def test_an_expired_entry_serves_while_the_directory_is_down(cached, directory, clock):
    remember(cached, directory, ALICE)
    clock.advance(901)
    asked = find(cached)
    directory.fail()
    assert finished(asked) == (ALICE,)


def test_once_the_directory_is_known_to_be_down_nobody_waits_for_it(cached, directory, clock):
    remember(cached, directory, ALICE)
    clock.advance(901)
    find(cached)
    directory.fail()
    assert finished(find(cached)) == (ALICE,)
    assert finished(find(cached)) == (ALICE,)
    assert len(directory.queries) == 1


def test_the_directory_is_asked_meanwhile_and_believed_when_it_is_back(cached, directory, clock):
    remember(cached, directory, ALICE)
    clock.advance(901)
    find(cached)
    directory.fail()
    find(cached)
    directory.answer()
    assert run(cached.find(names("alice"))) == ()


def test_a_directory_that_stays_down_is_no_unexpected_failure(cached, directory, clock):
    remember(cached, directory, ALICE)
    clock.advance(901)
    for _ in range(3):
        find(cached)
        directory.fail()


def test_an_expired_entry_does_not_serve_for_ever(cached, directory, clock):
    remember(cached, directory, ALICE)
    clock.advance(900 + 3600)
    asked = find(cached)
    directory.fail()
    assert refusal(asked).refusal is Refusal.DIRECTORY_UNAVAILABLE


def test_that_there_was_no_such_user_does_not_serve_once_expired(cached, directory, clock):
    remember(cached, directory)
    clock.advance(31)
    asked = find(cached)
    directory.fail()
    assert refusal(asked).refusal is Refusal.DIRECTORY_UNAVAILABLE


def test_an_unforeseen_failure_is_not_papered_over(cached, directory, clock):
    remember(cached, directory, ALICE)
    clock.advance(901)
    asked = find(cached)
    directory.fail(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        finished(asked)


def test_the_least_recently_used_is_forgotten_first(directory, clock):
    cached = Cached(directory, 2, LIFETIMES, clock.seconds)
    remember(cached, directory, ALICE, user="a")
    remember(cached, directory, ALICE, user="b")
    run(cached.find(names("a")))
    remember(cached, directory, ALICE, user="c")
    assert run(cached.find(names("a"))) == (ALICE,)
    assert pending(find(cached, "b"))


def test_a_cache_without_room_still_asks_once_for_all(directory, clock):
    cached = Cached(directory, 0, LIFETIMES, clock.seconds)
    first, second = find(cached), find(cached)
    directory.answer(ALICE)
    assert finished(first) == finished(second) == (ALICE,)
    assert pending(find(cached))


class Versions:
    """A directory whose entries change and that is sometimes down; answers at once."""

    def __init__(self):
        self.version = 0
        self.down = False

    def key(self, names):
        return names.full

    async def find(self, names):
        if self.down:
            raise Refused(Refusal.DIRECTORY_UNAVAILABLE, "down")
        return (f"{names.full} {self.version}",)


class AgainstAModel(RuleBasedStateMachine):
    """What comes out is never older than its lifetime allows, always the right user's, and never too much is kept."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.directory = Versions()
        self.cached = Cached(self.directory, 3, Lifetimes(10.0, 5.0, 20.0), self.clock.seconds)
        self.current = {}  # version -> the time at which it was replaced

    @rule(seconds=st.integers(1, 15))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def entries_change(self):
        self.current[self.directory.version] = self.clock.seconds()
        self.directory.version += 1

    @rule(down=st.booleans())
    def the_directory_comes_and_goes(self, down):
        self.directory.down = down

    @rule(user=st.sampled_from(["a", "b", "c", "d", "e"]))
    def somebody_is_looked_up(self, user):
        try:
            (found,) = run(self.cached.find(names(user)))
        except Refused:
            assert self.directory.down
            return
        found_user, version = found.split()
        assert found_user == user
        replaced = self.current.get(int(version), self.clock.seconds())
        assert self.clock.seconds() - replaced < (30 if self.directory.down else 10 + 20)

    @invariant()
    def no_more_is_kept_than_there_is_room_for(self):
        assert len(self.cached._answers) <= 3
        assert not self.cached._asking


TestAgainstAModel = AgainstAModel.TestCase
TestAgainstAModel.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
