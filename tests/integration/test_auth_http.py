"""Users of an authentication server as nginx has it, played by the test, with real stores."""

import http.client
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.integration.client import connected
from tests.integration.commands import mmp_json
from tests.integration.people import ALICE, BOB, FIRST


class Responder(BaseHTTPRequestHandler):
    """Answers by what it is asked, and remembers it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(dict(self.headers))
        self.send_response(200)
        for name, value in self.server.answer(self.headers):
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def responding(answer, port=0):
    """Run such a server; ``answer`` makes the fields of an answer from those of a question."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Responder)
    server.daemon_threads, server.answer, server.asked = True, answer, []
    server.url = f"http://127.0.0.1:{server.server_port}/auth"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asking(url):
    return {"directory": {"kind": "auth_http", "auth_http": {"url": url, "timeout": "2s"}}}


def found(store, port, **more):
    fields = {"Auth-Status": "OK", "Auth-Server": store, "Auth-Port": str(port), **more}
    return lambda _: fields.items()


def log_in(proxy, certificates, user, password):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        said = client.command(b"a LOGIN %b %b" % (user, password))[-1]
        if said.startswith(b"a OK"):
            assert client.command(b'b LIST "" *')[-1].startswith(b"b OK")
        return said


def status_and_readiness(proxy):
    """Return whether ``mmp status`` finds the directory up, and the status of /readyz."""
    with closing(http.client.HTTPConnection(proxy.settings["admin"]["http"], timeout=30)) as connection:
        connection.request("GET", "/readyz")
        return mmp_json(proxy, "status")["directory"]["up"], connection.getresponse().status


def test_users_reach_the_store_and_port_that_the_server_tells(run_proxy, stores, certificates):
    def answer(asked):
        person = {each.user: each for each in (ALICE, BOB)}.get(asked["Auth-User"])
        if person is None or asked["Auth-Pass"].encode() != person.password:
            return [("Auth-Status", "Invalid login or password")]
        return found(person.store, stores.port, **{"Auth-User": person.name})(asked)

    nowhere = 1  # the usual port, where no store is
    with responding(answer) as server, run_proxy(nowhere, **asking(server.url)) as proxy:
        for person in (ALICE, BOB):
            assert log_in(proxy, certificates, person.user.encode(), person.password).startswith(b"a OK")
            assert log_in(proxy, certificates, person.user.encode(), b"wrong").startswith(
                b"a NO [AUTHENTICATIONFAILED]"
            )
        proxy.logged("login", "result=bad-credentials", "Invalid login or password")
    assert {asked["Auth-Protocol"] for asked in server.asked} == {"imap"}
    assert {asked["Client-IP"] for asked in server.asked} == {"127.0.0.1"}


def test_the_store_is_told_another_password(run_proxy, stores, certificates):
    told = {"Auth-User": ALICE.name, "Auth-Pass": ALICE.password.decode()}
    with (
        responding(found(ALICE.store, stores.port, **told)) as server,
        run_proxy(stores.port, **asking(server.url)) as proxy,
    ):
        assert log_in(proxy, certificates, b"whoever", b"token").startswith(b"a OK")


@pytest.mark.parametrize(
    "answer",
    [
        found(FIRST, "0"),
        found("store one", 143),
        found(f"{FIRST}/x", 143),
    ],
)
def test_a_store_that_makes_no_sense_is_an_outage(run_proxy, stores, certificates, answer):
    with responding(answer) as server, run_proxy(stores.port, **asking(server.url)) as proxy:
        assert log_in(proxy, certificates, b"alice", b"x").startswith(b"a NO [UNAVAILABLE]")


def test_a_store_outside_the_allowed_networks_is_not_reached(run_proxy, stores, certificates):
    told = {"Auth-User": ALICE.name}
    with (
        responding(found(ALICE.store, stores.port, **told)) as server,
        run_proxy(stores.port, **asking(server.url), backend={"networks": ["192.0.2.0/24"]}) as proxy,
    ):
        assert log_in(proxy, certificates, b"alice", ALICE.password).startswith(b"a NO [UNAVAILABLE]")


def test_a_server_that_is_away_is_an_outage_until_it_is_back(run_proxy, stores, ports, certificates):
    told, monitoring = {"Auth-User": ALICE.name}, {"http": f"127.0.0.1:{ports.free()}"}
    port = ports.free()
    with run_proxy(stores.port, **asking(f"http://127.0.0.1:{port}/auth"), admin=monitoring) as proxy:
        assert log_in(proxy, certificates, b"alice", b"x").startswith(b"a NO [UNAVAILABLE]")
        proxy.logged("login", "result=directory-unavailable")
        proxy.logged(" directory ", "result=down", f"url=http://127.0.0.1:{port} ")
        assert status_and_readiness(proxy) == (False, 503)
        with responding(found(ALICE.store, stores.port, **told), port):
            assert log_in(proxy, certificates, b"alice", ALICE.password).startswith(b"a OK")
            proxy.logged(" directory ", "result=up")
            assert status_and_readiness(proxy) == (True, 200)
