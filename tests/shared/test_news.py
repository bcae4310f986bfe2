"""Bans and kicks over hosts that share a store: in force everywhere, lifted likewise, whoever was away meanwhile."""

import itertools
import math
from contextlib import ExitStack
from ipaddress import ip_network
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mmp.policy.badness import Penalties
from mmp.shared.exchange import RETRY, SILENCE
from mmp.shared.news import KICK, POLL
from mmp.shared.others import Nobody
from tests.shared.desks import HERE, THERE
from tests.shared.sites import Sites

NETWORK = ip_network("192.0.2.0/24")
NO_PENALTY = Penalties(penalty=0.0)
OTHER = ip_network("2001:db8::/32")


def banned(site):
    return [str(ban.network) for ban in site.bans.listed()]


def told(site):
    return [(facts["result"], str(facts["network"]), facts.get("host")) for facts in site.log.named("ban")]


def cut_off(both, site):
    """Have a host find out that nobody answers it."""
    site.store.deaf = site.store.away = True
    site.hosts.kicked("nobody")
    site.settle()
    both.pass_time(SILENCE + 0.1)
    site.store.disconnect()
    assert site.hosts.why


def come_back(both, site):
    site.store.deaf = site.store.away = False
    both.pass_time(2 * RETRY)
    assert not site.hosts.why


def test_a_ban_is_in_force_at_all_hosts_at_once_and_lifted_likewise():
    one, other = Sites().sites
    one.bans.ban(NETWORK, 60.0, "test", 0)
    one.settle()
    other.settle()
    assert str(other.host.workers[0].desk.banned(bytes((192, 0, 2, 1)))) == str(NETWORK)
    (ban,) = other.bans.listed()
    assert (ban.network, ban.seconds, ban.reason) == (NETWORK, 60.0, "test")
    other.bans.lift(ip_network("192.0.2.7/32"), 0)
    other.settle()
    one.settle()
    assert not banned(one)
    assert told(one) == [("banned", str(NETWORK), None), ("lifted", str(NETWORK), "another")]
    assert told(other) == [("banned", str(NETWORK), "another"), ("lifted", str(NETWORK), None)]


def test_a_ban_without_end_and_one_that_is_over_are_so_everywhere():
    both = Sites()
    one, other = both.sites
    one.bans.ban(NETWORK, math.inf, "", 0)
    one.bans.ban(OTHER, 10.0, "", 0)
    both.pass_time(11.0)
    assert banned(other) == [str(NETWORK)]


def test_what_is_no_network_takes_nothing_of_what_comes_with_it():
    both = Sites()
    one, other = both.sites
    one.bans.ban(NETWORK, 60.0, "", 0)
    one.hosts.lifted("of another version")
    one.bans.ban(OTHER, 60.0, "", 0)
    both.pass_time(1)
    assert banned(other) == [str(NETWORK), str(OTHER)]


def test_who_was_not_nudged_hears_a_little_later():
    both = Sites()
    one, other = both.sites
    both.shelf.ears.clear()
    one.bans.ban(NETWORK, 60.0, "", 0)
    one.settle()
    assert not banned(other)
    both.pass_time(POLL)
    assert banned(other) == [str(NETWORK)]


def test_who_was_away_hears_of_everything_and_tells_of_everything():
    both = Sites()
    one, other = both.sites
    one.bans.ban(OTHER, 600.0, "", 0)
    both.pass_time(1)
    cut_off(both, other)
    one.bans.ban(NETWORK, 600.0, "first", 0)
    other.bans.lift(OTHER, 0)
    mine = ip_network("198.51.100.0/24")
    other.bans.ban(mine, math.inf, "mine", 0)
    both.pass_time(1)
    come_back(both, other)
    assert sorted(banned(one)) == sorted(banned(other)) == sorted(map(str, (NETWORK, mine)))


def test_a_host_that_begins_with_bans_of_its_own_tells_them_and_learns_those_of_others():
    both = Sites()
    one, other = both.sites
    one.bans.ban(NETWORK, 600.0, "", 0)
    both.pass_time(1)
    other.hosts.stop()
    other.host.home.bans.lift(NETWORK)
    other.host.home.ban(OTHER, 600.0, "kept in a file")
    other.join(both.shelf, "again")
    both.pass_time(1)
    assert sorted(banned(one)) == sorted(banned(other)) == sorted(map(str, (NETWORK, OTHER)))


def test_a_ban_that_was_lifted_while_a_host_was_down_is_lifted_there_too():
    both = Sites()
    one, other = both.sites
    one.bans.ban(NETWORK, 600.0, "", 0)
    both.pass_time(1)
    other.hosts.stop()
    one.bans.lift(NETWORK, 0)
    both.pass_time(1)
    other.join(both.shelf, "again")
    both.pass_time(1)
    assert not banned(other)
    assert not banned(one)


@pytest.mark.parametrize("is_banned", [True, False])
def test_what_was_done_while_nobody_could_be_told_is_told_after_a_restart_too(tmp_path, is_banned):
    both = Sites(folder=tmp_path)
    one, other = both.sites
    other.bans.ban(NETWORK, 600.0, "", 0)
    both.pass_time(1)
    if is_banned:
        other.bans.lift(NETWORK, 0)
        both.pass_time(1)
    cut_off(both, other)
    if is_banned:
        other.bans.ban(NETWORK, 600.0, "again", 0)
    else:
        other.bans.lift(NETWORK, 0)
    both.pass_time(1)
    for name in ("again", "and again"):
        other.restart(both.shelf, name)
    come_back(both, other)
    assert banned(one) == banned(other) == [str(NETWORK)] * is_banned


@pytest.mark.parametrize("told", [dict, list], ids=["as this one tells it", "as an older one: the networks alone"])
def test_what_is_yet_to_be_told_is_told_by_the_program_that_comes_next(told):
    both = Sites()
    one, other = both.sites
    one.bans.ban(NETWORK, 600.0, "", 0)
    both.pass_time(1)
    cut_off(both, other)
    other.bans.lift(NETWORK, 0)
    other.hosts.stop()
    other.join(both.shelf, "host1", away=True, untold=told(other.bans.state()))
    come_back(both, other)
    assert not banned(one)
    assert not banned(other)


@pytest.mark.parametrize("restarts", ["no", "from the file", "from the program before"])
def test_a_ban_that_was_over_before_others_could_be_told_lifts_nothing_that_they_have_said(tmp_path, restarts):
    both = Sites(folder=tmp_path)
    one, other = both.sites
    both.pass_time(1)
    cut_off(both, other)
    other.bans.ban(NETWORK, 10.0, "5 failures", 0)
    one.bans.ban(NETWORK, math.inf, "operator", 0)
    both.pass_time(1)
    if restarts == "from the file":
        other.hosts.stop()
        both.pass_time(10)
        other.restart(both.shelf, "again")
    both.pass_time(10)
    if restarts == "from the program before":
        other.hosts.stop()
        other.join(both.shelf, "host1", away=True, untold=other.bans.state())
    come_back(both, other)
    both.pass_time(POLL)
    assert banned(one) == banned(other) == [str(NETWORK)]
    assert ("lifted", str(NETWORK), "another") not in told(one)
    assert not other.bans.untold()


def test_of_a_ban_that_is_over_nothing_is_told():
    both = Sites()
    _, other = both.sites
    both.pass_time(1)
    cut_off(both, other)
    other.bans.ban(NETWORK, 10.0, "", 0)
    other.bans.ban(OTHER, 600.0, "", 0)
    both.pass_time(10)
    come_back(both, other)
    assert f"ban {OTHER}" in both.shelf.news
    assert f"ban {NETWORK}" not in both.shelf.news


@pytest.mark.parametrize(("mine", "theirs"), [(60.0, math.inf), (math.inf, 60.0), (60.0, 600.0), (600.0, 60.0)])
def test_of_two_bans_of_hosts_that_could_not_hear_each_other_the_longer_is_in_force(mine, theirs):
    both = Sites()
    one, other = both.sites
    both.pass_time(1)
    cut_off(both, other)
    one.bans.ban(NETWORK, theirs, "theirs", 0)
    other.bans.ban(NETWORK, mine, "mine", 0)
    come_back(both, other)
    both.pass_time(POLL)
    longer = "mine" if mine > theirs else "theirs"
    assert [ban.reason for site in both.sites for ban in site.bans.listed()] == [longer] * 2
    assert not other.bans.untold()


def test_a_lift_counts_though_others_banned_for_longer_meanwhile():
    both = Sites()
    one, other = both.sites
    other.bans.ban(NETWORK, 60.0, "", 0)
    both.pass_time(1)
    cut_off(both, other)
    one.bans.ban(NETWORK, math.inf, "", 0)
    other.bans.lift(NETWORK, 0)
    come_back(both, other)
    both.pass_time(POLL)
    assert not banned(one)
    assert not banned(other)


def test_what_is_yet_to_be_told_is_what_was_done_last_though_nobody_can_be_told_any_more():
    both = Sites()
    one, other = both.sites
    cut_off(both, other)
    other.bans.ban(NETWORK, 60.0, "", 0)
    other.host.home.others = Nobody(both.clock.seconds)
    for wanted in (0.0, 60.0):
        if wanted:
            other.bans.ban(NETWORK, wanted, "", 0)
        else:
            other.bans.lift(NETWORK, 0)
        assert [ban.seconds for ban in other.bans.untold()] == [wanted]
    both.pass_time(61)
    assert not other.bans.untold()
    assert not banned(one)


def test_what_has_been_told_is_not_told_again_after_a_restart(tmp_path):
    both = Sites(folder=tmp_path)
    one, other = both.sites
    cut_off(both, other)
    other.bans.ban(NETWORK, 600.0, "", 0)
    both.pass_time(1)
    come_back(both, other)
    both.pass_time(1)
    assert banned(one) == [str(NETWORK)]
    other.store.deaf = True  # it does not hear of the lift
    one.bans.lift(NETWORK, 0)
    other.restart(both.shelf, "again")
    both.pass_time(1)
    assert not banned(one)
    assert not banned(other)


def test_a_store_that_has_lost_what_it_knew_is_told_of_all_bans_again():
    both = Sites()
    one, other = both.sites
    one.bans.ban(NETWORK, 600.0, "", 0)
    both.pass_time(1)
    both.shelf.lose_everything()
    other.bans.ban(OTHER, 600.0, "", 0)
    both.pass_time(2 * POLL)
    assert set(both.shelf.news) == {f"ban {NETWORK}", f"ban {OTHER}"}
    assert sorted(banned(one)) == sorted(banned(other)) == sorted(map(str, (NETWORK, OTHER)))


def test_a_kick_reaches_all_others_once():
    both = Sites(3)
    one, other, third = both.sites
    assert one.hosts.kicked("alice")
    both.pass_time(3 * POLL)
    assert (one.kicks, other.kicks, third.kicks) == ([], ["alice"], ["alice"])
    one.hosts.kicked("alice")
    both.pass_time(3 * POLL)
    assert (one.kicks, other.kicks) == ([], ["alice", "alice"])


def test_a_kick_is_done_by_who_was_away_for_a_moment_and_not_by_who_was_for_long():
    both = Sites()
    one, other = both.sites
    for seconds, kicks in ((1.0, ["alice"]), (KICK, ["alice"])):
        cut_off(both, other)
        one.hosts.kicked("alice")
        both.pass_time(seconds)
        come_back(both, other)
        assert other.kicks == kicks


def test_a_host_that_begins_does_none_of_the_kicks_before():
    both = Sites()
    one, other = both.sites
    one.hosts.kicked("alice")
    both.pass_time(1)
    other.hosts.stop()
    other.kicks.clear()
    other.join(both.shelf, "again")
    both.pass_time(1)
    assert not other.kicks


def test_failures_at_all_hosts_together_come_to_a_ban_at_all():
    both = Sites(ban_after=4, ban_time=600.0, penalties=NO_PENALTY)
    for number in range(4):
        both.sites[number % 2].fail(b"wrong-%d" % number)
    both.pass_time(0)
    for site in both.sites:
        assert banned(site) == [f"{HERE}/32"]
    (ban,) = both.sites[0].bans.listed()
    assert ban.reason == "4 failures"


def test_while_the_store_is_away_failures_come_to_a_ban_on_each_host_by_itself():
    both = Sites(ban_after=2, ban_time=600.0, penalties=NO_PENALTY)
    one, other = both.sites
    cut_off(both, one)
    one.fail(b"wrong-1")
    other.fail(b"wrong-2")
    assert not banned(one)
    one.fail(b"wrong-3")
    assert banned(one) == [f"{HERE}/32"]
    assert not banned(other)
    come_back(both, one)
    assert banned(other) == [f"{HERE}/32"]


@pytest.mark.parametrize("address", [HERE, THERE])
def test_who_is_banned_elsewhere_while_held_back_does_not_go_on(address):
    both = Sites()
    one, other = both.sites
    one.fail(b"wrong-1", address=address)
    held = other.hold(b"wrong-2", address=address)
    one.bans.ban(ip_network(address), 60.0, "", 0)
    for site in both.sites:
        site.settle()
    one.host.clock.advance(2)
    failure = []
    held.addErrback(failure.append)
    assert failure[0].value.refusal.value == "banned"


class BansBesideADict(RuleBasedStateMachine):
    """Hosts ban and lift, are cut off and come back; the model has a dict of what was said last."""

    def __init__(self):
        super().__init__()
        self.held = ExitStack()
        self.held.enter_context(patch("os.fsync"))  # nobody cuts the power off, and it takes most of the time
        self.all = Sites(3, folder=self.held.enter_context(TemporaryDirectory()))
        self.banned = {}
        self.away = None
        self.names = itertools.count()

    def teardown(self):
        self.held.close()

    @rule(number=st.integers(0, 2), last=st.integers(0, 3))
    def ban(self, number, last):
        network = ip_network(f"192.0.2.{last}/32")
        self.all.sites[number].bans.ban(network, 1e6, "", 0)
        self.say(number, network, True)

    @rule(number=st.integers(0, 2), last=st.integers(0, 3))
    def lift(self, number, last):
        network = ip_network(f"192.0.2.{last}/32")
        if self.all.sites[number].bans.lift(network, 0):
            self.say(number, network, False)

    def say(self, number, network, is_banned):
        """Remember it: of what a host says that is away, only it knows until it comes back."""
        if number == self.away:
            self.unsaid[network] = is_banned
        else:
            self.banned[network] = is_banned

    @rule(number=st.integers(0, 2))
    def restart(self, number):
        self.all.sites[number].restart(self.all.shelf, f"anew{next(self.names)}")

    @precondition(lambda self: self.away is None)
    @rule(number=st.integers(0, 2))
    def cut_off(self, number):
        self.away, self.unsaid = number, {}
        cut_off(self.all, self.all.sites[number])

    @precondition(lambda self: self.away is not None)
    @rule()
    def come_back(self):
        come_back(self.all, self.all.sites[self.away])
        self.banned |= self.unsaid
        self.away = None

    @precondition(lambda self: self.away is None)
    @rule()
    def lose_everything(self):
        self.all.shelf.lose_everything()
        self.all.pass_time(3 * POLL)

    @invariant()
    def all_who_are_there_agree(self):
        for site in self.all.sites * 2:
            site.settle()
        wanted = sorted(str(network) for network, is_banned in self.banned.items() if is_banned)
        for number, site in enumerate(self.all.sites):
            if number != self.away:
                assert sorted(banned(site)) == wanted


TestBans = BansBesideADict.TestCase
