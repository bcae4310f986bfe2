"""The program is replaced by other code while it runs: the same process id, the same sockets, the same sessions."""

import os
import shutil
import signal
import socket
import subprocess

import pytest

from tests.integration.client import connected
from tests.integration.commands import mmp, mmp_json
from tests.integration.people import FIRST, MAIL_HOSTS
from tests.integration.proxy import CHECKOUT, TWISTD, Proxy, environment
from tests.integration.rapid import rapid_store
from tests.integration.settings import settings, write_users
from tests.integration.toml import document
from tests.integration.visitors import LOG_IN, Visitors
from tests.integration.waiting import until

LONG = 120
"""Seconds for a program to start twice, on a machine that has much else to do."""
NO_PYTHON = "this is no Python\n"
TWO = {"workers": 2, "login": {"restrict_plain_passwords": False}}


@pytest.fixture
def store_port(ports):
    """A store that lets everybody in."""
    port = ports.free()
    with rapid_store(FIRST, port):
        yield port


class Code:
    """A copy of the program that a test changes."""

    def __init__(self, path):
        self.path = path
        for package in ("mmp", "plugins"):
            shutil.copytree(CHECKOUT / package, path / package, ignore=shutil.ignore_patterns("__pycache__", "*.cache"))

    def publish(self, version):
        """Have it call itself so."""
        (self.path / "mmp" / "__init__.py").write_text(f'"""A version of a test."""\n\n__version__ = "{version}"\n')

    def spoil(self, module, words):
        """Put words behind a module's, and return what takes them away."""
        file = self.path / "mmp" / module
        whole = file.read_text()
        file.write_text(whole + words)
        return lambda: file.write_text(whole)


@pytest.fixture
def code(tmp_path):
    return Code(tmp_path / "code")


@pytest.fixture
def run_code(run_proxy, store_port, code):
    """Runs a proxy of two workers that serve, with code that the test may change."""
    return lambda **changes: run_proxy(store_port, code=code.path, **TWO | changes)


def replace(proxy):
    """Replace the program, and wait until new workers serve."""
    before = len(proxy.log())
    proxy.process.send_signal(signal.SIGUSR2)
    proxy.logged("program result=replaced", after=before, patience=LONG)
    proxy.logged(" serving ", after=before, patience=LONG)


def is_kept(proxy, *words):
    """Try to replace the program, and wait until the log says that it is kept, in these words among others."""
    before, pids = len(proxy.log()), proxy.pids()
    proxy.process.send_signal(signal.SIGUSR2)
    proxy.logged("program result=kept", *words, after=before, patience=LONG)
    assert proxy.pids() == pids


def log_in_at_last(proxy):
    """Log in, as soon as there is room."""

    def is_let_in():
        with connected("127.0.0.1", proxy.port("starttls")) as client:
            return client.command(LOG_IN)[-1].startswith(b"a OK")

    until(is_let_in, "there is room")


def states(proxy):
    """Return the state of each worker by its pid."""
    return {worker["pid"]: worker["state"] for worker in mmp_json(proxy, "status")["workers"]}


def sessions(proxy):
    """Return which worker each session is at."""
    return {session["session"]: session["worker"] for session in mmp_json(proxy, "who", "--phase", "relay")}


def test_other_code_takes_over_under_load_and_nobody_is_refused(run_code, code):
    code.publish("9.1")
    with run_code() as proxy:
        proxy.logged(" serving ", "workers=2")
        before = mmp_json(proxy, "status")
        assert before["version"] == "9.1"
        with (
            connected("127.0.0.1", proxy.port("starttls")) as idle,
            Visitors(proxy.port("starttls"), threads=8) as visitors,
        ):
            assert idle.command(LOG_IN)[-1].startswith(b"a OK")
            for version in ("9.22", "9.333"):
                old = {pid for pid, state in states(proxy).items() if state == "serving"}
                code.publish(version)
                replace(proxy)
                visitors.more(100)
                after = mmp_json(proxy, "status")
                assert (after["version"], after["pid"]) == (version, proxy.process.pid)
                assert old.isdisjoint(pid for pid, state in states(proxy).items() if state == "serving")
            assert idle.command(b"b NOOP")[-1].startswith(b"b OK")
            assert (visitors.refused, visitors.cut) == ([], [])
        until(lambda: "draining" not in states(proxy).values(), "old workers end with their last session")
        assert len(proxy.workers()) == 2


def test_an_idle_session_stays_and_is_seen_at_a_worker_that_drains(run_code):
    with run_code(limits={"per_user": 1}) as proxy, connected("127.0.0.1", proxy.port("starttls")) as idle:
        assert idle.command(LOG_IN)[-1].startswith(b"a OK")
        before = until(lambda: sessions(proxy), "it is seen")
        mmp(proxy, "ban", "192.0.2.0/24")
        mmp(proxy, "disable", "store9.example.com")
        replace(proxy)
        assert sessions(proxy) == before
        (worker,) = before.values()
        assert states(proxy)[worker] == "draining"
        assert [row["network"] for row in mmp_json(proxy, "badguys")] == ["192.0.2.0/24"]
        assert "store9.example.com" in mmp(proxy, "backends")
        with connected("127.0.0.1", proxy.port("starttls")) as second:
            assert second.command(LOG_IN)[-1].startswith(b"a NO [LIMIT]")
        assert idle.command(b"b LOGOUT")[-1].startswith(b"b OK")
        idle.connection.close()
        log_in_at_last(proxy)
        until(lambda: worker not in states(proxy), "it has ended")
        proxy.logged("worker", "result=ended", f"pid={worker}", "exit code 0")


def test_an_old_worker_that_is_killed_is_noticed_and_holds_nothing_any_more(run_code):
    with run_code(limits={"per_user": 1}) as proxy, connected("127.0.0.1", proxy.port("starttls")) as idle:
        assert idle.command(LOG_IN)[-1].startswith(b"a OK")
        (worker,) = until(lambda: sessions(proxy), "it is seen").values()
        replace(proxy)
        os.kill(worker, signal.SIGKILL)
        proxy.logged("worker", "result=ended", f"pid={worker}", "killed by SIGKILL")
        assert idle.rest() == b""
        log_in_at_last(proxy)
        until(lambda: len(proxy.pids()) == 4, "the old zygote has ended with its last worker")


def test_code_that_does_not_come_up_leaves_the_old_serving_and_the_log_says_why(run_code, code):
    with run_code() as proxy:
        proxy.logged(" serving ", "workers=2")
        for module, words, why in (
            ("tap.py", NO_PYTHON, "SyntaxError"),
            ("zygote.py", NO_PYTHON, "SyntaxError"),
            (
                "worker.py",
                "\ndef run(inheritance, link):\n    raise RuntimeError('of this test')\n",
                "RuntimeError: of this",
            ),
        ):
            mend = code.spoil(module, words)
            is_kept(proxy, module, why)
            mend()
        replace(proxy)


def test_a_configuration_with_a_mistake_leaves_the_old_serving(run_code, ports):
    with run_code() as proxy, socket.create_server(("127.0.0.1", ports.free())) as taken:
        proxy.logged(" serving ", "workers=2")
        good = proxy.configuration.read_text()
        proxy.configuration.write_text("workres = 3\n" + good)
        is_kept(proxy, "workres")
        port = taken.getsockname()[1]
        proxy.configuration.write_text(good.replace(str(proxy.port("implicit")), str(port)))
        is_kept(proxy, f"cannot listen at 127.0.0.1:{port}")


def test_a_reload_after_a_replacement_brings_new_workers(run_code):
    with run_code() as proxy:
        replace(proxy)
        until(lambda: set(states(proxy).values()) == {"serving"}, "the old ones have ended")
        before, length = states(proxy), len(proxy.log())
        proxy.process.send_signal(signal.SIGHUP)
        proxy.logged(" serving ", after=length)
        assert before.keys().isdisjoint(pid for pid, state in states(proxy).items() if state == "serving")


def test_a_drain_after_a_replacement_ends_all_with_their_last_session(run_code):
    with run_code(shutdown_grace="60s") as proxy, connected("127.0.0.1", proxy.port("starttls")) as idle:
        assert idle.command(LOG_IN)[-1].startswith(b"a OK")
        replace(proxy)
        proxy.terminate()
        until(lambda: not proxy.listeners(), "nobody listens, in any process")
        assert idle.command(b"b NOOP")[-1].startswith(b"b OK")
        assert idle.command(b"c LOGOUT")[-1].startswith(b"c OK")
        assert proxy.wait_for_end() == 0


def test_a_second_signal_after_a_replacement_ends_all_at_once(run_code):
    with run_code(shutdown_grace="600s") as proxy, connected("127.0.0.1", proxy.port("starttls")) as idle:
        assert idle.command(LOG_IN)[-1].startswith(b"a OK")
        replace(proxy)
        proxy.terminate()
        until(lambda: not proxy.listeners(), "it drains")
        proxy.terminate()
        idle.rest()
        proxy.wait_for_end()


def test_a_daemon_keeps_its_process_id_and_the_file_that_tells_of_it(tmp_path, ports, pair, store_port):
    """All paths are relative, and twistd, left to itself, would become a daemon again, or find its own process id."""
    users = tmp_path / "users.toml"
    write_users(users, MAIL_HOSTS)
    proxy = Proxy(directory=tmp_path, settings=settings(ports, pair, store_port, users, **TWO))
    proxy.configuration.write_text(document(proxy.settings))
    command = [*TWISTD[:3], "--pidfile=mmp.pid", "--logfile=log", "mmp", "--config=mmp.toml"]
    subprocess.run(command, cwd=tmp_path, env=environment(proxy.mark), timeout=LONG, check=True)
    try:
        proxy.logged(" serving ", patience=LONG)
        pid = int((tmp_path / "mmp.pid").read_text())
        for _ in range(2):
            before = len(proxy.log())
            os.kill(pid, signal.SIGUSR2)
            proxy.logged(" serving ", after=before, patience=LONG)
            assert int((tmp_path / "mmp.pid").read_text()) == pid
            assert mmp_json(proxy, "status")["pid"] == pid
        os.kill(pid, signal.SIGTERM)
        until(lambda: not proxy.pids(), "all of its processes end", patience=LONG)
        assert not (tmp_path / "mmp.pid").exists()
    finally:
        for left in proxy.pids():
            os.kill(left, signal.SIGKILL)
