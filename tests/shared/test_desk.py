"""A worker whose host's home is silent counts alone, and says so; when the home is back, it knows all again."""

import pytest

from mmp.model import Account
from mmp.policy.sessions import SessionLimits
from mmp.shared.desk import OWN, PATIENCE, REFUSALS
from mmp.shared.link import Kind
from tests.directory.outcomes import finished, pending, refusal
from tests.running import started
from tests.shared.desks import THERE, Host, client, credentials


@pytest.fixture
def host():
    return Host(2, sessions=SessionLimits(sessions=2))


def alone(host):
    """Let the first worker find out that the home is silent; return it and what it was granted meanwhile."""
    worker = host.workers[0]
    asked = started(worker.admit())
    assert pending(asked)
    host.clock.advance(PATIENCE)
    return worker, finished(asked)


def test_whoever_asks_a_silent_home_waits_a_tenth_of_a_second(host):
    worker, lease = alone(host)
    assert lease.number & OWN
    assert [told["result"] for told in worker.log.named("shared")] == ["alone"]


def test_after_that_nobody_waits_and_it_is_said_once(host):
    worker, _ = alone(host)
    finished(started(worker.admit()))
    refusal(started(worker.admit()))
    assert len(worker.log.named("shared")) == 1


def test_all_who_asked_before_are_answered_in_their_time(host):
    worker = host.workers[0]
    asked = started(worker.admit())
    host.clock.advance(PATIENCE / 2)
    later = started(worker.admit())
    host.clock.advance(PATIENCE / 2)
    assert not pending(asked)
    assert pending(later)
    host.clock.advance(PATIENCE / 2)
    assert not pending(later)
    assert len(worker.log.named("shared")) == 1


def test_when_the_home_is_back_it_learns_what_was_granted_and_the_late_grant_is_returned(host):
    worker, lease = alone(host)
    finished(started(worker.admit()))
    host.turn()
    assert [told["result"] for told in worker.log.named("shared")] == ["alone", "rejoined"]
    assert not lease.number & OWN
    other = host.workers[1]
    refusal(other.ask(other.admit()))
    lease.close()
    finished(other.ask(other.admit()))


def test_what_was_granted_alone_and_given_back_is_not_told(host):
    worker, lease = alone(host)
    lease.close()
    host.turn()
    assert host.is_empty()


def test_two_workers_alone_may_grant_more_than_the_limit_and_the_home_knows_then(host):
    leases = []
    for worker in host.workers:
        asked = [started(worker.admit()) for _ in range(2)]
        host.clock.advance(PATIENCE)
        leases += map(finished, asked)
    host.turn()
    worker = host.workers[0]
    for lease in leases[:2]:
        lease.close()
        refusal(worker.ask(worker.admit()))
    leases[2].close()
    host.turn()
    finished(worker.ask(worker.admit()))


def test_a_throttle_goes_on_alone(host):
    worker, _ = alone(host)
    finished(started(worker.throttle.hold(client(), credentials()))).failed()
    (told,) = worker.log.named("badguy")
    assert told["failures"] == 1
    held = started(worker.throttle.hold(client(), credentials(secret=b"wrong-2")))
    assert pending(held)
    host.clock.advance(2)
    finished(held).succeeded()


def test_an_attempt_that_queues_is_not_taken_for_one_that_is_not_answered(host):
    worker = host.workers[0]
    finished(worker.ask(worker.throttle.hold(client(), credentials()))).failed()
    worker.ask(worker.throttle.hold(client(), credentials(secret=b"wrong-2")))
    second = worker.ask(worker.throttle.hold(client(), credentials(secret=b"wrong-3")))
    host.clock.advance(1)
    assert pending(second)
    assert not worker.log.named("shared")


def test_a_home_that_answers_in_time_leaves_no_timer_behind(host):
    worker = host.workers[0]
    finished(worker.ask(worker.admit()))
    host.clock.advance(PATIENCE)
    assert not host.clock.getDelayedCalls()


def test_what_is_known_to_be_refused_for_a_while_is_not_asked_again():
    host = Host(1, connections_per_minute=1)
    (worker,) = host.workers
    finished(worker.ask(worker.admit()))
    refusal(worker.ask(worker.admit()))
    host.clock.advance(59)
    assert refusal(started(worker.admit())).reason == "limit: connections_per_minute"
    assert not worker.up
    finished(worker.ask(worker.admit(THERE)))
    host.clock.advance(1)
    finished(worker.ask(worker.admit()))


def test_a_user_whose_name_reads_like_a_refused_address_is_none():
    host = Host(1, connections_per_minute=1)
    (worker,) = host.workers
    for _ in range(2):
        asked = worker.ask(worker.admit("97.98.99.0"))  # the octets of "abc", and a zero
    refusal(asked)
    finished(worker.ask(worker.limits.admit(client(), Account("abc", "abc", ""))))


def test_what_is_known_to_be_refused_takes_bounded_room():
    host = Host(1, connections_per_minute=1)
    (worker,) = host.workers
    for number in range(REFUSALS + 2):
        for _ in range(2):
            worker.ask(worker.admit(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")).addErrback(lambda _: None)
    assert len(worker.desk._refusals) == 2


def test_what_is_not_from_the_home_is_left_to_others(host):
    worker = host.workers[0]
    assert not worker.desk.received(Kind.PING, b"")
    assert not worker.guest.received(Kind.PONG, b"")
