"""Hosts that share a store: limits and badness hold over all of them, and nobody waits for a store that is silent."""

from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from mmp.errors import Refused
from mmp.model import Account
from mmp.policy.badness import Penalties
from mmp.policy.sessions import SessionLimits
from mmp.shared import desk, hosts, redis_script
from mmp.shared.exchange import DEAD, PATIENCE, RETRY, SILENCE
from mmp.shared.others import Nobody
from mmp.shared.store import Count, Fail, Forget, Hold, Look, StoreError, Take, Vouch
from tests.directory.outcomes import finished, pending, refusal
from tests.running import started
from tests.shared import shelf
from tests.shared.desks import HERE, THERE, client
from tests.shared.sites import LEASE, Sites
from tests.shared.test_local import per_address


def fill(sites, count, address=HERE):
    """Ask so many times, in turn at each host; return who was admitted."""
    asked = [sites[number % len(sites)].admit(address) for number in range(count)]
    admitted = []
    for each in asked:
        each.addCallbacks(admitted.append, lambda _: None)
    return admitted


def test_a_limit_holds_over_hosts():
    both = Sites(sessions=SessionLimits(per_address=per_address(3)))
    leases = fill(both.sites, 10)
    assert len(leases) == both.shelf.total() == 3
    leases[0].close()
    both.sites[0].settle()
    assert len(fill(both.sites, 4)) == 1
    assert len(fill(both.sites, 4, THERE)) == 3


def test_all_who_ask_at_once_at_many_hosts_get_what_there_is():
    many = Sites(5, sessions=SessionLimits(per_user=7))
    asked = []
    for _ in range(10):
        for site in many.sites:
            worker = site.host.workers[0]
            asked.append(started(worker.limits.admit(client(), Account("alice", "alice", "store1"))))
    for site in many.sites:
        site.settle()
    admitted = []
    for each in asked:
        each.addCallbacks(admitted.append, lambda _: None)
    assert len(admitted) == many.shelf.total() == 7


def test_a_rate_holds_over_hosts():
    both = Sites(connections_per_minute=4)
    assert len(fill(both.sites, 10)) == 4
    both.pass_time(15)
    assert len(fill(both.sites, 10)) == 1


def test_of_logins_too():
    both = Sites(logins_per_minute=2)
    for site in both.sites:
        finished(site.hold()).close()
    for site in both.sites:
        assert refusal(site.hold()).reason == "limit: logins_per_minute"


def test_what_a_user_submits_counts_over_hosts():
    both = Sites(messages_per_hour=2)
    told = []
    for site in (*both.sites, *both.sites):
        meter, answers = site.host.workers[0].meter()
        answers.ask()
        site.settle()
        meter.close()
        site.settle()
        told += answers
    assert told == [True, True, False, False]


def test_a_login_waits_for_an_answer_twice_at_most_and_so_a_tenth_of_a_second():
    (site,) = Sites(1, sessions=SessionLimits(per_user=9), logins_per_minute=9, per_user=True).sites
    site.store.deaf = True
    attempt = site.hold()
    site.host.clock.advance(PATIENCE)
    site.settle()
    finished(attempt)
    lease = site.user()
    site.host.clock.advance(PATIENCE)
    site.settle()
    finished(lease)
    assert 2 * PATIENCE <= 0.1


def test_a_guess_at_one_host_slows_the_next_at_another():
    one, other = Sites().sites
    one.fail(b"wrong-1")
    held = other.hold(b"wrong-2")
    assert pending(held)
    one.host.clock.advance(2)
    finished(held).failed()
    other.settle()
    assert pending(one.hold(b"wrong-3"))
    assert finished(one.hold(address=THERE))


def test_the_same_wrong_password_counts_once_over_hosts():
    one, other = Sites().sites
    one.fail(b"old")
    held = other.hold(b"old")
    one.host.clock.advance(2)
    finished(held).failed()
    other.settle()
    (bad,) = one.store.shelf.bad.values()
    assert bad.failures(0) == 1


def test_a_login_clears_its_address_everywhere_and_its_user_is_not_slowed_there():
    one, other = Sites().sites
    one.fail(b"wrong-1")
    held = other.hold(b"right")
    one.host.clock.advance(2)
    finished(held).succeeded()
    other.settle()
    one.fail(b"wrong-2", user="bob")
    assert pending(other.hold(b"wrong-3", user="carol"))
    finished(one.hold(b"old")).close()


def test_guesses_at_one_account_count_over_hosts():
    one, other = Sites(per_user=True).sites
    one.fail(b"wrong-1")
    assert pending(other.hold(b"wrong-2", address=THERE))
    assert finished(other.hold(b"wrong-3", user="bob", address=THERE))


def test_what_a_dead_host_held_counts_until_its_lease_ends():
    both = Sites(sessions=SessionLimits(sessions=3))
    dead, alive = both.sites
    fill([dead], 3)
    both.pass_time(3 * LEASE)
    assert not fill([alive], 1)
    dead.hosts.stop()
    both.pass_time(LEASE / 2)
    assert not fill([alive], 1)
    both.pass_time(LEASE / 2)
    assert len(fill([alive], 4)) == 3


def test_what_is_asked_in_one_turn_is_asked_at_once():
    (site,) = Sites(1, sessions=SessionLimits(sessions=9)).sites
    site.store.asked.clear()
    worker = site.host.workers[0]
    asked = [started(worker.admit()) for _ in range(5)]
    site.settle()
    leases = list(map(finished, asked))
    assert [list(map(type, batch)) for batch in site.store.asked] == [[Take] * 5]
    for lease in leases:
        lease.close()
    site.settle()
    assert [list(map(type, batch)) for batch in site.store.asked[1:]] == [[Hold]]


def test_what_is_not_limited_is_not_asked():
    (site,) = Sites(1).sites
    finished(site.admit())
    finished(site.hold()).succeeded()
    site.settle()
    kinds = {type(question) for batch in site.store.asked for question in batch}
    assert kinds == {Look, Forget, Vouch}


# The store is silent


def silent(site):
    """Let a host find out that the store does not answer; return what was granted meanwhile."""
    site.store.deaf = True
    asked = site.admit()
    assert pending(asked)
    site.host.clock.advance(PATIENCE)
    site.settle()
    lease = finished(asked)
    site.host.clock.advance(SILENCE - PATIENCE)
    site.settle()
    return lease


def test_nobody_waits_longer_for_a_silent_store_than_patience_and_after_that_nobody_waits():
    one, other = Sites(sessions=SessionLimits(sessions=2)).sites
    silent(one)
    assert finished(one.admit())
    refusal(one.admit())
    assert one.told() == ["rejoined", "late", "alone"]
    assert other.told() == ["rejoined"]
    assert not one.host.workers[0].log.named("shared")


def test_an_answer_that_is_late_leaves_only_whoever_waited_for_it_without_and_counts_stay_right():
    both = Sites(sessions=SessionLimits(sessions=2))
    one, other = both.sites
    for _ in range(3):
        one.store.deaf = True
        asked = [one.admit(), one.admit("192.0.2.3")]
        one.host.clock.advance(PATIENCE)
        one.settle()
        leases = [finished(each) for each in asked]
        assert not one.hosts.why
        one.store.deaf = False
        one.store.hear()
        one.settle()
        assert both.shelf.total() == 2
        assert not fill([one, other], 2)
        for lease in leases:
            lease.close()
        one.settle()
        assert not both.shelf.total()
    assert one.told() == ["rejoined", "late"]


def late(site):
    """Ask for a slot of which the answer comes late; return what was said without it."""
    (asked,) = all_late(site, 1)
    return asked


def all_late(site, count):
    """Ask for so many at once."""
    site.store.deaf = True
    asked = [site.admit() for _ in range(count)]
    site.host.clock.advance(PATIENCE)
    site.settle()
    site.store.deaf = False
    site.store.hear()
    site.settle()
    return asked


def test_a_store_whose_answers_are_all_late_lets_in_no_more_than_who_asked_before_it_said_no():
    both = Sites(sessions=SessionLimits(sessions=4))
    one, other = both.sites
    leases = fill([other], 4)
    finished(late(one))
    assert both.shelf.total() == 5
    for _ in range(3):
        assert refusal(late(one)).reason == "limit: sessions"
        assert both.shelf.total() == 5
    for lease in leases[:2]:
        lease.close()
    other.settle()
    refusal(late(one))  # what was said last is believed once more
    finished(late(one))
    assert both.shelf.total() == 4


def test_whoever_asks_for_more_than_there_is_gets_what_there_is_though_all_answers_are_late():
    both = Sites(sessions=SessionLimits(sessions=6))
    one, other = both.sites
    leases = fill([other], 6)
    finished(late(one)).close()
    for lease in leases[:4]:
        lease.close()
    other.settle()
    one.settle()
    for each in all_late(one, 5):
        refusal(each)  # what was said last is believed once more
    *admitted, refused = all_late(one, 5)
    assert all(map(finished, admitted))
    refusal(refused)
    assert both.shelf.total() == 6


def test_what_the_store_said_last_is_believed_for_a_lease_and_of_no_more_than_so_many(monkeypatch):
    monkeypatch.setattr(hosts, "UNSAID", 2)
    both = Sites(sessions=SessionLimits(per_address=per_address(1)))
    one, other = both.sites
    for address in ("192.0.2.3", THERE, HERE):
        finished(other.admit(address))
        refusal(one.admit(address))
    assert len(one.hosts._full) == 1
    refusal(late(one))
    both.pass_time(LEASE)
    finished(late(one))


def test_a_limit_that_is_only_observed_refuses_nobody_whose_answer_is_late():
    one, other = Sites(sessions=SessionLimits(sessions=1, observed=["sessions"])).sites
    fill([other], 1)
    for _ in range(2):
        finished(late(one))
    assert [each["reason"] for each in one.host.workers[0].log.named("refused")] == ["limit: sessions"]


def test_after_a_silence_nobody_more_gets_in_until_as_many_have_gone_as_were_too_many():
    both = Sites(sessions=SessionLimits(sessions=3))
    one, other = both.sites
    leases = fill([other], 3)
    leases += [silent(one), finished(one.admit())]
    one.store.deaf = False
    one.store.hear()
    one.settle()
    while both.shelf.total() > 2:
        assert not fill(both.sites, 2)
        leases.pop().close()
        both.pass_time(1)
    assert len(fill(both.sites, 4)) == 1


def test_when_it_answers_again_counts_are_right_again():
    both = Sites(sessions=SessionLimits(sessions=2))
    one, other = both.sites
    leases = [silent(one), finished(one.admit())]
    assert not one.store.shelf.total()
    one.store.deaf = False
    one.store.hear()
    one.settle()
    assert both.shelf.total() == 2
    assert not fill([other], 1)
    for lease in leases:
        lease.close()
    one.settle()
    assert len(fill([other], 3)) == 2


def test_a_throttle_goes_on_alone_and_tells_later():
    one, other = Sites(sessions=SessionLimits(sessions=2)).sites
    silent(one)
    one.fail(b"wrong-1")
    assert pending(one.hold(b"wrong-2"))
    finished(other.hold(b"wrong-3")).close()
    one.store.deaf = False
    one.store.hear()
    one.settle()
    assert pending(other.hold(b"wrong-4"))


def test_rates_go_on_alone():
    one, other = Sites(connections_per_minute=2, sessions=SessionLimits(sessions=9)).sites
    silent(one)
    assert len(fill([one], 5)) == 1
    assert len(fill([other], 5)) == 2


def test_a_connection_that_answers_nothing_is_given_up_and_made_again():
    (site,) = Sites(1, sessions=SessionLimits(sessions=2)).sites
    silent(site)
    site.store.away = True
    for _ in range(int(DEAD) + 1):
        site.host.clock.advance(1)
        site.settle()
    site.store.away = site.store.deaf = False
    site.host.clock.advance(RETRY)
    site.settle()
    assert site.told() == ["rejoined", "late", "alone", "rejoined"]
    assert site.store.shelf.total() == 1


def test_a_store_that_was_never_there_is_told_once():
    both = Sites(1)
    (site,) = both.sites
    site.store.away = True
    site.restart(both.shelf, "again")
    both.pass_time(20 * RETRY)
    assert site.told() == ["rejoined", "alone"]
    assert site.hosts.why == "nobody there"


def test_a_store_that_is_emptied_is_right_again_within_a_lease():
    both = Sites(sessions=SessionLimits(sessions=3))
    one, other = both.sites
    fill([one], 3)
    both.shelf.held.clear()
    both.pass_time(LEASE / 3)
    assert not fill([other], 1)


def test_where_silence_is_a_refusal_nobody_comes_in():
    (site,) = Sites(1, refusing=True, sessions=SessionLimits(sessions=2)).sites
    site.store.deaf = True
    first, attempt = site.admit(), site.hold()
    for seconds in (PATIENCE, SILENCE):
        site.host.clock.advance(seconds)
        site.settle()
    for each in (first, attempt, site.admit(), site.user(), site.hold()):
        assert refusal(each).reason == "limit: shared state"
    site.store.deaf = False
    site.store.hear()
    site.settle()
    assert finished(site.admit())


def test_a_lease_whose_asker_went_before_the_answer_is_not_kept():
    (site,) = Sites(1, sessions=SessionLimits(sessions=2)).sites
    site.store.deaf = True
    asked = site.admit()
    asked.addErrback(lambda _: None)
    asked.cancel()
    site.settle()
    site.store.deaf = False
    site.store.hear()
    site.settle()
    assert site.host.is_empty()
    assert not site.store.shelf.total()


def test_a_submission_refused_after_its_session_has_ended_makes_no_room_for_another():
    (site,) = Sites(1, messages_per_hour=1).sites
    (worker,) = site.host.workers
    for _ in range(4):
        meter, answers = worker.meter()
        answers.ask()
        site.host.turn()
        if not site.store.asked:
            site.settle()
        meter.close()
        site.settle()
    meter, answers = worker.meter()
    answers.ask()
    site.settle()
    assert answers == [False]


def test_a_worker_that_dies_before_the_answer_keeps_nothing():
    (site,) = Sites(1, sessions=SessionLimits(sessions=2)).sites
    site.store.deaf = True
    site.admit()
    site.host.workers[0].guest.leave()
    site.store.deaf = False
    site.store.hear()
    site.settle()
    assert site.host.is_empty()
    assert not site.store.shelf.total()


def test_a_worker_that_gave_up_before_the_home_had_asked_is_not_alone_for_ever():
    (site,) = Sites(1, sessions=SessionLimits(sessions=2)).sites
    (worker,) = site.host.workers
    asked = started(worker.admit())
    site.host.clock.advance(desk.PATIENCE)
    lease = finished(asked)
    site.settle()
    assert [told["result"] for told in worker.log.named("shared")] == ["alone", "rejoined"]
    assert len(site.host.home.counts) == 1
    lease.close()
    site.settle()
    assert site.host.is_empty()


@pytest.mark.parametrize("sent", [False, True])
def test_whoever_asks_when_a_store_is_done_with_goes_on_and_gives_back_what_it_held(sent):
    (site,) = Sites(1, sessions=SessionLimits(sessions=2)).sites
    site.store.deaf = True
    asked = started(site.host.workers[0].admit())
    if sent:
        site.settle()
    else:
        site.host.turn()
    site.host.home.others = Nobody(site.host.clock.seconds)
    site.hosts.stop()
    site.settle()
    finished(asked).close()
    site.settle()
    assert site.host.is_empty()
    assert site.told() == ["rejoined"]


def test_nonsense_in_answer_to_one_leaves_nobody_waiting_who_asked_with_it(monkeypatch):
    (site,) = Sites(1, sessions=SessionLimits(sessions=9)).sites
    replies = ["nonsense", 0]
    monkeypatch.setitem(shelf._ANSWERS, Take, lambda _store, _question: replies.pop(0))
    nonsense, asked = [started(site.host.workers[0].admit()) for _ in range(2)]
    nonsense.addErrback(lambda _: None)
    site.settle()
    finished(asked)
    nonsense.cancel()


def test_names_in_the_store_tell_nothing_of_users_or_passwords_and_are_short():
    (site,) = Sites(1, sessions=SessionLimits(per_user=9), logins_per_minute=5, per_user=True).sites
    name = "älice " * 100
    finished(site.user(name))
    site.fail(b"s3cret", user=name)
    text = repr(site.store.asked).encode()
    assert b"lice" not in text
    assert b"s3cret" not in text
    finished(site.hold(b"right", "bob", THERE)).succeeded()
    site.settle()
    shelf = site.store.shelf
    assert len(shelf.vouched) == 1
    kept = (*shelf.held, *shelf.rates, *shelf.bad, *shelf.vouched)
    assert not [key for key in kept if ip_address(THERE).packed.hex().encode() in key]
    assert all(len(key) <= 64 for key in kept)


def test_twenty_thousand_that_are_held_are_told_within_a_third_of_a_lease():
    (site,) = Sites(1, sessions=SessionLimits(per_user=9)).sites
    counts = site.host.home.counts
    for number in range(20_000):
        counts.take_anyway(site.host.home.rules.sessions.of_account(f"user{number}", "store"))
    began = site.host.clock.seconds()
    while site.store.shelf.total() < 20_000:
        site.host.clock.advance(0.02)
    assert site.host.clock.seconds() - began < 2 * LEASE / 3
    assert max(map(len, site.store.asked)) <= 100


@pytest.mark.parametrize("linear", [False, True])
def test_penalties_go_with_each_failure(linear):
    penalties = Penalties(1.0, 9.0, 100.0, linear)
    (site,) = Sites(1, penalties=penalties).sites
    site.fail(b"wrong")
    (failed,) = [each for batch in site.store.asked for each in batch if isinstance(each, Fail)]
    assert failed.penalties == penalties


def test_an_event_under_a_rate_goes_with_its_rate():
    (site,) = Sites(1, connections_per_minute=6).sites
    finished(site.admit())
    ((count,), *_) = site.store.asked
    assert isinstance(count, Count)
    assert (count.step, count.period) == (10.0, 60.0)


class HostsBesideAList(RuleBasedStateMachine):
    """Hosts admit and give back, are cut off and come back, die and start; the model has a list of who holds what."""

    leases = Bundle("leases")

    def __init__(self):
        super().__init__()
        self.all = Sites(2, sessions=SessionLimits(sessions=5, per_address=per_address(3)))
        self.held = []
        self.alone = set()

    def counted(self, number):
        """Return the sessions that a host knows of: if it is alone, only its own."""
        return [each for each in self.held if number not in self.alone or each[1] == number]

    def has_room(self, number, address):
        counted = self.counted(number)
        return len(counted) < 5 and sum(each[2] == address for each in counted) < 3

    @rule(target=leases, number=st.integers(0, 1), address=st.sampled_from([HERE, THERE, "192.0.2.3"]))
    def come(self, number, address):
        room = self.has_room(number, address)
        asked = self.all.sites[number].admit(address)
        if self.alone and number not in self.alone:  # it knows what the other held when last heard of
            with suppress(Refused):
                self.held.append((finished(asked), number, address))
                return self.held[-1]
            return multiple()
        if not room:
            refusal(asked)
            return multiple()
        self.held.append((finished(asked), number, address))
        return self.held[-1]

    @rule(lease=consumes(leases))
    def leave(self, lease):
        lease[0].close()
        self.all.sites[lease[1]].settle()
        self.held.remove(lease)

    @rule(number=st.integers(0, 1))
    def cut_off(self, number):
        if not self.alone:
            site = self.all.sites[number]
            site.store.deaf = True
            gone = site.admit("192.0.2.9")
            gone.addErrback(lambda _: None)
            gone.cancel()
            self.all.pass_time(2 * SILENCE)
            if site.hosts.why:
                self.alone.add(number)
            else:  # full already, so nobody was asked
                site.store.deaf = False

    @rule()
    def come_back(self):
        for number in self.alone:
            self.all.sites[number].store.deaf = False
            self.all.sites[number].store.hear()
        self.alone.clear()
        self.all.pass_time(RETRY)

    @rule(seconds=st.sampled_from([1.0, 10.0]))
    def pass_time(self, seconds):
        if not self.alone:
            self.all.pass_time(seconds)

    @invariant()
    def what_hosts_that_are_there_hold_is_in_the_store(self):
        if not self.alone:
            sessions = sum(
                count
                for site in self.all.sites
                for (limit, _), count in site.host.home.counts._held.items()
                if limit == "sessions"
            )
            assert sessions == len(self.held)
            assert self.all.shelf.total() == 2 * len(self.held)


TestHosts = HostsBesideAList.TestCase


@pytest.mark.parametrize("reply", ["nonsense", None, [0]])
def test_what_redis_says_in_place_of_a_number_fails_the_whole_batch(reply):
    with pytest.raises(StoreError):
        redis_script.read([0, reply], [Hold(b"key", 1), Hold(b"key", 2)])
