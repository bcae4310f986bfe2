"""Access tokens, which a real store has an identity provider judge, and what clients hear of its reasons."""

import json
from base64 import b64decode, b64encode
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from attrs import fields

from mmp.model import Service
from tests.integration.client import connected
from tests.integration.dovecot import Dovecot, dovecot
from tests.integration.people import ALICE, PASSWORDS

ADDRESS = "127.0.0.16"
GOOD, STOLEN = b"ya29.g00d-Token", b"ya29.st0len-Token"
FORMS = {
    "XOAUTH2": (b"user=%b\x01auth=Bearer %b\x01\x01", b""),
    "OAUTHBEARER": (b"n,a=%b,\x01host=localhost\x01port=143\x01auth=Bearer %b\x01\x01", b"\x01"),
}
"""What is said of a user and a token, and what is said to the error that the answer may be (RFC 7628, 3.2.3)."""
WORDS = {
    Service.IMAP: (b"a AUTHENTICATE %b %b\r\n", b"a OK", b"a NO [AUTHENTICATIONFAILED]"),
    Service.POP3: (b"AUTH %b %b\r\n", b"+OK", b"-ERR [AUTH]"),
    Service.MANAGESIEVE: (b'AUTHENTICATE "%b" "%b"\r\n', b"OK", b"NO"),
}


class IdentityProvider(BaseHTTPRequestHandler):
    """Knows one token."""

    def do_GET(self):
        (token,) = parse_qs(urlsplit(self.path).query)["token"]
        is_good = token == GOOD.decode()
        answer = json.dumps({"username": ALICE.name} if is_good else {"error": "invalid_token"}).encode()
        self.send_response(200 if is_good else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Keep quiet."""


@contextmanager
def identity_provider(port):
    with ThreadingHTTPServer(("127.0.0.1", port), IdentityProvider) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{port}/tokeninfo?token="
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def proxy(run_proxy, ports, certificates):
    """A proxy before a store that takes tokens, in every protocol that it speaks."""
    chosen = {each.name: ports.free() for each in fields(Dovecot) if each.type is int}
    listeners = [
        {"service": service.value, "address": "127.0.0.1", "port": ports.free(), "tls": "implicit"} for service in WORDS
    ]
    backend = {"pop3": {"port": chosen["pop3_port"]}, "managesieve": {"port": chosen["sieve_port"]}}
    login = {"verify": "directory", "mechanisms": list(FORMS), "max_failures": 10}
    with (
        identity_provider(ports.free()) as url,
        dovecot(ADDRESS, pair=certificates.issue(ADDRESS), passwords=PASSWORDS, tokeninfo=url, **chosen),
        run_proxy(chosen["port"], {ALICE.user: ADDRESS}, listener=listeners, backend=backend, login=login) as proxy,
    ):
        yield proxy
        assert "Token" not in proxy.log()


class Visit:
    """A client that logs in by tokens."""

    def __init__(self, client, service):
        self.client = client
        self.service = service
        while not client.line().startswith((b"* OK", b"+OK", b"OK")):  # the greeting, of any service
            pass

    def log_in(self, mechanism, user, token):
        """Say a token; return the error that was told, None if none was, and the last line."""
        form, dummy = FORMS[mechanism]
        self.client.send(WORDS[self.service][0] % (mechanism.encode(), b64encode(form % (user, token))))
        line = self._answer()
        error = self._error(line)
        if error is None:
            return None, line
        said = b64encode(dummy)
        self.client.send(b'"%b"\r\n' % said if self.service is Service.MANAGESIEVE else said + b"\r\n")
        return json.loads(b64decode(error)), self._answer()

    def _answer(self):
        line = self.client.line()
        if self.service is Service.MANAGESIEVE and line.startswith(b"{"):
            return b'"' + self.client.line() + b'"'
        return line

    def _error(self, line):
        if self.service is Service.MANAGESIEVE:
            return line.strip(b'"') if line.startswith(b'"') else None
        return line.removeprefix(b"+ ") if line.startswith(b"+ ") else None


@pytest.mark.parametrize("mechanism", FORMS)
@pytest.mark.parametrize("service", WORDS)
def test_a_token_logs_in_and_another_is_refused_with_the_stores_reason_first(proxy, certificates, service, mechanism):
    _, agreed, refused = WORDS[service]
    with connected("127.0.0.1", proxy.port("implicit", service=service.value), certificates.ca, False) as client:
        visit = Visit(client, service)
        for user, token in ((ALICE.user.encode(), STOLEN), (ALICE.user.encode(), b"x")):
            error, line = visit.log_in(mechanism, user, token)
            assert error["status"] in {"invalid_token", "401"}
            assert line.startswith(refused), line
        error, line = visit.log_in(mechanism, ALICE.user.encode(), GOOD)
        assert error is None
        assert line.startswith(agreed), line
    proxy.logged(" login result=ok ", f"service={service.value}", f"mechanism={mechanism}", f"user={ALICE.user}")
