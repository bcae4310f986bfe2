"""How bad somebody is, against the whole history replayed."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mmp.policy.badness import REMEMBERED, Badness, Penalties

KEYS = st.sampled_from([b"a", b"b"])
DIGESTS = st.sampled_from([b"1", b"2", b"3"])


def digest(number):
    return number.to_bytes(8)


class BadnessBesideItsHistory(RuleBasedStateMachine):
    """The model keeps every failure that counted, and adds them up anew each time."""

    @initialize(linear=st.booleans())
    def begin(self, linear):
        self.penalties = Penalties(penalty=2.0, most=8.0, decay=64.0, linear=linear)
        self.badness = Badness(self.penalties)
        self.now = 0.0
        self.history = {}

    def forgiven(self, badness, passed):
        if passed >= self.penalties.decay:
            return 0.0
        return badness * (1 - passed / self.penalties.decay) if self.penalties.linear else badness

    def replayed(self, key):
        badness, at = 0.0, 0.0
        for when, _ in self.history.get(key, ()):
            badness, at = min(self.forgiven(badness, when - at) + self.penalties.penalty, self.penalties.most), when
        return self.forgiven(badness, self.now - at)

    @rule(key=KEYS, digest=DIGESTS)
    def fail(self, key, digest):
        if not self.replayed(key):
            self.history[key] = []
        new = digest not in [each for _, each in self.history[key]]
        assert self.badness.add(self.now, key, digest) is new
        if new:
            self.history[key].append((self.now, digest))
        assert self.badness.failures(key) == len(self.history[key])

    @rule(key=KEYS)
    def clear(self, key):
        self.badness.clear(key)
        self.history.pop(key, None)

    @rule(seconds=st.sampled_from([1.0, 16.0, 32.0, 64.0]))
    def pass_time(self, seconds):
        self.now += seconds

    @invariant()
    def they_agree(self):
        assert all(self.badness.of(self.now, key) == self.replayed(key) for key in (b"a", b"b"))
        assert len(self.badness) <= len(self.history)


TestBadness = BadnessBesideItsHistory.TestCase


def test_each_failure_adds_two_seconds_up_to_a_minute():
    badness = Badness(Penalties())
    for failures in range(1, 50):
        badness.add(0.0, b"a", digest(failures))
        assert badness.of(0.0, b"a") == min(2 * failures, 60)


@pytest.mark.parametrize(("linear", "half", "late"), [(False, 2.0, 2.0), (True, 1.0, 2 / 900)])
def test_it_decays_in_one_step_or_evenly(linear, half, late):
    badness = Badness(Penalties(linear=linear))
    badness.add(0.0, b"a", b"1")
    assert badness.of(450.0, b"a") == half
    assert badness.of(899.0, b"a") == pytest.approx(late)
    assert badness.of(900.0, b"a") == 0.0


def test_a_full_table_forgets_whose_last_failure_is_longest_ago():
    badness = Badness(Penalties(size=3))
    for now, key in enumerate([b"a", b"b", b"c", b"a", b"d"]):
        badness.add(float(now), key, digest(now))
    assert [badness.of(5.0, key) for key in (b"a", b"b", b"c", b"d")] == [4.0, 0.0, 2.0, 2.0]


def test_a_hundred_thousand_addresses_take_no_more_room_than_the_table_has():
    badness = Badness(Penalties(size=1000))
    for number in range(100_000):
        badness.add(number / 1e4, digest(number), b"1")
    assert len(badness) == 1000


def test_so_many_different_failures_are_told_apart_and_no_more():
    badness = Badness(Penalties())
    for number in range(REMEMBERED):
        assert badness.add(0.0, b"a", digest(number))
    assert not badness.add(0.0, b"a", digest(0))
    assert badness.add(0.0, b"a", digest(REMEMBERED))
    assert badness.add(0.0, b"a", digest(0))
