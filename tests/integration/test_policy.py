"""A policy service beside a proxy: asked before each login, told after it."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.integration.client import connected
from tests.integration.ordinary import PLAIN
from tests.integration.people import ALICE, FIRST
from tests.integration.scripted import scripted
from tests.integration.test_limits import judging, log_in
from tests.integration.waiting import until


class Service(BaseHTTPRequestHandler):
    """Answers as its server wants it, and remembers what it was told."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.told.append((self.path, self.headers["Authorization"], body))
        answer = self.server.answer if "command=allow" in self.path else b'{"status": 0}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def serving(port):
    server = ThreadingHTTPServer(("127.0.0.1", port), Service)
    server.daemon_threads = True
    server.told, server.answer = [], b'{"status": 0, "msg": ""}'
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def run(run_proxy, ports, tmp_path):
    """Runs a proxy that asks at a port; keywords are of [policy]."""
    store = ports.free()
    for name in ("secret", "nonce"):
        (tmp_path / name).write_text(f"{name}\n")
        (tmp_path / name).chmod(0o600)

    def start(port, throttle=None, **policy):
        files = {"secret_file": str(tmp_path / "secret"), "nonce_file": str(tmp_path / "nonce")}
        settings = {"url": f"http://127.0.0.1:{port}/?a=b"} | files | policy
        return run_proxy(store, {ALICE.user: FIRST}, login=PLAIN, policy=settings, throttle=throttle or {})

    with scripted(FIRST, store, judging):
        yield start


def tried(proxy, certificates, password=None):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        return log_in(client, password=password)


def told(service, command):
    return [body for path, _, body in service.told if path.endswith(f"command={command}")]


def test_the_service_is_asked_before_and_told_after(run, ports, certificates):
    port = ports.free()
    with serving(port) as service, run(port) as proxy:
        assert tried(proxy, certificates).startswith(b"a OK")
        assert b"AUTHENTICATIONFAILED" in tried(proxy, certificates, b"wrong")
        until(lambda: len(told(service, "report")) == 2, "it is told")
        path, authorization, _ = service.told[0]
        assert path == "/?a=b&command=allow"
        assert authorization == "Basic " + base64.b64encode(b"wforce:secret").decode()
        digest = hashlib.sha256(b"nonce" + ALICE.user.encode() + b"\0" + ALICE.password).hexdigest()
        first = told(service, "allow")[0]
        assert first.pop("session_id")
        expected = {
            "login": ALICE.user,
            "pwhash": "0" + digest[:3],
            "remote": "127.0.0.1",
            "protocol": "imap",
            "tls": True,
        }
        assert first == expected
        assert sorted(each["success"] for each in told(service, "report")) == [False, True]


def test_whom_the_service_refuses_the_store_never_sees_and_whom_it_delays_gets_in(run, ports, certificates):
    port = ports.free()
    with serving(port) as service, run(port) as proxy:
        service.answer = b'{"status": -1, "msg": "go away"}'
        assert b"AUTHENTICATIONFAILED" in tried(proxy, certificates)
        proxy.logged("login", "result=policy-refused", "policy: ", "go away")
        until(lambda: [each["policy_reject"] for each in told(service, "report")] == [True], "it is told")
        service.answer = b'{"status": 1}'
        assert tried(proxy, certificates).startswith(b"a OK")


def test_what_the_service_refuses_makes_nobody_bad_unless_it_says_so(run, ports, certificates):
    port = ports.free()
    with serving(port) as service, run(port, throttle={"ban_after": 2, "penalty": "0s"}) as proxy:
        service.answer = b'{"status": -1, "msg": ""}'
        answers = {tried(proxy, certificates, b"guess%d" % number) for number in range(4)}
        service.answer = b'{"status": -1, "msg": "", "r_attrs": {"failure": "1"}}'
        for number in range(2):
            answers.add(tried(proxy, certificates, b"guess%d" % number))
        assert answers == {b"a NO [AUTHENTICATIONFAILED] User name or password is wrong"}
        proxy.logged(" ban ", "result=banned", "2 failures")
        assert proxy.log().count("result=policy-refused") == 4


@pytest.mark.parametrize("on_failure", ["allow", "refuse"])
def test_nobody_waits_longer_than_the_timeout_for_a_service_that_says_nothing(run, ports, certificates, on_failure):
    port = ports.free()
    with (
        scripted("127.0.0.1", port, lambda client: client.rest()),
        run(port, timeout="200ms", on_failure=on_failure) as proxy,
    ):
        wanted = {"allow": b"a OK", "refuse": b"a NO [UNAVAILABLE]"}
        assert tried(proxy, certificates).startswith(wanted[on_failure])
        proxy.logged(" policy ", "result=down")


@pytest.mark.parametrize("answer", [None, b"{}", b"[]", b"no JSON", b'{"status": "x"}', b"[" * 60_000])
def test_without_an_answer_logins_go_on_and_are_refused_for_now_where_that_is_wanted(run, ports, certificates, answer):
    port = ports.free()
    with serving(port if answer is not None else ports.free()) as service:
        service.answer = answer
        with run(port) as proxy:
            assert tried(proxy, certificates).startswith(b"a OK")
            proxy.logged(" policy ", "result=down")
        if answer is None:
            with run(port, on_failure="refuse") as proxy:
                assert b"UNAVAILABLE" in tried(proxy, certificates)
