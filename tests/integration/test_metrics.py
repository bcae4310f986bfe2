"""What monitoring is told of a running proxy of two workers."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.integration.client import connected
from tests.integration.commands import mmp_json
from tests.integration.people import ALICE, BOB, FIRST, LOST, SECOND
from tests.integration.rapid import rapid_store
from tests.integration.scripted import orderly, scripted
from tests.integration.waiting import until

TWO = {"workers": 2, "login": {"restrict_plain_passwords": False}}
CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(scope="module")
def store_port(ports):
    """Two stores that let everybody in."""
    port = ports.free()
    with rapid_store(FIRST, port), rapid_store(SECOND, port):
        yield port


@pytest.fixture
def run_watched(run_proxy, ports):
    """Runs a proxy of two workers that monitoring can ask."""

    def run(store_port, **changes):
        admin = {"http": f"127.0.0.1:{ports.free()}"} | changes.pop("admin", {})
        return run_proxy(store_port, admin=admin, **TWO | changes)

    return run


def get(proxy, path, method="GET", **headers):
    """Return the status and the body."""
    with closing(http.client.HTTPConnection(proxy.settings["admin"]["http"], timeout=30)) as connection:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


def samples(proxy):
    """Return each sample of the metrics by its name and labels, as they are written."""
    status, text = get(proxy, "/metrics")
    assert status == 200
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def log_in(proxy, person, password=None, tls=None):
    """Try to log in; return the connection, and whether that succeeded."""
    client = connected("127.0.0.1", proxy.port("implicit" if tls else "starttls"), ca=tls)
    words = b"a LOGIN %b %b" % (person.user.encode(), password or person.password)
    return client, words


def logged_in(held, proxy, person, **how):
    client, words = log_in(proxy, person, **how)
    client = held.enter_context(client)
    assert client.command(words)[-1].startswith(b"a OK")
    return client


def test_every_kind_of_metric_is_there_with_what_happened(run_watched, store_port, certificates):
    with run_watched(store_port) as proxy, ExitStack() as held:
        proxy.logged(" serving ", "workers=2")
        alice = logged_in(held, proxy, ALICE)
        logged_in(held, proxy, BOB, tls=certificates.ca)
        alice.command(b"b NOOP")
        client, words = log_in(proxy, LOST)
        with client as client:
            assert b"NO [UNAVAILABLE]" in client.command(words)[-1]
        held.enter_context(connected("127.0.0.1", proxy.port("starttls")))
        until(lambda: samples(proxy).get('mmp_sessions{service="imap",state="login"}') == 1.0, "the lost one is gone")
        found = samples(proxy)
        expected = {
            'mmp_connections_total{result="accepted",service="imap"}': 4,
            'mmp_sessions{service="imap",state="relay"}': 2,
            'mmp_logins_total{mechanism="LOGIN",result="ok",service="imap"}': 2,
            'mmp_logins_total{mechanism="LOGIN",result="backend-unavailable",service="imap"}': 1,
            'mmp_login_seconds_count{service="imap",step="directory"}': 3,
            'mmp_login_seconds_count{service="imap",step="tls"}': 1,
            'mmp_login_seconds_count{service="imap",step="connect"}': 2,
            'mmp_login_seconds_count{service="imap",step="replay"}': 2,
            'mmp_login_seconds_bucket{le="+Inf",service="imap",step="total"}': 2,
            'mmp_relay_bytes_total{direction="in",service="imap"}': len(b"b NOOP\r\n"),
            'mmp_relay_bytes_total{direction="out",service="imap"}': len(b"b OK done\r\n"),
            'mmp_directory_lookups_total{result="miss"}': 3,
            "mmp_directory_seconds_count": 3,
            f'mmp_backend_up{{backend="{FIRST}",service="imap"}}': 1,
            f'mmp_backend_up{{backend="{LOST.store}",service="imap"}}': 0,
            f'mmp_backend_sessions{{backend="{SECOND}",service="imap"}}': 1,
            f'mmp_backend_seconds_count{{backend="{FIRST}",service="imap"}}': 1,
            'mmp_tls_handshakes_total{result="ok",resumed="no",version="TLSv1.3"}': 1,
            "mmp_shared_state_up": 1,
            "mmp_workers": 2,
        }
        assert {name: found.get(name) for name in expected} == expected
        (left,) = [value for name, value in found.items() if name.startswith("mmp_certificate_expiry_seconds")]
        assert left > 3600
        assert found["process_resident_memory_bytes"] > 0


def test_counts_outlive_the_worker_that_counted(run_watched, store_port):
    with run_watched(store_port) as proxy, ExitStack() as held:
        proxy.logged(" serving ", "workers=2")
        for _ in range(20):
            logged_in(held, proxy, ALICE).command(b"b NOOP")
        before = samples(proxy)
        assert {row["worker"] for row in mmp_json(proxy, "who")} == proxy.workers()
        victim = next(iter(proxy.workers()))
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(proxy.workers() - {victim}) == 2, "another one runs")
        until(lambda: samples(proxy)["mmp_workers"] == 2, "it serves")
        after = samples(proxy)
        counters = [name for name in before if re.match("mmp_[a-z_]+_(total|count|sum|bucket)", name)]
        assert len(counters) > 20
        assert not [name for name in counters if after[name] < before[name]]
        logins = 'mmp_logins_total{mechanism="LOGIN",result="ok",service="imap"}'
        assert before[logins] == after[logins] == 20
        logged_in(held, proxy, ALICE)
        assert samples(proxy)[logins] == 21


def test_what_a_worker_counted_last_is_told_when_it_ends_in_order(run_watched, store_port):
    with run_watched(store_port) as proxy:
        proxy.logged(" serving ", "workers=2")
        before = proxy.workers()
        with ExitStack() as held:
            logged_in(held, proxy, ALICE)
            mmp_json(proxy, "reload")
        until(lambda: len(proxy.workers()) == 2 and not proxy.workers() & before, "the old workers are gone")
        until(lambda: samples(proxy)["mmp_workers"] == 2, "the new ones serve")
        assert samples(proxy)['mmp_logins_total{mechanism="LOGIN",result="ok",service="imap"}'] == 1


def test_it_lives_and_is_ready(run_watched, store_port):
    with run_watched(store_port) as proxy:
        proxy.logged(" serving ", "workers=2")
        assert get(proxy, "/healthz")[0] == 200
        assert get(proxy, "/healthz", "HEAD") == (200, "")
        status, body = get(proxy, "/readyz")
        assert (status, json.loads(body)) == (200, {"ready": True, "reasons": {}})
        assert get(proxy, "/nothing")[0] == 404
        assert get(proxy, "/healthz", "POST")[0] == 405


def test_it_is_not_ready_while_all_stores_are_away_and_is_again_without_a_login(run_watched, ports):
    port = ports.free()
    with run_watched(port) as proxy:
        proxy.logged(" serving ", "workers=2")
        client, words = log_in(proxy, ALICE)
        with client as client:
            assert b"NO [UNAVAILABLE]" in client.command(words)[-1]
        status, body = get(proxy, "/readyz")
        assert status == 503
        assert FIRST in json.loads(body)["reasons"]["stores"]
        with scripted(FIRST, port, orderly):
            assert get(proxy, "/readyz")[0] == 200


def test_it_is_not_ready_while_the_directory_is_away(run_watched, ports, store_port):
    port = ports.free()
    directory = {"kind": "ldap", "ldap": {"urls": [f"ldap://127.0.0.1:{port}"], "timeout": "2s"}}
    with run_watched(store_port, directory=directory) as proxy:
        proxy.logged(" serving ", "workers=2")
        client, words = log_in(proxy, ALICE)
        with client as client:
            assert b"NO [UNAVAILABLE]" in client.command(words)[-1]
        status, body = get(proxy, "/readyz")
        assert status == 503
        assert "refused" in json.loads(body)["reasons"]["directory"].lower()
        with socket.create_server(("127.0.0.1", port)):
            assert get(proxy, "/readyz")[0] == 200


def test_it_is_not_ready_while_it_drains(run_watched, store_port):
    with run_watched(store_port, shutdown_grace="60s") as proxy, ExitStack() as held:
        proxy.logged(" serving ", "workers=2")
        logged_in(held, proxy, ALICE)
        mmp_json(proxy, "drain")
        status, body = get(proxy, "/readyz")
        assert (status, json.loads(body)["reasons"]) == (503, {"proxy": "draining"})
        assert get(proxy, "/healthz")[0] == 200


def test_who_has_no_token_is_told_nothing(run_watched, store_port, tmp_path):
    (tmp_path / "token").write_text("sesame-Secret\n")
    with run_watched(store_port, admin={"token_file": str(tmp_path / "token")}) as proxy:
        proxy.logged(" serving ", "workers=2")
        for path in ("/metrics", "/healthz", "/readyz", "/"):
            assert get(proxy, path)[0] == 401
            assert get(proxy, path, Authorization="Bearer sesame")[0] == 401
        assert get(proxy, "/metrics", Authorization="Bearer sesame-Secret")[0] == 200
        assert "sesame" not in proxy.log()


def test_a_port_that_is_taken_stops_no_mail_and_a_reload_moves_it(run_watched, store_port, ports):
    taken, other = ports.free(), ports.free()
    with (
        socket.create_server(("127.0.0.1", taken)),
        run_watched(store_port, admin={"http": f"127.0.0.1:{taken}"}) as proxy,
        ExitStack() as held,
    ):
        proxy.logged(" http ", "cannot listen")
        logged_in(held, proxy, ALICE)
        text = proxy.configuration.read_text().replace(f"127.0.0.1:{taken}", f"127.0.0.1:{other}")
        proxy.configuration.write_text(text)
        mmp_json(proxy, "reload")
        proxy.settings["admin"]["http"] = f"127.0.0.1:{other}"
        assert get(proxy, "/healthz")[0] == 200


def test_promtool_finds_nothing_wrong_with_the_metrics(run_watched, store_port):
    with run_watched(store_port) as proxy, ExitStack() as held:
        logged_in(held, proxy, ALICE)
        _, text = get(proxy, "/metrics")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_browser_is_shown_workers_and_stores_and_no_users(run_watched, store_port):
    with run_watched(store_port) as proxy, ExitStack() as held:
        proxy.logged(" serving ", "workers=2")
        logged_in(held, proxy, ALICE)
        client, words = log_in(proxy, LOST)
        with client as client:
            client.command(words)
        status, page = get(proxy, "/")
        assert status == 200
        for each in (*map(str, proxy.workers()), f"<td>{FIRST}</td>", '<span class="bad">down</span>'):
            assert each in page
        assert ALICE.name not in page
        assert json.loads(get(proxy, "/api/status")[1]).keys() == mmp_json(proxy, "status").keys()
        assert {each["backend"] for each in json.loads(get(proxy, "/api/backends")[1])} == {FIRST, LOST.store}
        assert get(proxy, "/", "POST")[0] == 405
