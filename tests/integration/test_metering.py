"""Users who submit too much, over sessions in two workers, before a relay that takes everything."""

from contextlib import ExitStack

import pytest

from tests.integration.client import connected
from tests.integration.commands import mmp_json
from tests.integration.people import ALICE, BOB, FIRST
from tests.integration.scripted import scripted
from tests.integration.waiting import until


def relay(client):
    """Be a relay that accepts everything, and offers nobody any standing."""
    client.send(b"220 relay ESMTP\r\n")
    while line := client.line():
        verb = line[:4].upper()
        if verb == b"EHLO":
            client.send(b"250-relay\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n")
        elif verb == b"AUTH":
            client.send(b"235 2.7.0 ok\r\n")
        elif verb == b"DATA":
            client.send(b"354 go\r\n")
            while client.line() != b".":
                pass
            client.send(b"250 2.0.0 taken\r\n")
        elif b"<unknown@" in line:
            client.send(b"550 5.1.1 unknown\r\n")
        else:
            client.send(b"250 2.0.0 ok\r\n")


@pytest.fixture
def run(run_proxy, ports):
    """Runs a proxy with two workers and these limits before that relay."""
    port, listening = ports.free(), ports.free()
    listener = {"service": "submission", "address": "127.0.0.1", "port": listening, "tls": "implicit"}
    changes = {"workers": 2, "listener": [listener], "backend": {"submission": {"port": port}}}

    def start(**limits):
        http = f"127.0.0.1:{ports.free()}"
        return run_proxy(port, {ALICE.user: FIRST, BOB.user: FIRST}, limits=limits, admin={"http": http}, **changes)

    with scripted(FIRST, port, relay):
        yield start


def answers(client, commands, number):
    """Say commands in one go; return the codes of so many answers."""
    client.send(commands)
    return [client.line()[:9] for _ in range(number)]


@pytest.fixture
def log_in(certificates):
    """Logs people in; at the end, those sessions are closed."""
    with ExitStack() as held:

        def enter(proxy, person=ALICE):
            client = held.enter_context(connected("127.0.0.1", proxy.port("implicit"), certificates.ca, greeting=False))
            client.send(b"EHLO laptop.example.org\r\nAUTH PLAIN " + person.sasl_plain + b"\r\n")
            while not (line := client.line()).startswith(b"235 "):
                assert line.startswith((b"220 ", b"250"))
            return client

        yield enter


OK, NO = b"250 2.0.0", b"450 4.7.1"
MAIL = b"MAIL FROM:<alice@example.com>\r\n"


def recipients(*names):
    return b"".join(b"RCPT TO:<%b@example.com>\r\n" % name for name in names)


def in_both_workers(proxy, log_in):
    """Return sessions of which there is one in each worker at least."""
    until(lambda: len(proxy.workers()) == 2, "both workers run")
    sessions = []
    while len({each["worker"] for each in mmp_json(proxy, "who")}) < 2:
        sessions += [log_in(proxy) for _ in range(5)]  # to look takes longer than to log in
    return sessions


def test_what_a_user_submits_counts_over_workers_and_is_refused_in_its_place(run, log_in):
    with run(recipients_per_hour=3, messages_per_hour=100) as proxy:
        sessions = in_both_workers(proxy, log_in)
        pipelined = MAIL + recipients(b"a", b"unknown", b"b") + b"NOOP\r\n"
        assert answers(sessions[0], pipelined, 5) == [OK, OK, b"550 5.1.1", OK, OK]
        taken = [answers(each, b"RSET\r\n" + MAIL + recipients(b"c", b"d") + b"NOOP\r\n", 5) for each in sessions]
        assert [each[2:4] for each in taken] == [[OK, NO]] + [[NO, NO]] * (len(sessions) - 1)
        assert all(each[:2] + each[4:] == [OK] * 3 for each in taken)
        assert answers(log_in(proxy, BOB), MAIL + recipients(b"a"), 2) == [OK, OK]
        assert "user=alice" in proxy.logged("metered", "result=refused", 'reason="limit: recipients_per_hour"')


def test_a_message_too_many_is_refused_and_the_session_goes_on(run, log_in):
    with run(messages_per_hour=1) as proxy:
        client = log_in(proxy)
        assert answers(client, MAIL + recipients(b"a") + b"DATA\r\n", 3) == [OK, OK, b"354 go"]
        assert answers(client, b"Subject: x\r\n\r\n.\r\n", 1) == [OK]
        assert answers(client, MAIL + b"NOOP\r\n", 2) == [NO, OK]
