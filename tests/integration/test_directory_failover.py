"""Two directory servers behind a proxy to which somebody logs in all the time: one goes, both go, both return."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration import domains
from tests.integration.client import connected
from tests.integration.people import FIRST
from tests.integration.processes import connected_to
from tests.integration.rapid import rapid_store
from tests.integration.slapd import BASE, slapd
from tests.integration.waiting import until

PACE = 0.01
"""Seconds from one login to the next."""
PEOPLE = 200
ENTRIES = domains.unit("u") + "".join(
    domains.person(f"user{number}", "u", host=f"mailHost: {FIRST}") for number in range(PEOPLE)
)


class Logins:
    """Logs in one after the other from several threads, a hundred in a second if the machine has the time for it."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.numbers = itertools.count()
        self.answers = []
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.wait(4 * PACE):
            number = next(self.numbers)
            self.answers.append(self.log_in(f"user{number % PEOPLE}"))

    def log_in(self, user):
        """Return the tagged answer."""
        with connected("127.0.0.1", self.proxy.port("starttls")) as client:
            return client.command(f'a LOGIN {user} "{domains.PASSWORD}"'.encode())[-1]

    def more(self, count):
        """Wait for so many more answers, and return them."""
        before = len(self.answers)
        until(lambda: len(self.answers) >= before + count, "logins go on")
        return self.answers[before:]


@pytest.fixture
def logins(request, run_proxy, ports):
    """Logins in full swing, and the two servers; each user's entry is asked for anew after a second."""
    store = ports.free()
    with slapd(ports, ENTRIES) as first, slapd(ports, ENTRIES) as second, rapid_store(FIRST, store):
        ldap = {"urls": [first.url, second.url], "base": BASE, "filter": "(uid=%U)", "timeout": "20s"}
        directory = {"kind": "ldap", "ldap": ldap, "cache_ttl": "1s"}
        verify, workers = request.param
        login = {"restrict_plain_passwords": False, "verify": verify}
        with (
            run_proxy(store, directory=directory, login=login, workers=workers) as proxy,
            ThreadPoolExecutor(4) as threads,
        ):
            made = Logins(proxy)
            running = [threads.submit(made.run) for _ in range(4)]
            try:
                yield made, first, second
            finally:
                made.stopped.set()
            for each in running:
                each.result()


def is_used(proxy, server):
    """Whether every worker is connected to a server, and has found it up again if it has found it down."""
    log = proxy.log()
    down, up = (log.count(f"directory result={result} url={server.url}") for result in ("down", "up"))
    return down == up and all(connected_to(worker, server.port) for worker in proxy.workers())


def all_let_in(answers):
    return all(answer.startswith(b"a OK") for answer in answers)


@pytest.mark.parametrize("logins", [("backend", 1), ("directory", 2)], indirect=True, ids=["one worker", "two workers"])
def test_nobody_is_told_of_a_wrong_password_whatever_happens_to_the_servers(logins):
    logins, first, second = logins
    one = len(logins.proxy.workers()) == 1  # which knows everybody, and leaves passwords to the store
    assert all_let_in(logins.more(PEOPLE + 50))
    first.kill()
    assert all_let_in(logins.more(200))  # by the second
    first.start()
    until(lambda: is_used(logins.proxy, first), "the preferred server is used again")
    second.kill()
    assert all_let_in(logins.more(100))  # by the first alone
    first.kill()
    away = logins.more(PEOPLE)
    assert all_let_in(away) or not one  # by what is remembered
    logins.proxy.logged(" directory ", "result=down", first.url)
    assert b"NO [UNAVAILABLE]" in logins.log_in("nobody")
    first.start()
    second.start()
    until(lambda: all_let_in(logins.more(50)), "all are let in again")
    told = {b" ".join(answer.split()[1:3]) for answer in logins.answers if not answer.startswith(b"a OK")}
    assert told <= {b"NO [UNAVAILABLE]"}
