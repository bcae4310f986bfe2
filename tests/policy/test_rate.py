"""Events per minute, against a bucket that is emptied evenly and computed in fractions."""

from fractions import Fraction

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mmp.policy.rate import Rate

KEYS = st.sampled_from("abc")


class RateBesideABucket(RuleBasedStateMachine):
    """Every accepted event fills its bucket by one; it leaks ``per_minute`` a minute and never overflows."""

    @initialize(per_minute=st.sampled_from([1, 2, 3, 5, 6, 60]))
    def begin(self, per_minute):
        self.per_minute = per_minute
        self.rate = Rate(per_minute, 100)
        self.now = 1000
        self.levels = {}

    def level(self, key):
        level, at = self.levels.get(key, (Fraction(0), 0))
        return self.leaked(level, self.now - at)

    def leaked(self, level, seconds):
        return max(Fraction(0), level - Fraction(self.per_minute * seconds, 60))

    @rule(key=KEYS, times=st.integers(1, 8))
    def come(self, key, times):
        for _ in range(times):
            level = self.level(key)
            wait = self.rate.wait(float(self.now), key)
            if level + 1 <= self.per_minute:
                assert wait == 0
                self.levels[key] = level + 1, self.now
            else:
                assert wait == (level + 1 - self.per_minute) * 60 / self.per_minute

    @rule(key=KEYS)
    def give_back(self, key):
        self.rate.give_back(key)
        self.levels[key] = max(Fraction(0), self.level(key) - 1), self.now

    @rule(seconds=st.integers(1, 90))
    def pass_time(self, seconds):
        self.now += seconds

    @invariant()
    def it_keeps_no_more_than_there_are(self):
        assert len(self.rate) <= len(self.levels)


TestRate = RateBesideABucket.TestCase


def test_a_million_addresses_take_no_more_room_than_the_table_has():
    rate = Rate(10, 1000)
    for number in range(1_000_000):
        rate.wait(number / 1e6, number)
    assert len(rate) == 1000


def test_whoever_is_quiet_for_a_minute_is_forgotten_as_others_come():
    rate = Rate(10, 1000)
    for number in range(500):
        rate.wait(0.0, number)
    for number in range(500, 760):
        rate.wait(100.0, number)
    assert len(rate) == 260


def test_waiting_as_long_as_told_is_enough():
    rate = Rate(7, 10)
    now = 0.0
    for _ in range(100):
        now += rate.wait(now, "a") + 1e-9
    assert rate.wait(now, "a") <= 60 / 7


def test_room_is_told_without_counting():
    rate = Rate(2, 10)
    assert [rate.room(0.0, "a"), rate.wait(0.0, "a"), rate.room(0.0, "a"), rate.wait(0.0, "a")] == [0.0] * 4
    assert rate.room(0.0, "a") == rate.room(0.0, "a") == 30.0
    assert rate.room(30.0, "a") == 0.0
