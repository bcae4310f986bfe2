"""Supervisor, zygote and workers: killed, drained, replaced, while people log in."""

import os
import re
import signal
import socket
import subprocess

import pytest

from tests.integration.client import connected
from tests.integration.people import FIRST
from tests.integration.scripted import orderly, scripted
from tests.integration.visitors import LOG_IN, Visitors
from tests.integration.waiting import until

TWO = {"workers": 2, "login": {"restrict_plain_passwords": False}}


@pytest.fixture
def store_port(ports):
    """A store that lets everybody in."""
    port = ports.free()
    with scripted(FIRST, port, orderly):
        yield port


def test_a_killed_worker_is_replaced_and_nobody_is_refused(run_proxy, store_port):
    with run_proxy(store_port, **TWO) as proxy:
        until(lambda: len(proxy.workers()) == 2, "both workers run")
        victim, other = proxy.workers()
        with Visitors(proxy.port("starttls")) as visitors:
            os.kill(victim, signal.SIGKILL)
            until(lambda: len(proxy.workers()) == 2 and victim not in proxy.workers(), "another one runs")
            visitors.more()
            assert visitors.refused == []
            assert len(visitors.cut) <= 16  # those whom the dead one was serving
        assert other in proxy.workers()
        proxy.logged("worker", f"pid={victim}", "killed by SIGKILL")


def test_a_killed_zygote_is_replaced_with_its_workers_and_nobody_notices(run_proxy, store_port):
    with run_proxy(store_port, **TWO) as proxy:
        until(lambda: len(proxy.workers()) == 2, "both workers run")
        zygote, workers = proxy.zygote(), proxy.workers()
        with (
            connected("127.0.0.1", proxy.port("starttls")) as lasting,
            Visitors(proxy.port("starttls")) as visitors,
        ):
            assert lasting.command(LOG_IN)[-1].startswith(b"a OK")
            os.kill(zygote, signal.SIGKILL)
            until(lambda: len(proxy.workers()) == 2 and not proxy.workers() & workers, "new workers run")
            proxy.logged("zygote", f"pid={zygote}", "killed by SIGKILL")
            visitors.more()
            assert visitors.refused == []
            assert visitors.cut == []
            assert lasting.command(b"b NOOP")[-1].startswith(b"b OK")  # the old worker lives as long as its session
        until(lambda: not proxy.pids() & workers, "the old workers end")


def test_workers_drain_and_end_when_the_supervisor_is_killed(run_proxy, store_port):
    with run_proxy(store_port, shutdown_grace="6s", **TWO) as proxy:
        with connected("127.0.0.1", proxy.port("starttls")) as client:
            assert client.command(LOG_IN)[-1].startswith(b"a OK")
            os.kill(proxy.process.pid, signal.SIGKILL)
            until(lambda: not proxy.listeners(), "nobody listens")
            assert client.command(b"b NOOP")[-1].startswith(b"b OK")
            assert client.rest() == b""
        proxy.wait_for_end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_lets_sessions_end_and_greets_nobody(run_proxy, store_port, number):
    with run_proxy(store_port, shutdown_grace="60s", **TWO) as proxy:
        port = proxy.port("starttls")
        with connected("127.0.0.1", port) as session, connected("127.0.0.1", port) as early:
            assert session.command(LOG_IN)[-1].startswith(b"a OK")
            os.killpg(proxy.process.pid, number)  # as Ctrl-C and systemd do
            assert early.rest().startswith(b"* BYE [UNAVAILABLE]")
            until(lambda: not proxy.listeners(), "nobody listens, in any process")
            assert session.command(b"b NOOP")[-1].startswith(b"b OK")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
            assert session.command(b"c LOGOUT")[-1].startswith(b"c OK")
            assert session.rest() == b""
        assert proxy.wait_for_end() == 0
        proxy.logged("drain", "result=done")


def test_sessions_are_closed_in_order_when_the_grace_is_over(run_proxy, store_port):
    with run_proxy(store_port, shutdown_grace="1s", **TWO) as proxy:
        with connected("127.0.0.1", proxy.port("starttls")) as session:
            assert session.command(LOG_IN)[-1].startswith(b"a OK")
            proxy.terminate()
            assert session.connection.recv(100) == b""
        assert proxy.wait_for_end() == 0
        proxy.logged("closed", "who=proxy", "shutting down")


def test_a_second_signal_ends_at_once(run_proxy, store_port):
    with (
        run_proxy(store_port, shutdown_grace="600s", **TWO) as proxy,
        connected("127.0.0.1", proxy.port("starttls")) as session,
    ):
        assert session.command(LOG_IN)[-1].startswith(b"a OK")
        proxy.terminate()
        until(lambda: not proxy.listeners(), "it drains")
        proxy.terminate()
        session.rest()
        proxy.wait_for_end()


def test_the_zygote_holds_no_listening_socket(run_proxy, store_port):
    with run_proxy(store_port, **TWO) as proxy:
        until(lambda: len(proxy.workers()) == 2, "both workers run")
        until(lambda: proxy.listeners() == {proxy.process.pid} | proxy.workers(), "supervisor and workers listen")
        assert proxy.zygote() not in proxy.listeners()


def test_a_worker_that_does_not_answer_is_killed_and_replaced(run_proxy, store_port):
    with run_proxy(store_port, **TWO) as proxy:
        proxy.logged(" serving ", "workers=2")  # one that is still starting has minutes to answer
        victim = next(iter(proxy.workers()))
        os.kill(victim, signal.SIGSTOP)
        until(lambda: victim not in proxy.workers() and len(proxy.workers()) == 2, "another one runs", patience=60)
        proxy.logged("worker", "result=killed", f"pid={victim}")


def test_a_reload_with_a_mistake_changes_nothing_and_one_without_brings_new_workers(run_proxy, store_port):
    with run_proxy(store_port, **TWO) as proxy:
        until(lambda: len(proxy.workers()) == 2, "both workers run")
        before = proxy.workers()
        good = proxy.configuration.read_text()
        proxy.configuration.write_text("workres = 3\n" + good)
        proxy.process.send_signal(signal.SIGHUP)
        proxy.logged("reload", "refused", "workres")
        assert proxy.workers() == before
        proxy.configuration.write_text(good.replace("proxy.example.com", "other.example.com"))
        with Visitors(proxy.port("starttls")) as visitors:
            proxy.process.send_signal(signal.SIGHUP)
            until(lambda: len(proxy.workers()) == 2 and not proxy.workers() & before, "new workers run")
            visitors.more()
            assert (visitors.refused, visitors.cut) == ([], [])
        with connected("127.0.0.1", proxy.port("starttls"), greeting=False) as client:
            assert b"other.example.com" in client.line()


def s_client(port, *arguments, words=b""):
    """Run openssl's client; return what it prints."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *arguments]
    return subprocess.run(command, input=words, capture_output=True, timeout=60, check=False).stdout.decode()


def test_tls_12_sessions_are_resumed_whichever_worker_is_met(run_proxy, store_port):
    with run_proxy(store_port, **TWO | {"workers": 3}) as proxy:
        until(lambda: len(proxy.workers()) == 3, "all workers run")
        for _ in range(8):
            said = s_client(proxy.port("implicit"), "-tls1_2", "-reconnect")
            assert len(re.findall("^New, TLSv1.2", said, re.MULTILINE)) == 1
            assert len(re.findall("^Reused, TLSv1.2", said, re.MULTILINE)) == 5
        met = {line.split("session=")[1][:8] for line in proxy.log().splitlines() if " connected " in line}
        assert len(met) > 1  # a session's id begins with its worker's word


def test_tls_13_sessions_are_resumed_whichever_worker_is_met(run_proxy, store_port, tmp_path):
    with run_proxy(store_port, **TWO | {"workers": 3}) as proxy:
        until(lambda: len(proxy.workers()) == 3, "all workers run")
        port, session = proxy.port("implicit"), str(tmp_path / "session")
        with subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-quiet", "-sess_out", session],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as first:
            assert first.stdout.readline().startswith(b"* OK")  # the tickets have come by then
            first.stdin.write(b"a LOGOUT\r\n")
            first.stdin.close()
            first.stdout.read()
        for _ in range(12):
            assert "Reused, TLSv1.3" in s_client(port, "-tls1_3", "-sess_in", session)
        met = {line.split("session=")[1][:8] for line in proxy.log().splitlines() if " connected " in line}
        assert len(met) > 1


def test_the_work_is_shared(run_proxy, store_port):
    with run_proxy(store_port, **TWO) as proxy:
        until(lambda: len(proxy.workers()) == 2, "both workers run")
        with Visitors(proxy.port("starttls")) as visitors:
            visitors.more(300)
        met = [line.split("session=")[1][:8] for line in proxy.log().splitlines() if " connected " in line]
        assert len(set(met)) == 2
