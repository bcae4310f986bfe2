"""Keeping networks out of a proxy with two workers: by command, by failures, by rules, and over a restart."""

import socket
from contextlib import ExitStack

import pytest

from tests.integration.client import Client
from tests.integration.commands import MMP, mmp, mmp_json
from tests.integration.commands import run as run_command
from tests.integration.ordinary import PLAIN
from tests.integration.people import ALICE, BOB, FIRST
from tests.integration.scripted import PATIENCE, scripted
from tests.integration.test_limits import guess, judging, log_in
from tests.integration.waiting import until

BANNED = b"* BYE This address is not welcome for now"
ELSEWHERE = "127.0.0.9"
TIMES = 8
"""Connections of which both workers get some."""


@pytest.fixture
def run(run_proxy, ports):
    """Runs a proxy with two workers before a store that judges; keywords are tables of the whole file."""
    store = ports.free()
    usual = {"workers": 2, "login": PLAIN, "throttle": {"penalty": "0s"}}
    with scripted(FIRST, store, judging):
        yield lambda **changes: run_proxy(store, {ALICE.user: FIRST, BOB.user: FIRST}, **usual | changes)


@pytest.fixture
def held():
    """Closes, at the end, what is still open."""
    with ExitStack() as stack:
        yield stack


def greeted(proxy, source="127.0.0.1", tls="starttls"):
    """Return the first line of a new connection; nothing if there is none."""
    with socket.create_connection(("127.0.0.1", proxy.port(tls)), PATIENCE, (source, 0)) as connection:
        try:
            return Client(connection).line()
        except ConnectionError:
            return b""


def come(held, proxy, source="127.0.0.1"):
    connection = socket.create_connection(("127.0.0.1", proxy.port("starttls")), PATIENCE, (source, 0))
    return Client(held.enter_context(connection))


def explained(proxy, source):
    """Return the last line of what would happen to a login from there."""
    done = run_command([*MMP, "explain", str(proxy.configuration), ALICE.user, "--from", source])
    return done.stdout.splitlines()[-1]


def test_a_ban_by_command_holds_in_all_workers_until_it_is_lifted_and_over_a_restart(run, held, tmp_path):
    state = tmp_path / "state"
    with run(admin={"state": str(state)}) as proxy:
        until(lambda: len(proxy.workers()) == 2, "both workers run")
        inside = come(held, proxy)
        assert log_in(inside).startswith(b"a OK")
        assert mmp(proxy, "ban", "127.0.0.1", "--for", "1h", "--reason", "test") == "banned\n"
        assert {greeted(proxy) for _ in range(TIMES)} == {BANNED}
        assert greeted(proxy, ELSEWHERE).startswith(b"* OK")
        assert inside.command(b"b NOOP") == [b"b OK done"]
        assert 'reason="ban: 127.0.0.1/32"' in proxy.logged("refused", "result=banned")
        (row,) = mmp_json(proxy, "badguys")
        assert (row["kind"], row["network"], row["reason"]) == ("ban", "127.0.0.1/32", "test")
        until(state.exists, "it is written")
        assert explained(proxy, "127.0.0.1") == "refused   banned: ban: 127.0.0.1/32, test"
        assert explained(proxy, ELSEWHERE).startswith("backend ")
        proxy.stop()
        proxy.start()
        assert greeted(proxy) == BANNED
        assert mmp_json(proxy, "unban", "127.0.0.1") == {"count": 1}
        until(lambda: {greeted(proxy)[:4] for _ in range(TIMES)} == {b"* OK"}, "it is lifted")
        assert mmp_json(proxy, "unban", "127.0.0.1", status=1) == {"count": 0}


def test_rules_with_host_names_ask_the_system_and_let_nobody_in_without_a_name(run):
    access = {"allow": ["imap: localhost"], "deny": ["imap: ALL"], "reverse_dns": True}
    with run(access=access) as proxy:
        assert greeted(proxy).startswith(b"* OK")
        assert greeted(proxy, ELSEWHERE) == b"* BYE This address may not use this service"
        assert explained(proxy, "127.0.0.1").startswith("backend ")


def test_so_many_failures_ban_an_address(run, held, tmp_path):
    throttle = {"penalty": "0s", "ban_after": 3, "ban_time": "10m"}
    with run(throttle=throttle, admin={"state": str(tmp_path / "state")}) as proxy:
        for number in range(3):
            guess(held, proxy, b"wrong%d" % number)
        until(lambda: greeted(proxy) == BANNED, "it is banned")
        assert "network=127.0.0.1/32" in proxy.logged("ban", "result=banned", 'reason="3 failures"')
        assert greeted(proxy, ELSEWHERE).startswith(b"* OK")


def test_rules_keep_out_whom_they_deny_and_are_named_in_the_log(run):
    access = {"allow": ["imap: 127.0.0.9"], "deny": ["imap: 127.0.0.0/8"]}
    with run(access=access) as proxy:
        assert greeted(proxy) == b"* BYE This address may not use this service"
        assert explained(proxy, "127.0.0.1") == "refused   access-denied: access: -imap:127.0.0.0/8"
        assert 'reason="access: -imap:127.0.0.0/8"' in proxy.logged("refused", "result=access-denied")
        assert greeted(proxy, ELSEWHERE).startswith(b"* OK")
        mmp(proxy, "ban", f"::ffff:{ELSEWHERE}")  # the same address, as programs log it that listen for both kinds
        until(lambda: greeted(proxy, ELSEWHERE) == BANNED, "it is banned")
