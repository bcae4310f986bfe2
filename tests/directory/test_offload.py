"""Work in threads, and its bound."""

import threading

import pytest

from mmp.directory import offload
from mmp.directory.offload import Offload
from mmp.errors import Refused
from mmp.model import Refusal
from tests.net.turning import Turning


@pytest.fixture
def turning():
    loop = Turning()
    yield loop
    loop.reactor.fireSystemEvent("shutdown")
    loop.close()


def test_what_work_returns_or_raises_comes_back(turning):
    offloaded = Offload(turning.reactor)
    assert turning.outcome(offloaded(threading.get_ident)) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        turning.outcome(offloaded(lambda: 1 / 0))


def test_beyond_its_bound_work_is_refused_and_later_taken_again(turning):
    offloaded, gate = Offload(turning.reactor), threading.Event()
    waiting = [offloaded(gate.wait) for _ in range(offload.MOST_WAITING)]
    with pytest.raises(Refused) as refused:
        offloaded(gate.wait)
    assert refused.value.refusal is Refusal.DIRECTORY_UNAVAILABLE
    gate.set()
    assert all(turning.outcome(each) for each in waiting)
    assert turning.outcome(offloaded(gate.wait))


def test_work_that_nobody_waits_for_any_more_still_counts_until_it_is_done(turning):
    offloaded, gate = Offload(turning.reactor), threading.Event()
    given_up = offloaded(gate.wait)
    given_up.addErrback(lambda _: None)
    given_up.cancel()
    assert offloaded._under_way == 1
    gate.set()
    turning.until(lambda: offloaded._under_way == 0)


def test_work_that_was_given_up_before_its_turn_is_not_done(turning):
    offloaded, gate, did = Offload(turning.reactor), threading.Event(), []
    busy = [offloaded(gate.wait) for _ in range(offload.THREADS)]
    given_up = offloaded(lambda: did.append("given up"))
    given_up.addErrback(lambda _: None)
    last = offloaded(lambda: did.append("last"))
    given_up.cancel()
    gate.set()
    for each in (*busy, last):
        turning.outcome(each)
    turning.until(lambda: offloaded._under_way == 0)
    assert did == ["last"]
