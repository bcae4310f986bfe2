"""Deadlines."""

import time

from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from mmp.net.reactor import LeanReactor
from mmp.net.wheel import RESOLUTION, Deadline, Wheel


def passing(clock, seconds):
    for _ in range(round(seconds / RESOLUTION)):
        clock.advance(RESOLUTION)


def test_a_deadline_passes_not_before_its_time_and_at_most_two_ticks_after():
    clock = Clock()
    wheel = Wheel(clock)
    called = []
    Deadline(wheel, 3.0, lambda: called.append(clock.seconds()))
    passing(clock, 10)
    assert len(called) == 1
    assert 3.0 <= called[0] <= 3.0 + 2 * RESOLUTION


def test_a_cancelled_deadline_does_not_pass_and_leaves_nothing_behind():
    clock = Clock()
    wheel = Wheel(clock)
    called = []
    deadline = Deadline(wheel, 1.0, lambda: called.append(1))
    deadline.cancel()
    deadline.cancel()
    passing(clock, 3)
    assert called == []
    assert wheel._buckets == {}


def test_moving_due_on_puts_the_deadline_off_without_telling_the_wheel():
    clock = Clock()
    wheel = Wheel(clock)
    called = []
    deadline = Deadline(wheel, 1.0, lambda: called.append(clock.seconds()))
    passing(clock, 0.5)
    deadline.due = wheel.now + wheel.ticks(2.0)
    passing(clock, 1.5)
    assert called == []
    passing(clock, 1.5)
    assert len(called) == 1


def test_a_clock_that_jumps_misses_no_deadline():
    clock = Clock()
    wheel = Wheel(clock)
    called = []
    for seconds in (1.0, 2.0, 50.0):
        Deadline(wheel, seconds, lambda seconds=seconds: called.append(seconds))
    clock.advance(40)
    assert called == [1.0, 2.0]
    clock.advance(40)
    assert called == [1.0, 2.0, 50.0]


def test_a_deadline_may_set_another_one():
    clock = Clock()
    wheel = Wheel(clock)
    called = []
    Deadline(wheel, 1.0, lambda: Deadline(wheel, 1.0, lambda: called.append(clock.seconds())))
    passing(clock, 5)
    assert len(called) == 1


def test_a_stopped_wheel_turns_no_more():
    clock = Clock()
    wheel = Wheel(clock)
    wheel.stop()
    assert clock.getDelayedCalls() == []


def test_a_deadline_cancelled_by_another_of_the_same_tick_does_not_pass():
    clock = Clock()
    wheel = Wheel(clock)
    called = []
    Deadline(wheel, 1.0, lambda: (called.append("first"), second.cancel(), third.cancel()))
    second = Deadline(wheel, 1.0, lambda: called.append("second"))
    third = Deadline(wheel, 1.0, lambda: called.append("third"))
    passing(clock, 3)
    assert called == ["first"]


def test_a_deadline_set_anew_by_another_of_the_same_tick_passes_once_at_its_new_time():
    clock = Clock()
    wheel = Wheel(clock)
    called = []

    def postpone():
        wheel.discard(second)
        wheel.add(second, 2.0)

    Deadline(wheel, 1.0, postpone)
    second = Deadline(wheel, 1.0, lambda: called.append(clock.seconds()))
    passing(clock, 10)
    assert len(called) == 1
    assert called[0] >= 3.0
    assert wheel._buckets == {}


def test_a_fault_of_one_owner_costs_the_others_nothing():
    clock = Clock()
    wheel = Wheel(clock)
    called = []
    with capturedLogs() as logged:
        for seconds in (1.0, 1.0, 1.25):
            Deadline(wheel, seconds, lambda: called.append(1) or 1 / 0)
        clock.advance(5)
    assert called == [1, 1, 1]
    assert len(logged) == 3


def test_the_clock_of_the_loop_is_the_one_that_nobody_sets():
    assert LeanReactor.seconds is time.monotonic
