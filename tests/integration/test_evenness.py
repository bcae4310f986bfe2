"""Workers share sessions evenly, whether they come in a rush or one by one, and make up for what one has too few."""

import os
import signal

import pytest

from tests.integration import processes
from tests.integration.crowd import crowd
from tests.integration.ordinary import PLAIN, login_of
from tests.integration.people import ALICE, FIRST
from tests.integration.rapid import rapid_store
from tests.integration.waiting import until

LOG_IN = login_of(ALICE) + b"\r\n"
MOST = 1.3
"""Times the mean."""


@pytest.fixture
def proxy(run_proxy, ports):
    """A proxy with two workers, and what tells their sessions."""
    port = ports.free()
    settings = {"workers": 2, "login": PLAIN, "backend": {"imap": {"port": port, "max_connecting": 4096}}}
    with rapid_store(FIRST, port), run_proxy(port, **settings) as proxy:
        proxy.logged(" serving ", "workers=2")
        yield proxy


def busier(proxy, empty):
    """Return the sessions of the worker that has more, as a multiple of the mean, by their descriptors."""
    open_now = [processes.descriptor_count(pid) - empty for pid in proxy.workers()]
    return max(open_now) * len(open_now) / sum(open_now)


def empty_of(proxy):
    """Return how many descriptors a worker has that serves nobody."""
    return max(map(processes.descriptor_count, proxy.workers()))


def test_a_rush_is_shared(proxy):
    empty = empty_of(proxy)
    for count in (300, 600):
        with crowd(proxy.port("starttls")) as clients:
            clients.come_at_once(count, LOG_IN)
            clients.hear(b"a OK")
            assert busier(proxy, empty) < MOST
        until(lambda: all(processes.descriptor_count(pid) <= empty for pid in proxy.workers()), "all are gone")


def test_those_who_come_one_by_one_are_shared(proxy):
    empty = empty_of(proxy)
    with crowd(proxy.port("starttls")) as clients:
        for _ in range(300):
            clients.come(1, LOG_IN)
            clients.hear(b"a OK", clients.clients[-1:])
        assert busier(proxy, empty) < MOST


def test_a_worker_that_is_new_takes_what_it_has_too_few(proxy):
    empty = empty_of(proxy)
    with crowd(proxy.port("starttls")) as lasting, crowd(proxy.port("starttls")) as later:
        lasting.come_at_once(200, LOG_IN)
        lasting.hear(b"a OK")
        victim, other = proxy.workers()
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(proxy.workers()) == 2 and victim not in proxy.workers(), "another one runs")
        proxy.logged("worker", f"pid={victim}", "killed by SIGKILL")
        for _ in range(200):
            later.come(1, LOG_IN)
            later.hear(b"a OK", later.clients[-1:])
        assert busier(proxy, empty) < MOST
