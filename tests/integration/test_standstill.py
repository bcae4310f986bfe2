"""Peers that take nothing in or are stopped: what is behind them stands still, memory is flat, others do not notice."""

import os
import signal
import ssl
from contextlib import suppress

import pytest

from tests.integration import processes
from tests.integration.client import connected
from tests.integration.crowd import crowd
from tests.integration.ordinary import PLAIN, login_of, logs_in, the_worker
from tests.integration.people import ALICE, BOB, FIRST, SECOND
from tests.integration.rapid import rapid_store
from tests.integration.scripted import log_in, scripted
from tests.integration.waiting import until

LOG_IN = login_of(ALICE)
GIGABYTE = 1_000_000_000
"""What there is to send; about 10 MB of it fill all buffers on the way, and then nothing flows any more."""
SOCKETS = 60_000_000
"""What the buffers on the way may take; Linux lets each grow to some MB."""
FLAT = 4_000_000
"""Growth of the worker: a read each way, what OpenSSL keeps of a record, and what a login happens to need."""


class Flow:
    """How many octets a peer got rid of, or took, before the other stopped."""

    def __init__(self):
        self.octets = 0

    def send(self, connection, octets, seconds=1.0):
        """Send until the other has taken nothing for so long, or all is sent."""
        connection.settimeout(seconds)
        chunk = bytes(65536)
        with suppress(TimeoutError, ssl.SSLError):
            while self.octets < octets:
                connection.sendall(chunk)
                self.octets += len(chunk)


@pytest.mark.parametrize("tls", ["starttls", "implicit"], ids=["clear", "TLS"])
def test_a_client_that_never_reads_stops_its_store_which_has_a_gigabyte_to_send(run_proxy, ports, certificates, tls):
    flow = Flow()

    def flooding(client):
        log_in(client)
        client.line()
        flow.send(client.connection, GIGABYTE)

    port = ports.free()
    with (
        scripted(FIRST, port, flooding),
        run_proxy(port, login=PLAIN) as proxy,
        connected("127.0.0.1", proxy.port(tls), certificates.ca if tls == "implicit" else None) as client,
    ):
        assert client.command(LOG_IN)[-1].startswith(b"a OK")
        before = processes.resident(the_worker(proxy))
        client.send(b"b FETCH 1:* BODY[]\r\n")
        assert stands_still(flow) < SOCKETS
        assert processes.resident(the_worker(proxy)) - before < FLAT
        with connected("127.0.0.1", proxy.port(tls), certificates.ca if tls == "implicit" else None) as other:
            assert other.command(LOG_IN)[-1].startswith(b"a OK")


@pytest.mark.parametrize("tls", ["starttls", "implicit"], ids=["clear", "TLS"])
def test_a_store_that_never_reads_stops_its_client_which_has_a_gigabyte_to_send(run_proxy, ports, certificates, tls):
    def deaf(client):
        log_in(client)
        assert client.line() == b"b APPEND INBOX {1000000000+}"
        until(lambda: not listening, "the test is over")

    listening, flow, port = [True], Flow(), ports.free()
    with (
        scripted(FIRST, port, deaf),
        run_proxy(port, login=PLAIN) as proxy,
        connected("127.0.0.1", proxy.port(tls), certificates.ca if tls == "implicit" else None) as client,
    ):
        assert client.command(LOG_IN)[-1].startswith(b"a OK")
        before = processes.resident(the_worker(proxy))
        client.send(b"b APPEND INBOX {1000000000+}\r\n")
        flow.send(client.connection, GIGABYTE)
        assert flow.octets < SOCKETS
        assert processes.resident(the_worker(proxy)) - before < FLAT
        with connected("127.0.0.1", proxy.port(tls), certificates.ca if tls == "implicit" else None) as other:
            assert other.command(LOG_IN)[-1].startswith(b"a OK")
        listening.clear()


def stands_still(flow):
    """Return how many octets have flown once no more do."""
    seen = []

    def still():
        seen.append(flow.octets)
        return len(seen) > 20 and seen[-20] == seen[-1] > 0

    until(still, "the flow stands still")
    return seen[-1]


def test_a_store_that_is_stopped_costs_only_its_own_users_their_logins(run_proxy, ports):
    port, count = ports.free(), 30
    reaching = {"port": port, "connect_timeout": "1s", "max_connecting": 4096}
    with (
        rapid_store(FIRST, port) as first,
        rapid_store(SECOND, port),
        run_proxy(port, login=PLAIN, backend={"retry_after": "1s", "imap": reaching}) as proxy,
        connected("127.0.0.1", proxy.port("starttls")) as lasting,
    ):
        logs_in(proxy)
        logs_in(proxy, BOB)
        assert lasting.command(LOG_IN)[-1].startswith(b"a OK")
        worker = the_worker(proxy)
        until(lambda: proxy.log().count(" closed ") >= 2, "those who have left are gone")
        descriptors = processes.descriptor_count(worker)
        os.kill(first.pid, signal.SIGSTOP)
        try:
            lasting.send(b"b NOOP\r\n")
            with crowd(proxy.port("starttls")) as hers, crowd(proxy.port("starttls")) as his:
                hers.come_at_once(count, LOG_IN + b"\r\n")
                for _ in range(count):
                    his.come(1, login_of(BOB) + b"\r\n")
                    his.hear(b"a OK", his.clients[-1:])
                hers.hear(b"a NO [UNAVAILABLE]")
                for client in hers.clients:
                    client.sendall(b"c NOOP\r\n")
                hers.hear(b"c OK")
                his.come(1, login_of(BOB) + b"\r\n")
                his.hear(b"a OK", his.clients[-1:])
        finally:
            os.kill(first.pid, signal.SIGCONT)
        assert lasting.answer(b"b")[-1].startswith(b"b OK")
        logs_in(proxy)
        until(lambda: processes.descriptor_count(worker) <= descriptors, "no descriptor is left behind")
        assert proxy.log().count("result=backend-unavailable") == count
