"""Waiting, but not for ever."""

import gc

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from mmp.net.deadline import within
from mmp.net.wheel import RESOLUTION, Wheel


class Scene:
    def __init__(self):
        self.clock = Clock()
        self.wheel = Wheel(self.clock)
        self.waiting = Deferred()
        self.outcome = []

    def start(self, work=None):
        running = Deferred.fromCoroutine(self.bounded(work or self.work()))
        running.addBoth(self.outcome.append)
        return running

    async def bounded(self, work):
        return await within(self.wheel, 5.0, work)

    async def work(self):
        return await self.waiting

    def pass_time(self, seconds):
        for _ in range(round(seconds / RESOLUTION)):
            self.clock.advance(RESOLUTION)

    def nothing_is_left(self):
        return self.wheel._buckets == {}


@pytest.fixture
def scene():
    return Scene()


def test_a_result_in_time_is_the_result(scene):
    scene.start()
    scene.pass_time(4)
    scene.waiting.callback("done")
    assert scene.outcome == ["done"]
    assert scene.nothing_is_left()


def test_work_that_does_not_wait_is_done_at_once(scene):
    scene.waiting.callback("done")
    scene.start()
    assert scene.outcome == ["done"]
    assert scene.nothing_is_left()


def test_a_failure_in_time_is_the_failure(scene):
    scene.start()
    scene.waiting.errback(ConnectionError("closed"))
    assert scene.outcome[0].check(ConnectionError)
    assert scene.nothing_is_left()


def test_work_that_takes_too_long_is_cancelled_and_fails_with_a_timeout(scene):
    scene.start()
    scene.pass_time(6)
    assert scene.outcome[0].check(TimeoutError)
    assert scene.outcome[0].getErrorMessage() == "nothing within 5 s"
    assert scene.waiting.called
    assert scene.nothing_is_left()


def test_being_cancelled_from_outside_is_no_timeout(scene):
    scene.start().cancel()
    assert scene.outcome[0].check(CancelledError)
    assert scene.nothing_is_left()
    scene.pass_time(6)
    assert len(scene.outcome) == 1


def test_what_goes_wrong_while_it_gives_up_is_told_and_not_hidden_as_a_timeout(scene):
    async def work():
        try:
            await scene.waiting
        finally:
            raise ZeroDivisionError

    scene.start(work())
    scene.pass_time(6)
    assert scene.outcome[0].check(ZeroDivisionError)


def test_a_deadline_within_another_ends_first_and_ends_only_its_own_work(scene):
    async def outer():
        try:
            await within(scene.wheel, 1.0, scene.work())
        except TimeoutError:
            return "went on"

    scene.start(outer())
    scene.pass_time(2)
    assert scene.outcome == ["went on"]
    assert scene.nothing_is_left()


def test_nothing_is_left_to_the_garbage_collector(scene):
    class Held:
        pass

    async def work(held):
        await scene.waiting

    gc.collect()
    gc.disable()
    try:
        scene.start(work(Held()))
        scene.waiting.callback(None)
        assert not [each for each in gc.get_objects() if isinstance(each, Held)]
    finally:
        gc.enable()


def test_work_that_is_dropped_is_closed(scene):
    closed = []

    async def work():
        try:
            await scene.waiting
        finally:
            closed.append(True)

    bounded = scene.bounded(work())
    assert bounded.send(None) is scene.waiting
    bounded.close()
    assert closed == [True]
    assert scene.nothing_is_left()
