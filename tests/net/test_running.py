"""Coroutines that run, wait, go on, and are given up."""

import gc
import weakref

import pytest
from twisted.internet.defer import CancelledError, Deferred

from mmp.net.running import Running, Wait


class Scene:
    """A coroutine that waits for what the test makes."""

    def __init__(self, awaited):
        self.outcome = []
        self.running = Running(self.work(awaited), self.outcome.append)
        self.running.go_on()

    async def work(self, awaited):
        return "got", await awaited


def test_it_goes_on_with_what_it_has_waited_for():
    wait = Wait()
    scene = Scene(wait)
    assert scene.outcome == []
    assert not scene.running.is_over
    wait.done(1)
    assert scene.outcome == [("got", 1)]
    assert scene.running.is_over


def test_what_is_done_already_is_not_waited_for():
    wait = Wait()
    wait.done(1)
    assert Scene(wait).outcome == [("got", 1)]


def test_it_goes_on_with_an_exception():
    wait = Wait()
    scene = Scene(wait)
    wait.fail(ConnectionError("gone"))
    assert isinstance(scene.outcome[0], ConnectionError)


@pytest.mark.parametrize("late", [True, False])
def test_it_waits_for_deferreds_too(late):
    deferred = Deferred()
    if not late:
        deferred.callback(1)
    scene = Scene(deferred)
    if late:
        deferred.callback(1)
    assert scene.outcome == [("got", 1)]


def test_the_failure_of_a_deferred_is_raised():
    deferred = Deferred()
    scene = Scene(deferred)
    deferred.errback(ConnectionError("gone"))
    assert isinstance(scene.outcome[0], ConnectionError)


def test_given_up_it_says_so_to_what_it_waits_for_and_ends():
    given_up = []
    scene = Scene(Wait(lambda: given_up.append(True)))
    scene.running.cancel()
    assert given_up == [True]
    assert isinstance(scene.outcome[0], CancelledError)
    scene.running.cancel()
    assert len(scene.outcome) == 1


def test_a_deferred_that_it_waits_for_is_cancelled():
    cancelled = []
    scene = Scene(Deferred(cancelled.append))
    scene.running.cancel()
    assert len(cancelled) == 1
    assert isinstance(scene.outcome[0], CancelledError)


def test_who_cannot_wait_for_it_is_told():
    failed = Deferred.fromCoroutine(Scene.work(None, Wait()))
    outcome = []
    failed.addErrback(lambda failure: outcome.append(failure.value))
    assert isinstance(outcome[0], RuntimeError)


def test_nothing_is_left_of_one_that_has_failed():
    class Secret:
        pass

    async def work():
        secret = Secret()
        left.append(weakref.ref(secret))
        await wait

    left, wait, outcome = [], Wait(), []
    gc.collect()
    gc.disable()
    try:
        Running(work(), outcome.append).go_on()
        wait.fail(ConnectionError("gone"))
        assert left[0]() is None
    finally:
        gc.enable()
