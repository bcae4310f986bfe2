"""The commands for a running proxy, each on one of two workers: what it does, what it prints, how it exits."""

import os
import re
import signal
import socket
import stat
from contextlib import ExitStack, contextmanager

import pytest

from tests.integration.client import connected
from tests.integration.commands import MMP, mmp, mmp_json, run
from tests.integration.crowd import Crowd
from tests.integration.people import ALICE, BOB, FIRST, SECOND
from tests.integration.rapid import rapid_store
from tests.integration.scripted import orderly, scripted
from tests.integration.waiting import until

TWO = {"workers": 2, "login": {"restrict_plain_passwords": False}}


@pytest.fixture(scope="module")
def store_port(ports):
    """Two stores that let everybody in."""
    port = ports.free()
    with rapid_store(FIRST, port), rapid_store(SECOND, port):
        yield port


@pytest.fixture(scope="module")
def proxy(run_proxy, store_port):
    """A proxy of two workers that serve."""
    with run_proxy(store_port, backend={"imap": {"max_connecting": 1000}}, **TWO) as proxy:
        proxy.logged(" serving ", "workers=2")
        yield proxy


@contextmanager
def logged_in(proxy, *people, source=None):
    """Log somebody in for each of these; yield the clients."""
    with ExitStack() as held:
        clients = []
        for person in people:
            client = held.enter_context(connected("127.0.0.1", proxy.port("starttls"), source=source))
            words = b"a LOGIN %b %b" % (person.user.encode(), person.password)
            assert client.command(words)[-1].startswith(b"a OK")
            clients.append(client)
        until(lambda: len(mmp_json(proxy, "who", "--phase", "relay")) >= len(people), "they are seen")
        yield clients


def test_status_tells_versions_workers_and_sessions(proxy):
    with logged_in(proxy, ALICE, BOB):
        status = mmp_json(proxy, "status")
        assert status.keys() == {
            *("version", "versions", "pid", "started", "draining", "workers", "listeners", "sessions"),
            *("directory", "shared"),
        }
        assert status["versions"].keys() == {"python", "twisted", "openssl"}
        assert status["versions"]["openssl"].startswith("OpenSSL ")
        assert status["pid"] == proxy.process.pid
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", status["started"])
        assert status["draining"] is False
        assert {each["pid"] for each in status["workers"]} == proxy.workers()
        assert {each["state"] for each in status["workers"]} == {"serving"}
        assert status["sessions"] == sum(each["sessions"] for each in status["workers"]) == 2
        assert {each["port"] for each in status["listeners"]} == proxy.ports
        assert {each["min_version"] for each in status["listeners"]} == {"1.2"}
        assert status["directory"]["up"] is True
        assert "serving" in mmp(proxy, "status")
        assert "warning" not in mmp(proxy, "status")


def test_who_tells_all_of_a_session(proxy):
    with logged_in(proxy, ALICE) as (client,):
        client.command(b"b NOOP")
        (row,) = mmp_json(proxy, "who")
        assert row.keys() == {
            *("session", "worker", "service", "user", "address", "port", "backend", "mechanism"),
            *("tls", "phase", "since", "idle", "bytes_in", "bytes_out"),
        }
        assert row["worker"] in proxy.workers()
        assert row["port"] == client.connection.getsockname()[1]
        told = {key: row[key] for key in ("service", "user", "address", "backend", "mechanism", "tls", "phase")}
        assert told == {
            "service": "imap",
            "user": ALICE.user,
            "address": "127.0.0.1",
            "backend": FIRST,
            "mechanism": "LOGIN",
            "tls": "",
            "phase": "relay",
        }
        assert row["bytes_in"] == len(b"b NOOP\r\n")
        assert row["bytes_out"] == len(b"b OK done\r\n")
        assert 0 <= row["idle"] < 60
        assert ALICE.user in mmp(proxy, "who")


def test_who_tells_of_those_that_have_not_logged_in(proxy):
    with connected("127.0.0.1", proxy.port("starttls")):
        (row,) = mmp_json(proxy, "who", "--phase", "login")
        assert (row["user"], row["idle"], row["phase"]) == ("", None, "login")


@pytest.mark.parametrize(
    ("arguments", "users"),
    [
        (["--user", "ALICE@example.com"], [ALICE]),
        (["--user", "nobody"], []),
        (["--backend", SECOND], [BOB]),
        (["--address", "127.0.0.0/8"], [ALICE, BOB]),
        (["--address", "10.0.0.0/8"], []),
        (["--service", "imap", "--phase", "relay"], [ALICE, BOB]),
        (["--service", "pop3"], []),
    ],
)
def test_who_filters(proxy, arguments, users):
    with logged_in(proxy, ALICE, BOB):
        rows = mmp_json(proxy, "who", *arguments, "--sort", "user")
        assert [row["user"] for row in rows] == [person.user for person in users]


@pytest.mark.parametrize("order", ["user", "address", "backend", "age", "idle", "bytes"])
def test_who_sorts(proxy, order):
    with logged_in(proxy, BOB, ALICE) as (bob, _):
        for _ in range(10):
            bob.command(b"b NOOP")
        users = [row["user"] for row in mmp_json(proxy, "who", "--sort", order)]
        first = {"age": BOB, "bytes": BOB, "user": ALICE, "backend": ALICE}.get(order)
        assert first is None or users[0] == first.user
        assert sorted(users) == [ALICE.user, BOB.user]


def test_a_wrong_network_is_refused(proxy):
    assert "no such property" in mmp(proxy, "who", "--address", "10.0.0.0/99", status=1)


def test_several_hundred_sessions_are_all_listed(proxy):
    crowd = Crowd(proxy.port("starttls"))
    try:
        crowd.come(700, b"a LOGIN %b %b\r\n" % (ALICE.user.encode(), ALICE.password))
        crowd.hear(b"a OK")
        rows = mmp_json(proxy, "who", "--user", ALICE.user)
        assert len({row["session"] for row in rows}) == 700
        assert {row["port"] for row in rows} == {client.getsockname()[1] for client in crowd.clients}
        assert {row["worker"] for row in rows} == proxy.workers()
        assert mmp_json(proxy, "status")["sessions"] == 700
        assert {row["sessions"] for row in mmp_json(proxy, "backends") if row["backend"] == FIRST} == {700}
        assert mmp_json(proxy, "kick", ALICE.user) == {"count": 700}
        crowd.await_ends()
    finally:
        for client in crowd.clients:
            client.close()


def test_kick_ends_the_sessions_of_a_user_and_no_others(proxy):
    with logged_in(proxy, ALICE, BOB, ALICE) as (alice, bob, again):
        sessions = [row["session"] for row in mmp_json(proxy, "who", "--user", ALICE.user)]
        assert mmp_json(proxy, "kick", ALICE.user) == {"count": 2}
        assert alice.rest() == again.rest() == b""
        assert bob.command(b"b NOOP")[-1].startswith(b"b OK")
        for session in sessions:
            proxy.logged(" closed ", session, "who=proxy", "why=kicked")
        proxy.logged(" kick ", f"target={ALICE.user}", "sessions=2", f"by={os.geteuid()}")
        assert "1 sessions ended" in mmp(proxy, "kick", BOB.user)


def test_kick_ends_one_session(proxy):
    with logged_in(proxy, ALICE, ALICE) as (first, second):
        port = first.connection.getsockname()[1]
        (session,) = [row["session"] for row in mmp_json(proxy, "who") if row["port"] == port]
        assert mmp_json(proxy, "kick", session) == {"count": 1}
        assert first.rest() == b""
        assert second.command(b"b NOOP")[-1].startswith(b"b OK")


def test_kick_ends_what_comes_from_an_address_or_network_before_the_login_as_well(proxy):
    with (
        logged_in(proxy, ALICE) as (stays,),
        logged_in(proxy, BOB, source="127.0.0.7") as (goes,),
        connected("127.0.0.1", proxy.port("starttls"), source="127.0.0.8") as early,
    ):
        assert mmp_json(proxy, "kick", "127.0.0.7") == {"count": 1}
        assert goes.rest() == b""
        assert mmp_json(proxy, "kick", "127.0.0.8/31") == {"count": 1}
        assert early.rest().startswith(b"* BYE")
        assert stays.command(b"b NOOP")[-1].startswith(b"b OK")


def test_kick_of_nobody_is_status_1(proxy):
    assert mmp_json(proxy, "kick", "nobody@example.com", status=1) == {"count": 0}


def test_flush_has_the_directory_asked_again(proxy):
    with logged_in(proxy, ALICE):
        assert mmp_json(proxy, "flush", ALICE.user)["count"] >= 1
        assert mmp_json(proxy, "flush", ALICE.user, status=1) == {"count": 0}


def test_backends_are_told_with_sessions_and_why_they_are_down(run_proxy, ports):
    port = ports.free()
    with run_proxy(port, **TWO) as proxy, scripted(SECOND, port, orderly), logged_in(proxy, BOB):
        with connected("127.0.0.1", proxy.port("starttls")) as client:
            refused = client.command(b"a LOGIN %b %b" % (ALICE.user.encode(), ALICE.password))
            assert b"NO [UNAVAILABLE]" in refused[-1]
        first, second = mmp_json(proxy, "backends")
        assert "refused" in first.pop("why").lower()
        assert first == {"backend": FIRST, "service": "imap", "up": False, "disabled": False, "sessions": 0}
        assert (second.pop("backend"), second.pop("service")) == (SECOND, "imap")
        assert second == {"up": True, "disabled": False, "sessions": 1, "why": ""}
        assert re.search(rf"{FIRST} +imap +no +no +0 ", mmp(proxy, "backends"))


def test_no_login_goes_to_a_disabled_store_until_it_is_enabled(proxy):
    log_in = b"a LOGIN %b %b" % (ALICE.user.encode(), ALICE.password)
    with logged_in(proxy, ALICE) as (before,):
        assert mmp_json(proxy, "disable", FIRST) == {"count": 1, "kicked": 0}
        assert {row["disabled"] for row in mmp_json(proxy, "backends") if row["backend"] == FIRST} == {True}
        for _ in range(6):  # whichever worker it is
            with connected("127.0.0.1", proxy.port("starttls")) as client:
                assert b"NO [UNAVAILABLE]" in client.command(log_in)[-1]
        assert before.command(b"b NOOP")[-1].startswith(b"b OK")
        with logged_in(proxy, BOB):
            pass
        victim = next(iter(proxy.workers()))
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(proxy.workers() - {victim}) == 2, "another worker runs")
        until(lambda: len(mmp_json(proxy, "status")["workers"]) == 2, "it serves")
        for _ in range(6):  # the new worker knows
            with connected("127.0.0.1", proxy.port("starttls")) as client:
                assert b"NO [UNAVAILABLE]" in client.command(log_in)[-1]
        assert mmp_json(proxy, "enable", FIRST) == {"count": 1}
        assert mmp_json(proxy, "enable", FIRST, status=1) == {"count": 0}
    with logged_in(proxy, ALICE):
        pass
    proxy.logged(" backend ", "result=disabled", f"backend={FIRST}")
    proxy.logged(" backend ", "result=enabled", f"backend={FIRST}")


def test_the_sessions_of_a_disabled_store_are_ended_over_time(proxy):
    with logged_in(proxy, ALICE, ALICE, BOB) as (one, other, bob):
        assert mmp_json(proxy, "disable", FIRST, "--kick", "--over", "500ms") == {"count": 1, "kicked": 2}
        assert one.rest() == other.rest() == b""
        assert bob.command(b"b NOOP")[-1].startswith(b"b OK")
        proxy.logged(" closed ", "who=proxy", 'why="store disabled"')
        mmp(proxy, "enable", FIRST)


def test_reload_tells_what_is_wrong_or_brings_new_workers(run_proxy, store_port):
    with run_proxy(store_port, **TWO) as proxy:
        proxy.logged(" serving ", "workers=2")
        before = proxy.workers()
        good = proxy.configuration.read_text()
        proxy.configuration.write_text("workres = 3\n" + good)
        assert "workres: unknown key" in mmp(proxy, "reload", status=1)
        assert proxy.workers() == before
        proxy.configuration.write_text(good)
        with logged_in(proxy, ALICE) as (client,):
            assert mmp_json(proxy, "reload") == {}
            until(lambda: len(proxy.workers() - before) == 2, "new workers run")
            until(lambda: len(states(proxy)) == 3, "the old one with its session is seen beside the new ones")
            assert sorted(states(proxy)) == ["draining", "serving", "serving"]
            assert len(mmp_json(proxy, "who")) == 1
            assert mmp_json(proxy, "kick", ALICE.user) == {"count": 1}
            assert client.rest() == b""


def states(proxy):
    """Return the states of the workers that `mmp status` shows."""
    return [each["state"] for each in mmp_json(proxy, "status")["workers"]]


def test_drain_ends_the_proxy_with_its_last_session(run_proxy, store_port):
    with run_proxy(store_port, shutdown_grace="60s", **TWO) as proxy:
        with logged_in(proxy, ALICE) as (client,):
            assert mmp_json(proxy, "drain") == {}
            until(lambda: not proxy.listeners(), "nobody listens")
            status = mmp_json(proxy, "status")
            assert status["draining"] is True
            assert {each["state"] for each in status["workers"]} == {"draining"}
            assert mmp_json(proxy, "drain") == {}  # ends nobody sooner
            assert client.command(b"b NOOP")[-1].startswith(b"b OK")
        assert proxy.wait_for_end() == 0
        assert "no proxy is running" in mmp(proxy, "status", status=3)
        assert not control(proxy).exists()


def test_the_time_of_a_drain_may_be_given_and_given_anew_and_a_signal_behind_it_cuts_nobody(run_proxy, store_port):
    with run_proxy(store_port, shutdown_grace="60s", **TWO) as proxy, logged_in(proxy, ALICE) as (client,):
        mmp(proxy, "drain", "--for", "1h")
        proxy.terminate()
        proxy.logged("drain", "seconds=60")
        assert client.command(b"b NOOP")[-1].startswith(b"b OK")
        mmp(proxy, "drain", "--for", "0s")
        assert client.rest() == b""
        assert proxy.wait_for_end() == 0


def control(proxy):
    """Return the path of the control socket."""
    return proxy.directory / "control.sock"


def test_the_socket_is_its_owners_alone(proxy):
    assert stat.S_IMODE(control(proxy).stat().st_mode) == 0o600


def test_the_socket_may_be_named(proxy):
    done = run([*MMP, "status", "--control", f"unix:{control(proxy)}"])
    assert "serving" in done.stdout


def test_a_left_over_socket_is_replaced_and_one_in_use_is_not(run_proxy, store_port, tmp_path):
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    admin = {"control": f"unix:{path}"}
    with run_proxy(store_port, admin=admin, **TWO) as proxy:
        assert mmp_json(proxy, "status")["pid"] == proxy.process.pid
        with run_proxy(store_port, admin=admin, **TWO) as second:
            second.logged(" control ", "another process listens")
            assert mmp_json(proxy, "status")["pid"] == proxy.process.pid


def test_a_stopped_worker_keeps_nobody_from_an_answer(run_proxy, store_port):
    with run_proxy(store_port, **TWO) as proxy:
        proxy.logged(" serving ", "workers=2")
        victim = next(iter(proxy.workers()))
        os.kill(victim, signal.SIGSTOP)
        try:
            assert {each["pid"] for each in mmp_json(proxy, "status")["workers"]} == proxy.workers()
        finally:
            os.kill(victim, signal.SIGCONT)
