"""Too many clients: memory stays small, they are turned out, and others are served as ever."""

import os
import resource
import signal
import ssl
from contextlib import suppress

import pytest
from attrs import frozen

from tests.integration import processes
from tests.integration.client import connected
from tests.integration.crowd import crowd, most_descriptors
from tests.integration.ordinary import PLAIN, login_of, logs_in, the_worker
from tests.integration.people import ALICE, FIRST
from tests.integration.scripted import orderly, scripted
from tests.integration.waiting import until

LOG_IN = login_of(ALICE)


@pytest.fixture
def store_port(ports):
    """A store that lets everybody in."""
    port = ports.free()
    with scripted(FIRST, port, orderly):
        yield port


def client_hello():
    """Return the first flight of a handshake."""
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


@frozen
class Silent:
    """Clients that say this and no more: so many, to the port with this TLS, at no more than so many octets each."""

    tls: str
    words: bytes
    most: int
    each: int


@pytest.mark.parametrize(
    "silent",
    [Silent("starttls", b"", 10_000, 16_000), Silent("implicit", client_hello(), 2_000, 100_000)],
    ids=["say nothing", "stop in the middle of a handshake"],
)
def test_thousands_that_only_sit_there_cost_little_memory_and_hinder_nobody(run_proxy, store_port, silent):
    count = min(silent.most, most_descriptors() // 2 - 200)  # as many sessions as a worker has room for
    with run_proxy(store_port, login=PLAIN | {"deadline": "10m"}, log={"level": "info"}) as proxy:
        logs_in(proxy)
        proxy.logged(" closed ")  # it has given its descriptors back
        worker = the_worker(proxy)
        before, descriptors = processes.resident(worker), processes.descriptor_count(worker)
        with crowd(proxy.port(silent.tls)) as clients:
            clients.come(count, silent.words)
            until(lambda: processes.descriptor_count(worker) >= descriptors + count, "all are there")
            logs_in(proxy)
            assert (processes.resident(worker) - before) / count < silent.each
        until(lambda: processes.descriptor_count(worker) <= descriptors, "all are gone")


@pytest.mark.parametrize(("tls", "words"), [("starttls", b""), ("implicit", client_hello())])
def test_thousands_are_turned_out_at_the_deadline(run_proxy, store_port, tls, words):
    with run_proxy(store_port, login=PLAIN | {"deadline": "1s"}, log={"level": "info"}) as proxy:
        worker = the_worker(proxy)
        descriptors = processes.descriptor_count(worker)
        with crowd(proxy.port(tls)) as silent:
            silent.come(1000, words)
            silent.await_ends()
            until(lambda: proxy.log().count("login deadline") == 1000, "the log says so of each")
            until(lambda: processes.descriptor_count(worker) <= descriptors, "nothing is left of them")
        logs_in(proxy)


def test_thousands_that_wait_to_be_accepted_at_once_are_all_greeted(run_proxy, store_port):
    with (
        run_proxy(store_port, login=PLAIN, log={"level": "info"}) as proxy,
        connected("127.0.0.1", proxy.port("starttls")) as session,
        crowd(proxy.port("starttls")) as waiting,
    ):
        worker = the_worker(proxy)
        assert session.command(LOG_IN)[-1].startswith(b"a OK")
        most_descriptors()
        os.kill(worker, signal.SIGSTOP)
        try:
            waiting.come_at_once(3000)
        finally:
            os.kill(worker, signal.SIGCONT)
        assert session.command(b"b NOOP")[-1].startswith(b"b OK")
        waiting.hear(b"* OK ")


def test_when_descriptors_run_out_sessions_live_on_and_accepting_resumes_by_itself(run_proxy, store_port):
    with (
        run_proxy(store_port, login=PLAIN) as proxy,
        connected("127.0.0.1", proxy.port("starttls")) as session,
        crowd(proxy.port("starttls")) as crowded,
    ):
        assert session.command(LOG_IN)[-1].startswith(b"a OK")
        worker = the_worker(proxy)
        _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        highest = max(int(name) for name in os.listdir(f"/proc/{worker}/fd"))  # noqa: PTH208 - a number is wanted
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (highest + 20, hard))
        crowded.come_at_once(100)
        proxy.logged("accept", "result=paused", "Too many open files")
        until(lambda: processes.descriptor_count(worker) >= highest, "there is no descriptor left")
        greeted = crowded.clients[:1]
        crowded.hear(b"* OK ", greeted)
        greeted[0].sendall(LOG_IN + b"\r\n")
        crowded.hear(b"a NO [UNAVAILABLE]", greeted)  # there is none to reach the store with
        for number in range(60):  # longer than a pause
            assert session.command(b"n%d NOOP" % number)[-1].startswith(b"n%d OK" % number)
            with suppress(TimeoutError):
                session.connection.settimeout(0.05)
                session.connection.recv(1)
            session.connection.settimeout(30)
        crowded.leave(50)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (hard, hard))
        crowded.hear(b"* OK ")
        crowded.clients[-1].sendall(LOG_IN + b"\r\n")
        crowded.hear(b"a OK", crowded.clients[-1:])
        assert proxy.log().count("result=paused") == 1
