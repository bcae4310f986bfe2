"""What users submit, counted over their sessions in all workers."""

import pytest

from mmp.shared.desk import PATIENCE
from mmp.shared.guest import METERED_AGAIN
from tests.shared.desks import Host

LIMIT = "messages_per_hour"


def metered(workers=2, most=2, **rules):
    return Host(workers, messages_per_hour=most, **rules)


def asked(host, worker, user="alice", times=1):
    meter, answers = worker.meter(user)
    for _ in range(times):
        answers.ask()
        host.turn()
    return meter, answers


def test_what_a_user_submits_is_counted_over_two_workers():
    host = metered()
    one, other = host.workers
    _, first = asked(host, one)
    _, second = asked(host, other, times=2)
    _, third = asked(host, other, "bob")
    assert (first, second, third) == ([True], [True, False], [True])
    told = [(each["result"], each["reason"], each["user"]) for each in other.log.named("metered")]
    assert told == [("refused", f"limit: {LIMIT}", "alice")]


def test_part_of_an_hour_makes_room_for_one_more():
    host = metered()
    assert asked(host, host.workers[0], times=3)[1] == [True, True, False]
    host.clock.advance(1800)
    assert asked(host, host.workers[0], times=2)[1] == [True, False]


def test_what_the_relay_does_not_accept_does_not_count():
    host = metered()
    meter, _ = asked(host, host.workers[0], times=2)
    meter.settle(accepted=False)
    meter.settle(accepted=True)
    host.turn()
    meter.close()
    host.turn()
    assert asked(host, host.workers[1], times=2)[1] == [True, False]


@pytest.mark.parametrize("lost", [False, True])
def test_what_the_relay_has_not_answered_when_the_session_ends_counts_since_it_may_yet_accept_it(lost):
    host = metered()
    meter, _ = asked(host, host.workers[0], times=2)
    meter.settle(accepted=False)
    host.turn()
    if lost:
        host.workers[0].guest.leave()
    else:
        meter.close()
        host.turn()
    assert asked(host, host.workers[1], times=2)[1] == [True, False]


def test_what_its_relay_has_refused_makes_room_also_where_more_was_refused_just_before():
    host = metered()
    meter, answers = asked(host, host.workers[0], times=3)
    assert answers == [True, True, False]
    meter.settle(accepted=False)
    meter.settle(accepted=False)
    host.clock.advance(METERED_AGAIN)
    answers.ask()
    host.turn()
    assert answers[3:] == [True]


def test_a_session_that_ends_while_it_asks_takes_nothing():
    host = metered()
    meter, answers = host.workers[0].meter()
    answers.ask()
    meter.close()
    host.turn()
    assert (answers, answers.late) == ([], 0)
    assert asked(host, host.workers[1], times=3)[1] == [True, True, False]


def test_a_late_answer_has_the_session_go_on_and_one_at_once_does_not():
    host = metered(most=1)
    _, answers = host.workers[0].meter()
    answers.ask()
    assert (answers, answers.late) == ([], 0)
    host.turn()
    assert (answers, answers.late) == ([True], 1)
    answers.ask()
    host.turn()
    answers.ask()  # known to be refused
    assert (answers, answers.late) == ([True, False, False], 2)


def test_a_limit_that_is_only_observed_refuses_nothing_and_is_told_loudly_once():
    host = metered(1, most=1, observed=(LIMIT,))
    assert asked(host, host.workers[0], times=4)[1] == [True] * 4
    told = host.workers[0].log.named("metered")
    assert [each["result"] for each in told] == ["observed"] * 3


def test_what_a_limit_that_is_only_observed_did_not_count_is_not_taken_off_it():
    host = metered(1, most=1, observed=(LIMIT,))
    asked(host, host.workers[0])
    for _ in range(2):
        meter, _ = asked(host, host.workers[0])
        meter.settle(accepted=False)
        host.turn()
    asked(host, host.workers[0])
    told = host.workers[0].log.named("metered")
    assert [each["result"] for each in told] == ["observed"] * 3


def test_while_the_home_is_silent_the_worker_counts_alone():
    host = metered()
    _, answers = host.workers[0].meter()
    answers.ask()
    host.clock.advance(PATIENCE)
    answers.ask(2)
    assert answers == [True, True, False]


def test_a_user_of_whom_nothing_is_left_takes_no_room():
    host = metered(1)
    meter, _ = asked(host, host.workers[0])
    meter.settle(accepted=True)
    host.turn()
    assert not host.workers[0].guest._metered
