"""Slowing down who guesses and nobody else, against a model that keeps lists of everything."""

import math

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from mmp.policy.badness import Penalties, Record
from mmp.policy.throttle import BAD_QUEUE, FORGIVEN, HELD, PARALLEL, QUEUE, Known, Outcome, Throttle, Turn

HERE, THERE = b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x02"
ALICE, BOB = b"alice...", b"bob....."
OUTCOMES = st.sampled_from(Outcome)


def digest(number):
    return number.to_bytes(8)


class Guesser:
    """Makes attempts one after the other, each with a password of its own."""

    def __init__(self, throttle, household=HERE, user=ALICE):
        self.throttle, self.household, self.user, self.passwords = throttle, household, user, 0

    def begin(self, now, password=None):
        self.passwords += 1
        attempt, told = self.throttle.begin(now, self.household, self.user, password or digest(self.passwords))
        assert not told
        return attempt

    def fail(self, now, password=None):
        """Return how long the attempt had to wait."""
        attempt = self.begin(now, password)
        assert not self.throttle.end(now, attempt, Outcome.FAILED)
        return attempt.wait

    def succeed(self, now):
        attempt = self.begin(now, b"rightful")
        assert not self.throttle.end(now, attempt, Outcome.SUCCEEDED)
        return attempt.wait


def test_the_attempt_after_a_failure_waits_longer_each_time_up_to_a_minute():
    guesser = Guesser(Throttle(Penalties()))
    assert [guesser.fail(0.0) for _ in range(40)] == [min(2 * number, 60) for number in range(40)]


def test_a_success_waits_once_and_clears():
    throttle = Throttle(Penalties())
    guesser, owner = Guesser(throttle), Guesser(throttle, user=BOB)
    for _ in range(3):
        guesser.fail(0.0)
    assert owner.succeed(0.0) == 6
    assert guesser.fail(0.0) == 0


def test_other_addresses_are_not_slowed():
    throttle = Throttle(Penalties())
    Guesser(throttle).fail(0.0)
    assert Guesser(throttle, THERE).fail(0.0) == 0


def test_the_same_wrong_password_of_the_same_user_counts_once():
    guesser = Guesser(Throttle(Penalties()))
    assert [guesser.fail(0.0, b"old-pass") for _ in range(20)] == [0] + [2] * 19


def test_what_nobody_has_judged_counts_for_nothing():
    throttle = Throttle(Penalties())
    guesser = Guesser(throttle)
    throttle.end(0.0, guesser.begin(0.0), Outcome.OPEN)
    assert guesser.fail(0.0) == 0


def test_a_user_who_has_just_logged_in_there_is_not_slowed_for_an_old_phone():
    throttle = Throttle(Penalties())
    owner, guesser = Guesser(throttle), Guesser(throttle, user=BOB)
    owner.succeed(0.0)
    assert [owner.fail(1.0, b"old-pass") for _ in range(50)] == [0] * 50
    guesser.fail(2.0)
    guesser.fail(2.0)
    assert owner.succeed(2.0) == 0


def test_whoever_guesses_where_the_owner_has_logged_in_is_forgiven_a_few_times_only():
    throttle = Throttle(Penalties())
    owner = Guesser(throttle)
    owner.succeed(0.0)
    assert [owner.fail(1.0) for _ in range(FORGIVEN + 4)] == [0] * (FORGIVEN + 1) + [2, 4, 6]


def test_having_logged_in_counts_as_long_as_a_failure():
    throttle = Throttle(Penalties())
    owner = Guesser(throttle)
    owner.succeed(0.0)
    assert owner.fail(899.0, b"old-pass") == 0
    assert [owner.fail(900.0, b"old-pass"), owner.fail(900.0)] == [0, 2]


def test_guesses_at_one_account_from_many_addresses_slow_those_but_not_the_owner():
    throttle = Throttle(Penalties(), per_user=True)
    owner = Guesser(throttle, b"home")
    owner.succeed(0.0)
    waits = [Guesser(throttle, digest(number)).fail(1.0, digest(number)) for number in range(10)]
    assert waits == [2 * number for number in range(10)]
    assert owner.succeed(2.0) == 0
    assert Guesser(throttle, b"else", BOB).fail(2.0) == 0


def test_parallel_guesses_of_a_new_address_queue_once_there_are_too_many_to_be_honest():
    throttle = Throttle(Penalties())
    guesser = Guesser(throttle)
    attempts = [guesser.begin(0.0) for _ in range(PARALLEL + QUEUE)]
    assert [attempt.wait for attempt in attempts] == [0.0] * PARALLEL + [None] * QUEUE
    assert guesser.begin(0.0).refused
    refused = throttle.end(0.0, attempts[0], Outcome.FAILED)
    assert refused == attempts[: PARALLEL + BAD_QUEUE - 1 : -1]
    assert all(attempt.refused for attempt in refused)


def test_parallel_attempts_of_a_bad_address_go_one_at_a_time():
    throttle = Throttle(Penalties())
    guesser = Guesser(throttle)
    guesser.fail(0.0)
    first, second, third = (guesser.begin(0.0) for _ in range(3))
    assert [first.wait, second.wait, third.wait] == [2.0, None, None]
    assert throttle.end(2.0, first, Outcome.FAILED) == [second]
    assert [second.wait, third.wait] == [4.0, None]
    assert throttle.end(3.0, second, Outcome.OPEN) == [third]
    assert third.wait == 4.0


def test_a_success_lets_all_go_who_queue_behind_it():
    throttle = Throttle(Penalties())
    guesser, owner = Guesser(throttle), Guesser(throttle, user=BOB)
    guesser.fail(0.0)
    first, *others = [owner.begin(0.0) for _ in range(BAD_QUEUE)]
    assert throttle.end(2.0, first, Outcome.SUCCEEDED) == others
    assert {attempt.wait for attempt in others} == {0.0}


def test_one_that_gives_up_in_the_queue_leaves_it():
    throttle = Throttle(Penalties())
    guesser = Guesser(throttle)
    guesser.fail(0.0)
    first, second, third = (guesser.begin(0.0) for _ in range(3))
    assert not throttle.end(0.0, second, Outcome.OPEN)
    assert throttle.end(0.0, first, Outcome.OPEN) == [third]


def test_only_so_many_wait_in_all():
    throttle = Throttle(Penalties())
    waiting = refused = 0
    for number in range(200):
        guesser = Guesser(throttle, digest(number))
        guesser.fail(0.0)
        for _ in range(BAD_QUEUE + 2):
            if guesser.begin(0.0).refused:
                refused += 1
            else:
                waiting += 1
    assert throttle.waiting == waiting == HELD
    assert refused == 200 * (BAD_QUEUE + 2) - HELD


def test_observing_tells_the_wait_and_holds_nobody():
    throttle = Throttle(Penalties(), observe=True)
    guesser = Guesser(throttle)
    guesser.fail(0.0)
    assert [guesser.begin(0.0).wait for _ in range(500)] == [2.0] * 500
    assert throttle.waiting == 0


def test_twenty_thousand_addresses_take_no_more_room_than_the_table_has():
    throttle = Throttle(Penalties(size=100))
    for number in range(20_000):
        Guesser(throttle, digest(number)).fail(number / 1e4)
        Guesser(throttle, digest(number), BOB).succeed(number / 1e4)
        Guesser(throttle, digest(number), ALICE).fail(number / 1e4)
    assert throttle.bad <= 100
    assert sum(map(len, (throttle._vouched, throttle._lines))) <= 100


def test_what_other_hosts_know_stands_in_place_of_what_is_known_here():
    throttle = Throttle(Penalties(), per_user=True)
    guesser = Guesser(throttle)
    elsewhere = Record(10.0, 1.0, 5, (digest(1), digest(2)))
    throttle.learn(0.0, HERE, ALICE, Known(elsewhere), asked=0.0)
    assert guesser.fail(0.0, digest(1)) == 10
    assert guesser.fail(0.0, digest(3)) == 10
    assert guesser.fail(0.0, digest(4)) == 12
    throttle.learn(0.0, HERE, ALICE, Known(None, Record(6.0, 0.0, 3, ())), asked=0.0)
    assert guesser.fail(0.0, digest(5)) == 6
    throttle.learn(0.0, HERE, ALICE, Known(elsewhere, vouched=60.0), asked=0.0)
    assert [guesser.fail(59.0, digest(1)), guesser.fail(60.0, digest(1))] == [0, 10]
    throttle.learn(61.0, HERE, ALICE, Known(), asked=61.0)
    assert guesser.fail(61.0, digest(6)) == 0


def test_a_failure_here_while_others_are_asked_is_not_forgotten_for_what_they_knew_before_it():
    throttle = Throttle(Penalties(), per_user=True)
    guesser = Guesser(throttle)
    assert guesser.fail(1.5, digest(1)) == 0
    throttle.learn(2.0, HERE, ALICE, Known(), asked=1.0)
    assert guesser.fail(2.0, digest(2)) == 2
    throttle.learn(3.0, HERE, ALICE, Known(), asked=2.5)
    assert guesser.fail(3.0, digest(3)) == 0


@pytest.mark.parametrize(("badness", "age"), [(math.inf, 0.0), (math.nan, math.nan), (1e9, -1e9)])
def test_whatever_other_hosts_say_nobody_waits_longer_than_is_allowed_here(badness, age):
    throttle = Throttle(Penalties(most=60.0, decay=900.0, linear=True))
    throttle.learn(0.0, HERE, ALICE, Known(Record(badness, age, 1, ())), asked=0.0)
    attempt, _ = throttle.begin(0.0, HERE, ALICE, digest(1))
    assert attempt.wait == 60.0
    assert not throttle._delay(900.0, attempt)


def test_other_hosts_are_told_of_failures_that_count_and_of_whom_to_trust():
    told = []
    throttle = Throttle(Penalties(), tell=lambda turn, attempt: told.append((turn, attempt.digest)))
    guesser = Guesser(throttle)
    guesser.fail(0.0, digest(1))
    guesser.succeed(0.0)
    for number in range(FORGIVEN + 1):
        guesser.fail(0.0, digest(number))
    last = digest(FORGIVEN)
    assert told == [
        (Turn.FAILED, digest(1)),
        (Turn.SUCCEEDED, b"rightful"),
        (Turn.DISTRUSTED, last),
        (Turn.FAILED, last),
    ]


class ThrottleBesideLists(RuleBasedStateMachine):
    """The model has one list of attempts and one of failures a household, and works everything out from these."""

    attempts = Bundle("attempts")

    @initialize()
    def begin_empty(self):
        self.throttle = Throttle(Penalties(penalty=2.0, most=6.0, decay=64.0))
        self.now = 0.0
        self.alive = []
        self.passwords = 0
        self.failures = {HERE: [], THERE: []}

    def badness(self, household):
        failures = self.failures[household]
        if not failures or self.now - failures[-1] >= 64.0:
            return 0.0
        run = 1
        while run < len(failures) and failures[-run] - failures[-run - 1] < 64.0:
            run += 1
        return min(2.0 * run, 6.0)

    def line(self, household):
        return [attempt for attempt in self.alive if attempt.household == household]

    @rule(target=attempts, household=st.sampled_from([HERE, THERE]))
    def begin(self, household):
        self.passwords += 1
        attempt, told = self.throttle.begin(self.now, household, ALICE, digest(self.passwords))
        self.alive.append(attempt)
        self.advanced(household, [*told, attempt] if attempt.wait is not None or attempt.refused else told)
        return attempt

    def advanced(self, household, told):
        """See that those were told, in order, for whom there was room, and those refused for whom there was none."""
        queue = [each for each in self.line(household) if each.wait is None or each in told]
        bad = self.badness(household)
        room = max(0, (1 if bad else PARALLEL) - (len(self.line(household)) - len(queue)))
        assert [each for each in told if not each.refused] == queue[:room]
        assert all(each.wait == bad for each in queue[:room])
        surplus = queue[room:][BAD_QUEUE if bad else QUEUE :]
        assert sorted(map(id, surplus)) == sorted(id(each) for each in told if each.refused)
        self.alive = [each for each in self.alive if each not in surplus]

    @rule(household=st.sampled_from([HERE, THERE]), number=st.integers(PARALLEL, PARALLEL + BAD_QUEUE))
    def rush(self, household, number):
        for _ in range(number):
            self.begin(household)

    @rule(attempt=consumes(attempts), outcome=st.sampled_from([Outcome.OPEN, Outcome.FAILED]))
    def end(self, attempt, outcome):
        if attempt not in self.alive:
            return
        self.alive.remove(attempt)
        if outcome is Outcome.FAILED:
            self.failures[attempt.household].append(self.now)
        self.advanced(attempt.household, self.throttle.end(self.now, attempt, outcome))

    @rule(household=st.sampled_from([HERE, THERE]), outcome=st.sampled_from([Outcome.OPEN, Outcome.FAILED]))
    def end_the_first(self, household, outcome):
        if line := self.line(household):
            self.end(line[0], outcome)

    @rule(seconds=st.sampled_from([1.0, 63.0, 64.0]))
    def pass_time(self, seconds):
        self.now += seconds

    @invariant()
    def nothing_is_kept_for_what_has_ended(self):
        if hasattr(self, "alive"):
            assert len(self.throttle._lines) == len({attempt.household for attempt in self.alive})
            waiting = [attempt for attempt in self.alive if attempt.wait is None or attempt.wait]
            assert self.throttle.waiting == len(waiting)


TestThrottle = ThrottleBesideLists.TestCase
