"""What the workers of a host know together: one home, any number of workers, frames in between."""

from ipaddress import ip_network

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from mmp.model import Account, Refusal
from mmp.policy.sessions import AddressRule, AddressRules, SessionLimits
from mmp.shared.local import Rules
from tests.directory.outcomes import finished, pending, refusal
from tests.running import started
from tests.shared.desks import HERE, THERE, Host, client, credentials


def per_address(sessions, *, observed=False):
    networks = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    return AddressRules(AddressRule(network, sessions, observed=observed) for network in networks)


def of(user="alice", host="store1"):
    return Account(user, user, host)


def test_a_limit_holds_over_two_workers():
    host = Host(sessions=SessionLimits(per_address=per_address(3)))
    asked = [host.workers[number % 2].ask(host.workers[number % 2].admit()) for number in range(5)]
    leases = [finished(each) for each in asked[:3]]
    refused = [refusal(each) for each in asked[3:]]
    assert {(each.refusal, each.reason) for each in refused} == {
        (Refusal.TOO_MANY_CONNECTIONS, "limit: per_address 0.0.0.0/0")
    }
    leases[0].close()
    assert finished(host.workers[1].ask(host.workers[1].admit()))


def test_a_lease_given_back_twice_frees_one_slot():
    host = Host(1, sessions=SessionLimits(per_address=per_address(2)))
    (worker,) = host.workers
    first, _ = (finished(worker.ask(worker.admit())) for _ in range(2))
    first.close()
    first.close()
    finished(worker.ask(worker.admit()))
    refusal(worker.ask(worker.admit()))


def test_users_and_stores_are_counted_together_and_refused_by_name():
    host = Host(sessions=SessionLimits(per_user=1, per_backend=2))
    one, other = host.workers
    finished(one.ask(one.limits.admit(client(), of("alice"))))
    assert refusal(other.ask(other.limits.admit(client(), of("alice")))).reason == "limit: per_user"
    finished(other.ask(other.limits.admit(client(), of("bob"))))
    full = refusal(other.ask(other.limits.admit(client(), of("carol"))))
    assert (full.refusal, full.reason) == (Refusal.TOO_MANY_SESSIONS, "limit: per_backend")
    finished(other.ask(other.limits.admit(client(), of("carol", "store2"))))


def test_the_end_of_a_workers_link_frees_all_that_it_held():
    host = Host(sessions=SessionLimits(sessions=2))
    one, other = host.workers
    for _ in range(2):
        finished(one.ask(one.admit()))
    refusal(other.ask(other.admit()))
    one.guest.leave()
    finished(other.ask(other.admit()))


def test_a_lease_asked_for_by_somebody_who_went_is_not_lost():
    host = Host(sessions=SessionLimits(sessions=1))
    one, other = host.workers
    gone = started(one.admit())
    gone.addErrback(lambda _: None)
    gone.cancel()
    host.turn()
    finished(other.ask(other.admit()))


def test_what_is_only_observed_is_told_with_the_session_and_refuses_nobody():
    host = Host(
        1, sessions=SessionLimits(per_address=per_address(1, observed=True), per_user=1, observed=("per_user",))
    )
    (worker,) = host.workers
    for _ in range(2):
        finished(worker.ask(worker.admit()))
        finished(worker.ask(worker.limits.admit(client(), of())))
    told = worker.log.named("refused")
    assert [(each["result"], each["reason"], each["session"]) for each in told] == [
        ("observed", "limit: per_address 0.0.0.0/0", "s1"),
        ("observed", "limit: per_user", "s1"),
    ]


def test_connections_per_minute_are_counted_over_workers():
    host = Host(connections_per_minute=4)
    asked = [host.workers[number % 2].ask(host.workers[number % 2].admit()) for number in range(6)]
    assert [each.result.value.refusal for each in asked[4:]] == [Refusal.RATE_EXCEEDED] * 2
    for each in asked[4:]:
        assert refusal(each).reason == "limit: connections_per_minute"
    finished(host.workers[0].ask(host.workers[0].admit(THERE)))
    host.clock.advance(15)
    finished(host.workers[0].ask(host.workers[0].admit()))


def test_logins_per_minute_are_counted_over_workers():
    host = Host(logins_per_minute=2)
    one, other = host.workers
    finished(one.ask(one.throttle.hold(client(), credentials()))).close()
    finished(other.ask(other.throttle.hold(client(), credentials()))).close()
    assert refusal(one.ask(one.throttle.hold(client(), credentials()))).refusal is Refusal.RATE_EXCEEDED


def test_rates_that_are_only_observed_refuse_nobody():
    host = Host(
        1, connections_per_minute=1, logins_per_minute=1, observed=("connections_per_minute", "logins_per_minute")
    )
    (worker,) = host.workers
    for _ in range(3):
        finished(worker.ask(worker.admit()))
        finished(worker.ask(worker.throttle.hold(client(), credentials()))).close()
    limits = [each["reason"] for each in worker.log.named("refused")]
    assert sorted(limits) == ["limit: connections_per_minute"] * 2 + ["limit: logins_per_minute"] * 2


def test_a_guess_at_one_worker_slows_the_next_at_the_other():
    host = Host()
    one, other = host.workers
    finished(one.ask(one.throttle.hold(client(), credentials()))).failed()
    host.turn()
    (told,) = one.log.named("badguy")
    assert (told["badness"], told["failures"], told["user"]) == (2.0, 1, "alice")
    held = other.ask(other.throttle.hold(client(session="s2"), credentials(secret=b"wrong-2")))
    assert pending(held)
    assert other.deadlines.paused == ["s2"]
    host.clock.advance(1.9)
    assert pending(held)
    host.clock.advance(0.2)
    finished(held).succeeded()
    assert other.deadlines.paused == []
    host.turn()
    finished(one.ask(one.throttle.hold(client(), credentials(secret=b"wrong-3")))).close()


def test_attempts_of_one_address_queue_behind_each_other_over_workers():
    host = Host()
    one, other = host.workers
    finished(one.ask(one.throttle.hold(client(), credentials()))).failed()
    first = one.ask(one.throttle.hold(client(), credentials(secret=b"wrong-2")))
    second = other.ask(other.throttle.hold(client(), credentials(secret=b"wrong-3")))
    host.clock.advance(2)
    finished(first).failed()
    host.turn()
    host.clock.advance(3)
    assert pending(second)
    host.clock.advance(1)
    finished(second).close()


def test_one_that_goes_while_it_is_held_leaves_the_line():
    host = Host(1)
    (worker,) = host.workers
    finished(worker.ask(worker.throttle.hold(client(), credentials()))).failed()
    held = [worker.ask(worker.throttle.hold(client(), credentials(secret=bytes([number])))) for number in range(3)]
    for each in (held[1], held[0]):
        each.addErrback(lambda _: None)
        each.cancel()
        host.turn()
    assert len(worker.deadlines.paused) == 1
    host.clock.advance(2)
    finished(held[2]).close()
    host.turn()
    assert host.is_empty()


def test_where_too_many_wait_the_rest_are_refused():
    host = Host(1)
    (worker,) = host.workers
    finished(worker.ask(worker.throttle.hold(client(), credentials()))).failed()
    held = [worker.ask(worker.throttle.hold(client(), credentials(secret=bytes([number])))) for number in range(12)]
    refused = refusal(held[11])
    assert (refused.refusal, refused.reason) == (Refusal.RATE_EXCEEDED, "limit: throttle")
    assert all(map(pending, held[:11]))
    host.workers[0].guest.leave()
    assert host.is_empty()


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "SCRAM-SHA-256"])
def test_where_the_password_does_not_show_every_failure_counts(mechanism):
    host = Host(1)
    (worker,) = host.workers
    for _ in range(3):
        attempt = worker.ask(worker.throttle.hold(client(), credentials(secret=b"", mechanism=mechanism)))
        host.clock.advance(10)
        finished(attempt).failed()
        host.turn()
    assert [told["failures"] for told in worker.log.named("badguy")] == [1, 2, 3]


def test_the_same_wrong_password_is_told_once():
    host = Host()
    for worker in host.workers:
        attempt = worker.ask(worker.throttle.hold(client(), credentials(secret=b"old-pass")))
        host.clock.advance(2)
        finished(attempt).failed()
        host.turn()
    assert [len(worker.log.named("badguy")) for worker in host.workers] == [1, 0]


def test_passwords_are_compared_under_a_key_and_do_not_leave_the_worker():
    host = Host(1)
    (worker,) = host.workers
    worker.ask(worker.throttle.hold(client(), credentials(secret=b"s3cret")))
    sent = []
    for key in (b"1" * 32, b"2" * 32):
        worker.desk.key = key
        started(worker.throttle.hold(client(), credentials(secret=b"s3cret")))
        sent.append(worker.up.pop()[1])
    assert sent[0][4:] != sent[1][4:]
    assert b"s3cret" not in b"".join(sent)


def test_a_throttle_that_only_observes_tells_and_holds_nobody():
    host = Host(1, observe_throttle=True)
    (worker,) = host.workers
    for number in range(2):
        finished(worker.ask(worker.throttle.hold(client(), credentials(secret=bytes([number]))))).failed()
        host.turn()
    observed = [told for told in worker.log.named("badguy") if "result" in told]
    assert [(told["result"], told["seconds"]) for told in observed] == [("observed", 2.0)]


def test_other_rules_leave_held_what_is_held_and_bad_who_is_bad():
    host = Host(1, sessions=SessionLimits(sessions=2))
    (worker,) = host.workers
    finished(worker.ask(worker.admit()))
    finished(worker.ask(worker.throttle.hold(client(), credentials()))).failed()
    host.turn()
    host.home.change(Rules(sessions=SessionLimits(sessions=1)))
    refusal(worker.ask(worker.admit()))
    assert pending(worker.ask(worker.throttle.hold(client(), credentials(secret=b"wrong-2"))))


class HostBesideAList(RuleBasedStateMachine):
    """Workers come, ask, give back, go away while asking, and die; the model has a list of who holds what."""

    leases = Bundle("leases")

    def __init__(self):
        super().__init__()
        self.host = Host(2, sessions=SessionLimits(sessions=5, per_address=per_address(3)))
        self.held = []

    def admitted(self, number, address):
        alive = [each for each in self.held if each[0].number]
        return len(alive) < 5 and sum(each[2] == address for each in alive) < 3

    @rule(target=leases, number=st.integers(0, 1), address=st.sampled_from([HERE, THERE, "192.0.2.3"]))
    def come(self, number, address):
        room = self.admitted(number, address)
        worker = self.host.workers[number]
        asked = worker.ask(worker.admit(address))
        if not room:
            refusal(asked)
            return multiple()
        self.held.append((finished(asked), worker, address))
        return self.held[-1]

    @rule(lease=consumes(leases))
    def leave(self, lease):
        lease[0].close()
        self.host.turn()
        if lease in self.held:
            self.held.remove(lease)

    @rule(number=st.integers(0, 1), address=st.sampled_from([HERE, THERE]))
    def come_and_go_at_once(self, number, address):
        worker = self.host.workers[number]
        asked = started(worker.admit(address))
        asked.addErrback(lambda _: None)
        asked.cancel()
        self.host.turn()

    @rule(number=st.integers(0, 1))
    def die(self, number):
        worker = self.host.workers[number]
        worker.guest.leave()
        self.held = [each for each in self.held if each[1] is not worker]

    @invariant()
    def the_home_holds_what_the_list_has(self):
        total = sum(count for (limit, _), count in self.host.home.counts._held.items() if limit == "sessions")
        assert total == len(self.held)


TestHost = HostBesideAList.TestCase
