"""What the workers of a host know together outlives the program that knows it; they, and what they ask, stay."""

import math
from ipaddress import ip_network

import pytest

from mmp.handover import leave, take
from mmp.policy.badness import Penalties
from mmp.policy.sessions import AddressRule, AddressRules, SessionLimits
from mmp.shared.guest import Guest
from mmp.shared.local import Home
from tests.directory.outcomes import finished, pending, refusal
from tests.running import started
from tests.shared.desks import Host, client, credentials

ONE = AddressRules([AddressRule(ip_network("0.0.0.0/0"), 1)])


def replace(host):
    """Have another home in place of the host's, with the state of that, and its guests likewise."""
    crossed = take(leave({"home": host.home.state(), "guests": [worker.guest.state() for worker in host.workers]}))
    host.home = Home(host.rules, host.clock.seconds)
    host.home.restore(crossed["home"])
    for worker, state in zip(host.workers, crossed["guests"], strict=True):
        worker.guest = Guest(host.home, lambda *frame, worker=worker: worker.down.append(frame))
        worker.guest.restore(state)
    host.turn()


def attempt(worker, secret=b"wrong-1", **options):
    return worker.ask(worker.throttle.hold(client(**options), credentials(secret=secret)))


def test_what_is_held_is_counted_until_it_is_given_back():
    host = Host(sessions=SessionLimits(per_address=ONE))
    one, other = host.workers
    lease = finished(one.ask(one.admit()))
    replace(host)
    assert refusal(other.ask(other.admit())).reason == "limit: per_address 0.0.0.0/0"
    lease.close()
    host.turn()
    finished(other.ask(other.admit())).close()
    host.turn()
    assert host.is_empty()


def test_what_a_worker_held_that_dies_afterwards_is_free():
    host = Host(sessions=SessionLimits(sessions=1))
    one, other = host.workers
    finished(one.ask(one.admit()))
    replace(host)
    one.guest.leave()
    assert finished(other.ask(other.admit()))


def test_who_is_bad_stays_bad_and_may_be_good_again():
    host = Host()
    one, other = host.workers
    finished(attempt(one)).failed()
    host.turn()
    replace(host)
    held = attempt(other, b"wrong-2")
    host.clock.advance(1.9)
    assert pending(held)
    host.clock.advance(0.2)
    finished(held).succeeded()
    host.turn()
    replace(host)
    finished(attempt(one, b"wrong-3")).failed()  # forgiven, since the user has logged in from there
    host.turn()
    assert host.home.throttle.bad == 0


def test_accounts_stay_bad_where_that_is_counted():
    host = Host(per_user=True, penalties=Penalties())
    one, other = host.workers
    finished(attempt(one)).failed()
    host.turn()
    replace(host)
    assert pending(attempt(other, address="192.0.2.77"))


def test_what_comes_of_an_attempt_that_was_under_way_counts():
    host = Host()
    one, _ = host.workers
    running = finished(attempt(one))
    replace(host)
    running.failed()
    host.turn()
    (told,) = one.log.named("badguy")
    assert (told["badness"], told["failures"]) == (2.0, 1)
    assert host.is_empty()


def test_the_same_wrong_password_is_known_again():
    """Digests are made under a key that workers keep."""
    host = Host(1)
    (worker,) = host.workers
    finished(attempt(worker)).failed()
    host.turn()
    replace(host)
    again = attempt(worker)
    host.clock.advance(2)
    finished(again).failed()
    host.turn()
    assert len(worker.log.named("badguy")) == 1


def test_attempts_that_queue_have_their_turn():
    host = Host()
    one, other = host.workers
    finished(attempt(one)).failed()
    first, second = attempt(one, b"wrong-2"), attempt(other, b"wrong-3")
    replace(host)
    host.clock.advance(2)
    finished(first).close()
    finished(second).close()
    host.turn()
    assert host.is_empty()


def test_rates_go_on():
    host = Host(connections_per_minute=1, messages_per_hour=1)
    one, other = host.workers
    finished(one.ask(one.admit()))
    meter, answers = one.meter()
    answers.ask()
    host.turn()
    replace(host)
    assert refusal(other.ask(other.admit())).reason == "limit: connections_per_minute"
    assert answers == [True]
    meter.settle(accepted=False)
    host.turn()
    _, more = other.meter()
    more.ask(2)
    host.turn()
    assert more == [True, False]  # the first was given back


def test_those_who_submit_too_much_are_remembered():
    host = Host(1, messages_per_hour=1)
    _, answers = host.workers[0].meter()
    answers.ask(2)
    host.turn()
    replace(host)
    assert list(host.home.exceeded) == [("messages_per_hour", b"alice")]


def test_bans_and_failures_on_the_way_to_one_stay():
    host = Host(1, ban_after=2)
    (worker,) = host.workers
    host.home.ban(ip_network("198.51.100.0/24"), math.inf, "spam")
    finished(attempt(worker)).failed()
    host.turn()
    replace(host)
    assert list(host.home.bans.listed(0.0)) == [(ip_network("198.51.100.0/24"), math.inf, "spam")]
    again = attempt(worker, b"wrong-2")
    host.clock.advance(2)
    finished(again).failed()
    host.turn()
    assert "192.0.2.1/32" in {str(network) for network, *_ in host.home.bans.listed(host.clock.seconds())}


def test_a_desk_that_went_on_alone_hears_that_there_is_a_home():
    """Its question was with another host when the program was replaced."""
    host = Host(1, sessions=SessionLimits(sessions=1))
    (worker,) = host.workers
    host.home.others = Silent()
    asked = started(worker.admit())
    host.turn()
    replace(host)
    host.clock.advance(0.1)
    host.turn()
    finished(asked)
    assert worker.log.named("shared")[-1]["result"] == "rejoined"
    assert len(host.home.counts) == 1


class Silent:
    @property
    def asked(self):
        return self

    def take(self, claims, answered):
        pass


@pytest.mark.parametrize("rules", [{}, {"connections_per_minute": 5, "per_user": True}])
def test_what_other_rules_do_not_ask_for_is_not_kept(rules):
    host = Host(1, messages_per_hour=1, per_user=True)
    _, answers = host.workers[0].meter()
    answers.ask()
    host.turn()
    crossed = take(leave({"home": host.home.state()}))
    home = Host(**rules).home
    home.restore(crossed["home"])
    assert "messages_per_hour" not in home.state()["rates"]
