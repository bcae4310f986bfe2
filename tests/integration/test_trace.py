"""``mmp trace``: what a user's sessions say over two workers, and that no secret is in it."""

import json
import os
import signal
import socket
import subprocess
import threading
from base64 import b64encode
from contextlib import ExitStack, contextmanager

import pytest

from tests.integration.client import connected
from tests.integration.commands import MMP, mmp
from tests.integration.people import ALICE, BOB, FIRST, ODD, SECOND, secrets
from tests.integration.proxy import CHECKOUT, environment
from tests.integration.rapid import rapid_store
from tests.integration.scripted import scripted
from tests.integration.waiting import until


@pytest.fixture(scope="module")
def proxy(run_proxy, ports):
    """A proxy of two workers before stores that let everybody in."""
    port = ports.free()
    login = {"restrict_plain_passwords": False}
    with rapid_store(FIRST, port), rapid_store(SECOND, port), run_proxy(port, workers=2, login=login) as proxy:
        proxy.logged(" serving ", "workers=2")
        yield proxy


def parrot(client):
    """Be a store that lets nobody in, and repeats what it has heard."""
    client.send(b"* OK [CAPABILITY IMAP4rev1] ready\r\n")
    while True:
        tag, _, command = client.line().partition(b" ")
        client.send(b"* NO " + command + b"\r\n" + tag + b" NO [SERVERBUG] " + command + b"\r\n")


@pytest.fixture(scope="module")
def before_parrot(run_proxy, ports):
    """A proxy before such a store."""
    port = ports.free()
    login = {"restrict_plain_passwords": False}
    with scripted(FIRST, port, parrot), run_proxy(port, workers=2, login=login) as proxy:
        proxy.logged(" serving ", "workers=2")
        yield proxy


class Trace:
    """A command that runs, and what it has printed."""

    def __init__(self, process):
        self.process = process
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def seen(self, *words):
        """Wait for a line with all of these words in it."""
        until(lambda: any(all(word in line for word in words) for line in tuple(self.lines)), f"{words} is seen")

    def ended(self):
        """Wait until it has ended by itself; return all it has printed, and its status."""
        status = self.process.wait(30)
        self._reader.join()
        return "".join(self.lines), status


@contextmanager
def traced(proxy, *arguments):
    """Follow a user; end that as an operator does."""
    process = subprocess.Popen(
        [*MMP, "trace", *arguments, "--config", str(proxy.configuration)],
        cwd=CHECKOUT,
        env=environment(""),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr.readline().startswith("following over ")  # one that is late is asked once more
        yield Trace(process)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        process.stderr.close()
        process.stdout.close()


@contextmanager
def open_session(proxy):
    with connected("127.0.0.1", proxy.port("starttls")) as client:
        yield client


def log_in(client, person):
    return client.command(b"a LOGIN %b %b" % (person.user.encode(), person.password))[-1]


def test_a_session_is_shown_from_its_greeting_to_its_end_on_both_legs(proxy):
    with traced(proxy, ALICE.user) as trace:
        with open_session(proxy) as client:
            assert log_in(client, ALICE).startswith(b"a OK")
            client.command(b"b NOOP")
        for words in (
            ("proxy to client: * OK [CAPABILITY ",),
            ("client to proxy: LOGIN ***",),
            ("store to proxy: * OK [CAPABILITY ",),
            ("proxy to store: m1 ", " ***"),
            ("event: backend result=connected", FIRST),
            ("event: login result=ok",),
            ("proxy to client: TAG OK",),
            ("client to store: 8 octets",),
            ("store to client: ", " octets"),
            ("event: closed", "bytes_in=8", "who=client"),
        ):
            trace.seen(*words)
    assert not [secret for secret in secrets() if secret in "".join(trace.lines)]


def test_sessions_of_both_workers_are_shown_and_no_other_users(proxy):
    with traced(proxy, ALICE.user, "--json") as trace:
        workers = set()

        def followed_over_both():
            with open_session(proxy) as client, open_session(proxy) as other:
                log_in(client, ALICE)
                log_in(other, BOB)
            workers.update(json.loads(line)["worker"] for line in tuple(trace.lines))
            return workers == proxy.workers()

        until(followed_over_both, "both workers are seen")
        entries = [json.loads(line) for line in trace.lines]
        assert entries[0].keys() == {"at", "session", "worker", "service", "from", "to", "text"}
        assert not [entry for entry in entries if SECOND in entry["text"]]


def test_no_way_to_say_a_password_makes_it_seen(before_parrot):
    proxy = before_parrot
    response = b64encode(b"\0" + ALICE.user.encode() + b"\0hunter2-b")
    with traced(proxy, ALICE.user) as trace, open_session(proxy) as client:
        client.send(b"a LOGIN {%d}\r\n" % len(ALICE.user))
        client.line()
        client.send(ALICE.user.encode() + b" {9}\r\n")
        client.line()
        client.send(b"hunter")
        client.send(b"2-a\r\nb AUTHENTICATE PLAIN\r\n" + response + b"\r\nhunter2-d hunter2-e\r\nc LOG")
        client.send(b"IN " + ALICE.user.encode() + b" hunter2-c\r\n")
        client.rest()
        trace.seen("event: closed")
    text = "".join(trace.lines)
    assert text.count("client to proxy: LOGIN ***") == 2
    assert "AUTHENTICATE PLAIN" in text
    assert "hunter2" not in text
    assert response.decode() not in text


def test_a_store_that_repeats_the_password_is_not_quoted(before_parrot):
    with traced(before_parrot, ODD.user) as trace, open_session(before_parrot) as client:
        client.command(b'a LOGIN %b "odd \\"quoted\\" \\\\back\\\\ {5} %%U *"' % ODD.user.encode())
        trace.seen("store to proxy", "NO [SERVERBUG]")
        trace.seen("event: login")
    assert "quoted" not in "".join(trace.lines)


def test_it_ends_after_so_many_sessions(proxy):
    with traced(proxy, ALICE.user, "--sessions", "2") as trace:
        for _ in range(2):
            with open_session(proxy) as client:
                log_in(client, ALICE)
        text, status = trace.ended()
    assert status == 0
    assert text.count("event: closed") == 2


def test_it_ends_after_its_time_and_says_if_nobody_came(proxy):
    assert "following over " in mmp(proxy, "trace", "nobody", "--for", "200ms", status=1)


def test_the_log_tells_who_has_traced_whom(proxy):
    with traced(proxy, "somebody", "--for", "5m"):
        proxy.logged(" trace ", "result=begun", "user=somebody", "seconds=300.0", f"by={os.getuid()}")
    proxy.logged(" trace ", "result=ended", "user=somebody", f"by={os.getuid()}")


def test_a_worker_that_comes_meanwhile_is_followed_too(proxy):
    with traced(proxy, BOB.user, "--json") as trace:
        before = proxy.workers()
        mmp(proxy, "reload")
        until(lambda: not proxy.workers() & before, "the old workers are gone")

        def followed():
            with open_session(proxy) as client:
                log_in(client, BOB)
            return any(json.loads(line)["worker"] in proxy.workers() for line in tuple(trace.lines))

        until(followed, "a new worker's session is seen")


def test_no_more_than_a_few_can_trace_at_a_time(proxy):
    with ExitStack() as held:
        for _ in range(8):
            answer = held.enter_context(_asked(proxy))
            assert json.loads(answer.readline())[0].keys() == {"workers"}
        assert json.loads(held.enter_context(_asked(proxy)).readline()) == {"error": "8 users are traced already"}
    until(lambda: "following" in mmp(proxy, "trace", "another", "--for", "1ms", status=1), "there is room again")


@contextmanager
def _asked(proxy):
    """Ask the proxy for a trace, and go away once that is read."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(proxy.directory / "control.sock"))
        connection.sendall(b'{"command": "trace", "user": "somebody", "seconds": 60}\n')
        with connection.makefile("rb") as answer:
            yield answer
