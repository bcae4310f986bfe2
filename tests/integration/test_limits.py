"""Limits and the throttle, which all workers share: sessions are refused, guesses slowed down, the dead forgotten."""

import os
import signal
import socket
import time
from contextlib import ExitStack, suppress

import pytest

from tests.integration import processes
from tests.integration.client import Client
from tests.integration.ordinary import PLAIN
from tests.integration.people import ALICE, BOB, FIRST
from tests.integration.scripted import PATIENCE, orderly, scripted
from tests.integration.test_metrics import samples
from tests.integration.waiting import until

TWO = {"workers": 2, "login": PLAIN, "log": {"level": "info"}}
ONE_STORE = {ALICE.user: FIRST, BOB.user: FIRST}


def judging(client):
    """Be a store that lets those in whose password has 'Secret' in it."""
    client.send(b"* OK [CAPABILITY IMAP4rev1 ID] ready\r\n")
    while True:
        tag, _, command = client.line().partition(b" ")
        refused = command.upper().startswith(b"LOGIN") and b"Secret" not in command
        client.send(tag + (b" NO [AUTHENTICATIONFAILED] no\r\n" if refused else b" OK done\r\n"))


def pop3(client):
    """Be a POP3 store that lets everybody in."""
    client.send(b"+OK ready\r\n")
    while True:
        command = client.line()
        client.send(b"+OK\r\nUSER\r\n.\r\n" if command == b"CAPA" else b"+OK\r\n")


@pytest.fixture
def run(run_proxy, ports):
    """Runs a proxy with two workers before a store that judges; keywords are tables of the whole file."""
    store = ports.free()
    with scripted(FIRST, store, judging):
        yield lambda **changes: run_proxy(store, ONE_STORE, **TWO | changes)


@pytest.fixture
def held():
    """Closes, at the end, what is still open."""
    with ExitStack() as stack:
        yield stack


def come(held, proxy, source="127.0.0.1", tls="starttls"):
    """Connect from an address."""
    connection = socket.create_connection(("127.0.0.1", proxy.port(tls)), PATIENCE, (source, 0))
    return Client(held.enter_context(connection))


def heard(client, tag=b"a"):
    """Return the tagged reply, or the BYE that comes instead; nothing, if the connection ends or is reset."""
    with suppress(OSError):
        while line := client.line():
            if line.startswith((tag + b" ", b"* BYE")):
                return line
    return b""


def log_in(client, person=ALICE, password=None):
    """Try to log in, and return the answer."""
    with suppress(OSError):
        client.send(b"a LOGIN %b %b\r\n" % (person.user.encode(), password or person.password))
    return heard(client)


def guess(held, proxy, password, source="127.0.0.1"):
    assert log_in(come(held, proxy, source), password=password).startswith(b"a NO [AUTHENTICATIONFAILED]")


def admitted(clients):
    """Return those that get in."""
    return [client for client in clients if log_in(client).startswith(b"a OK")]


def both_work(proxy):
    until(lambda: len(proxy.workers()) == 2, "both workers run")
    return proxy.workers()


def per_address(sessions, **more):
    return {"per_address": [{"network": "127.0.0.0/8", "sessions": sessions} | more]}


def test_of_two_hundred_at_once_twenty_get_in(run, held):
    with run(limits=per_address(20)) as proxy:
        both_work(proxy)
        connections = [held.enter_context(socket.socket()) for _ in range(200)]
        for connection in connections:
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", proxy.port("starttls")))
        for connection in connections:
            connection.settimeout(PATIENCE)
        assert len(admitted(map(Client, connections))) == 20
        log = proxy.log()
        assert log.count(" refused ") == log.count('reason="limit: per_address 127.0.0.0/8"') == 180
        assert admitted([come(held, proxy, "127.0.0.7")])


def test_a_refusal_is_worded_in_clear_and_a_mere_close_where_tls_comes_first(run, held):
    with run(limits=per_address(1)) as proxy:
        assert admitted([come(held, proxy)])
        assert come(held, proxy).line().startswith(b"* BYE [LIMIT]")
        assert come(held, proxy, tls="implicit").rest() == b""


def test_a_session_that_ends_makes_room_for_another(run, held):
    with run(limits=per_address(1)) as proxy:
        first = come(held, proxy)
        assert admitted([first])
        assert not admitted([come(held, proxy)])
        first.connection.close()
        until(lambda: admitted([come(held, proxy)]), "there is room")


def test_a_limit_that_is_only_observed_refuses_nobody(run, held):
    with run(limits=per_address(1, mode="observe")) as proxy:
        assert len(admitted(come(held, proxy) for _ in range(3))) == 3
        assert proxy.log().count("result=observed") == 2


def test_what_a_killed_worker_held_is_free_again(run, held):
    with run(limits=per_address(4)) as proxy:
        both_work(proxy)
        assert len(admitted(come(held, proxy) for _ in range(4))) == 4
        assert not admitted([come(held, proxy)])
        for worker in both_work(proxy):
            os.kill(worker, signal.SIGKILL)
        until(lambda: admitted([come(held, proxy)]), "there is room")


def test_a_users_sessions_count_over_services(run_proxy, ports, held):
    imap_store, pop3_store = ports.free(), ports.free()
    listeners = [
        {"service": service, "address": "127.0.0.1", "port": ports.free(), "tls": tls}
        for service, tls in (("imap", "starttls"), ("pop3", "none"))
    ]
    changes = TWO | {
        "listener": listeners,
        "backend": {"pop3": {"port": pop3_store}},
        "limits": {"per_user": 2, "per_address": []},
    }
    with (
        scripted(FIRST, imap_store, orderly),
        scripted(FIRST, pop3_store, pop3),
        run_proxy(imap_store, ONE_STORE, **changes) as proxy,
    ):
        assert admitted([come(held, proxy)])
        by_pop3 = [come(held, proxy, tls="none") for _ in range(2)]
        answers = []
        for client in by_pop3:
            client.line()
            for command in (b"USER " + ALICE.user.encode(), b"PASS " + ALICE.password):
                client.send(command + b"\r\n")
                answers.append(client.line())
        assert answers[1].startswith(b"+OK")
        assert answers[3].startswith(b"-ERR [SYS/TEMP]")
        assert log_in(come(held, proxy)).startswith(b"a NO [LIMIT]")
        assert log_in(come(held, proxy), BOB).startswith(b"a OK")
        assert 'result=too-many-sessions reason="limit: per_user"' in proxy.log()


def test_when_all_sessions_are_taken_the_oldest_that_is_not_logged_in_makes_room(run, held):
    with run(workers=1, limits={"sessions": 3, "per_address": []}) as proxy:
        proxy.logged(" serving ")
        oldest, second = come(held, proxy), come(held, proxy)
        for client in (oldest, second):
            assert client.line().startswith(b"* OK")
        assert admitted([come(held, proxy)])
        newcomer = come(held, proxy)
        assert newcomer.line().startswith(b"* OK")
        assert b"* BYE" in oldest.rest()
        assert admitted([second, newcomer]) == [second, newcomer]
        assert come(held, proxy).line().startswith(b"* BYE [LIMIT]")


def test_connections_a_minute_are_counted_over_workers(run, held):
    with run(limits={"connections_per_minute": 5, "per_address": []}) as proxy:
        both_work(proxy)
        assert len(admitted(come(held, proxy) for _ in range(12))) == 5
        assert admitted([come(held, proxy, "127.0.0.7")])
        assert proxy.log().count("result=rate-exceeded") == 7


def test_a_guess_at_any_worker_slows_the_next_and_nobody_elsewhere(run, held):
    with run(throttle={"penalty": "1s"}) as proxy:
        both_work(proxy)
        began = time.monotonic()
        for number in range(1, 5):  # without the throttle, these take milliseconds
            guess(held, proxy, b"wrong-%d" % number)
            proxy.logged(" badguy ", f"badness={number}.0")
        assert time.monotonic() - began >= 1 + 2 + 3
        assert log_in(come(held, proxy, "127.0.0.7")).startswith(b"a OK")


def test_a_throttle_that_is_only_observed_tells_what_it_would_do_and_does_nothing(run, ports, held):
    with run(
        throttle={"mode": "observe", "penalty": "1m", "ban_after": 2}, admin={"http": f"127.0.0.1:{ports.free()}"}
    ) as proxy:
        for number in range(3):
            guess(held, proxy, b"wrong-%d" % number)
            proxy.logged(" badguy ", f"failures={number + 1}")
        assert log_in(come(held, proxy)).startswith(b"a OK")
        proxy.logged(" badguy ", "result=observed", "seconds=60.0")
        proxy.logged(" ban ", "result=observed", "network=127.0.0.1/32")
        until(lambda: samples(proxy).get("mmp_throttle_delays_observed_total") == 3, "all are counted")
        assert "mmp_throttle_delays_total" not in samples(proxy)


def test_a_login_that_is_held_back_longer_than_its_deadline_still_succeeds(run, held):
    with run(login=PLAIN | {"deadline": "1s"}, throttle={"penalty": "3s"}) as proxy:
        guess(held, proxy, b"wrong")
        proxy.logged(" badguy ")
        began = time.monotonic()
        assert log_in(come(held, proxy)).startswith(b"a OK")
        assert time.monotonic() - began >= 3


def test_a_supervisor_that_is_stopped_holds_nobody_up_and_learns_what_happened(run, held):
    with run(workers=1, limits=per_address(3)) as proxy:
        proxy.logged(" serving ")
        assert admitted([come(held, proxy)])
        proxy.process.send_signal(signal.SIGSTOP)
        try:
            assert len(admitted(come(held, proxy) for _ in range(5))) == 3  # of its own counting
        finally:
            proxy.process.send_signal(signal.SIGCONT)
        proxy.logged(" shared ", "result=rejoined", "leases=3")
        assert proxy.log().count(" shared ") == 2
        assert not admitted([come(held, proxy)])


def test_a_store_that_is_away_makes_nobody_bad(run, run_proxy, ports, held):
    with run_proxy(ports.free(), ONE_STORE, **TWO, throttle={"penalty": "1m"}) as proxy:
        for _ in range(3):
            assert log_in(come(held, proxy)).startswith(b"a NO [UNAVAILABLE]")
        assert " badguy " not in proxy.log()


def test_both_legs_of_a_session_are_kept_alive_by_tcp(run, held):
    with run(workers=1) as proxy:
        assert admitted([come(held, proxy)])
        store = proxy.settings["backend"]["imap"]["port"]
        # of each connection one end is the proxy's
        until(
            lambda: [sum(processes.kept_alive(port)) for port in (proxy.port("starttls"), store)] == [1, 1], "both are"
        )
