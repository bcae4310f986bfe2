"""Bans beside a list of them, and failures that lead to some."""

import math
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mmp.policy.bans import Bans, Threshold, network_of

NETWORKS = [
    ip_network(each)
    for each in ("192.0.2.7", "192.0.2.0/24", "192.0.0.0/16", "0.0.0.0/0", "2001:db8::/64", "2001:db8::1", "::/0")
]
ADDRESSES = [ip_address(each) for each in ("192.0.2.7", "192.0.2.8", "192.0.3.7", "203.0.113.9", "2001:db8::1", "2::1")]


def within(address, network):
    return address.version == network.version and address in network


class BansBesideAList(RuleBasedStateMachine):
    """What is banned is whatever a network covers that was banned last for a time that is not over."""

    def __init__(self):
        super().__init__()
        self.bans = Bans()
        self.naive = {}
        self.now = 100.0

    @rule(network=st.sampled_from(NETWORKS), seconds=st.sampled_from([1.0, 5.0, math.inf]))
    def ban(self, network, seconds):
        self.bans.ban(self.now, network, self.now + seconds, "x")
        self.naive[network] = self.now + seconds

    @rule(network=st.sampled_from(NETWORKS))
    def lift(self, network):
        overlapping = {each for each in self.naive if each.version == network.version and each.overlaps(network)}
        alive = {each for each in overlapping if self.naive[each] > self.now}
        lifted = self.bans.lift(network)
        assert alive <= set(lifted) <= overlapping
        for each in overlapping:
            del self.naive[each]

    @rule(seconds=st.sampled_from([0.5, 3.0]))
    def pass_time(self, seconds):
        self.now += seconds

    @invariant()
    def addresses_are_banned_as_the_list_says(self):
        for address in ADDRESSES:
            expected = {each for each, until in self.naive.items() if within(address, each) and until > self.now}
            found = self.bans.covering(self.now, address.packed)
            assert (found in expected) if expected else found is None

    @invariant()
    def the_list_is_whole(self):
        listed = {network: until for network, until, _ in self.bans.listed(self.now)}
        assert listed == {each: until for each, until in self.naive.items() if until > self.now}


TestBans = BansBesideAList.TestCase


def test_a_million_bans_take_no_more_room_than_there_is_and_those_stay_that_end_last():
    bans = Bans(most=1000)
    for number in range(1_000_000):
        bans.ban(0.0, network_of(number.to_bytes(4)), 1.0 + number)
    assert len(bans) == 1000
    assert len(bans._ends) <= 2 * 1000 + 100
    assert bans.covering(0.0, (999_999).to_bytes(4))
    assert not bans.covering(0.0, bytes(4))


def test_the_same_network_banned_again_and_again_takes_room_once():
    bans = Bans()
    for number in range(10_000):
        bans.ban(0.0, NETWORKS[0], 10.0 + number)
    assert (len(bans), len(bans._ends) <= 102) == (1, True)


@pytest.mark.parametrize(
    ("household", "network"), [(b"\xc0\x00\x02\x07", "192.0.2.7/32"), (b"\x20\x01\x0d\xb8" + bytes(4), "2001:db8::/64")]
)
def test_a_household_is_a_network(household, network):
    assert network_of(household) == ip_network(network)


def test_failures_within_the_window_reach_the_threshold_and_it_begins_anew():
    threshold = Threshold(3, 10.0, 100)
    told = [threshold.reached(now, b"here", b"%d" % number) for number, now in enumerate((0, 5, 11, 12, 13, 14, 15))]
    assert told == [False, False, False, True, False, False, True]


def test_the_same_failure_counts_once_and_households_count_apart():
    threshold = Threshold(2, 10.0, 100)
    assert not any(threshold.reached(0, b"here", b"same") for _ in range(5))
    assert not threshold.reached(0, b"there", b"other")
    assert threshold.reached(0, b"here", b"other")


class ThresholdBesideALog(RuleBasedStateMachine):
    """Households fail as time passes; the model has a list of all failures since the last ban of each."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.threshold = Threshold(3, 10.0, 100)
        self.log = {b"here": [], b"there": []}

    @rule(household=st.sampled_from([b"here", b"there"]), digest=st.sampled_from([b"1", b"2", b"3", b"4"]))
    def fail(self, household, digest):
        log = self.log[household]
        recent = {known: when for when, known in log if self.now - when < 10.0}
        if digest not in recent:
            log.append((self.now, digest))
            recent[digest] = self.now
        assert self.threshold.reached(self.now, household, digest) == (len(recent) >= 3)
        if len(recent) >= 3:
            log.clear()

    @rule(seconds=st.sampled_from([1.0, 4.0, 10.0]))
    def pass_time(self, seconds):
        self.now += seconds


TestThreshold = ThresholdBesideALog.TestCase


def test_a_million_households_take_no_more_room_than_there_is():
    threshold = Threshold(5, 10.0, 1000)
    for number in range(1_000_000):
        threshold.reached(0.0, number, b"x")
    assert len(threshold) == 1000
