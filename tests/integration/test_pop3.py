"""POP3 from client to store: every form of login, what is offered when, and what a refusal of a store becomes."""

import imaplib
import poplib
import re
import socket
import ssl
import subprocess
from base64 import b64encode
from contextlib import contextmanager

import pytest

from tests.integration.client import Client, connected
from tests.integration.people import ALICE, BOB, FIRST, LATIN, LOST, ODD
from tests.integration.scripted import scripted

MESSAGE = b"Subject: with dots\r\n\r\n.\r\n..two\r\nend\r\n"


def listeners(ports, **more):
    modes = {"starttls": ports.free(), "implicit": ports.free()}
    return [{"service": "pop3", "address": "127.0.0.1", "port": port, "tls": tls} | more for tls, port in modes.items()]


@pytest.fixture(scope="module")
def run_pop3_proxy(run_proxy, ports):
    """Runs a proxy for POP3 before stores at this port; keywords are of [backend.pop3], tables of the whole file."""

    def run(store_port, tables=None, **backend):
        changes = {"listener": listeners(ports), "backend": {"pop3": {"port": store_port} | backend}}
        return run_proxy(store_port, **changes | (tables or {}))

    return run


@pytest.fixture(scope="module")
def proxy(run_pop3_proxy, stores):
    """A proxy before the two stores."""
    with run_pop3_proxy(stores.first.pop3_port) as proxy:
        yield proxy


@contextmanager
def speaking(proxy, certificates, tls="implicit"):
    """Connect and read the greeting."""
    ca = certificates.ca if tls == "implicit" else None
    with connected("127.0.0.1", proxy.port(tls), ca, greeting=False) as client:
        assert client.line() == b"+OK proxy.example.com ready"
        yield client


def said(client, command):
    """Say a command, and return the one line of the answer."""
    client.send(command + b"\r\n")
    return client.line()


def listed(client, command):
    """Say a command, and return the lines of the answer behind its first."""
    assert said(client, command).startswith(b"+OK")
    return client.until(b".\r\n").split(b"\r\n")[:-2]


def user_and_pass(person):
    return [b"USER " + person.user.encode(), b"PASS " + person.password]


def plain(person):
    return [b"AUTH PLAIN", person.sasl_plain]


def plain_at_once(person):
    return [b"AUTH PLAIN " + person.sasl_plain]


def log_in(client, lines):
    """Say the lines of a login; return the last answer."""
    for line in lines[:-1]:
        assert said(client, line).startswith(b"+")
    return said(client, lines[-1])


def deliver(store, person, *messages):
    """Put messages into a user's inbox, past the proxy, in place of those that are there."""
    with imaplib.IMAP4(store.address, store.port) as client:
        client.login(person.name, person.password.decode())
        client.select()
        for number in client.search(None, "ALL")[1][0].split():
            client.store(number, "+FLAGS", "\\Deleted")
        client.expunge()
        for message in messages:
            client.append("INBOX", None, None, message)


@pytest.mark.parametrize("form", [user_and_pass, plain, plain_at_once])
@pytest.mark.parametrize("person", [ALICE, BOB, ODD, LATIN])
def test_every_form_of_login_reaches_the_store_of_the_user(proxy, certificates, form, person):
    start = len(proxy.log())
    with speaking(proxy, certificates) as client:
        assert log_in(client, form(person)).startswith(b"+OK")
        assert said(client, b"STAT").startswith(b"+OK ")
        assert said(client, b"QUIT").startswith(b"+OK")
    assert f"backend={person.store}" in proxy.logged("closed", "service=pop3", person.user, after=start)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_poplib_fetches_and_deletes(proxy, stores, certificates, tls):
    deliver(stores.first, ALICE, MESSAGE, b"Subject: other\r\n\r\n" + b"x" * 70 + b"\r\n")
    context = ssl.create_default_context(cafile=certificates.ca)
    if tls == "implicit":
        client = poplib.POP3_SSL("127.0.0.1", proxy.port(tls), context=context, timeout=30)
    else:
        client = poplib.POP3("127.0.0.1", proxy.port(tls), timeout=30)
        client.stls(context)
    client.user(ALICE.user)
    client.pass_(ALICE.password.decode())
    assert client.stat()[0] == 2
    assert b"\r\n".join(client.retr(1)[1]) + b"\r\n" == MESSAGE
    client.dele(1)
    client.quit()
    deliver(stores.first, ALICE)


def test_openssl_logs_in_over_stls(proxy, certificates):
    client = ["openssl", "s_client", "-connect", f"127.0.0.1:{proxy.port('starttls')}", "-starttls", "pop3", "-quiet"]
    trust = ["-CAfile", certificates.ca, "-verify_return_error", "-verify_hostname", "localhost"]
    with subprocess.Popen(
        [*client, *trust], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as running:
        running.stdin.write(b"\r\n".join([*user_and_pass(ALICE), b"STAT", b"QUIT", b""]))
        running.stdin.flush()
        heard = running.stdout.read()
    assert re.search(rb"\+OK Password required\r\n\+OK [^\r]*\r\n\+OK \d+ \d+\r\n\+OK ", heard)


def test_without_tls_a_password_is_refused_before_it_is_sent(proxy, certificates):
    with speaking(proxy, certificates, "starttls") as client:
        capabilities = listed(client, b"CAPA")
        assert capabilities[:2] == [b"RESP-CODES", b"AUTH-RESP-CODE"]
        assert capabilities[-1] == b"STLS"
        assert b"USER" not in capabilities
        for command in (b"USER alice", b"PASS x", b"AUTH PLAIN"):
            assert said(client, command).startswith(b"-ERR [SYS/PERM] ")
        assert said(client, b"STLS").startswith(b"+OK")
        client.start_tls(certificates.ca)
        assert b"USER" in listed(client, b"CAPA")
        assert said(client, b"STLS").startswith(b"-ERR")
        assert log_in(client, user_and_pass(ALICE)).startswith(b"+OK")


def test_bytes_behind_stls_are_never_run(proxy, certificates):
    with speaking(proxy, certificates, "starttls") as client:
        client.send(b"STLS\r\nCAPA\r\n")
        assert client.rest() == b"-ERR Bytes behind STLS\r\n"


def test_what_is_offered_before_the_login_is_ours_and_after_it_the_stores(run_pop3_proxy, stores, certificates):
    with run_pop3_proxy(stores.first.pop3_port) as proxy, speaking(proxy, certificates) as client:
        *capabilities, mechanisms = listed(client, b"CAPA")
        assert capabilities == [b"RESP-CODES", b"AUTH-RESP-CODE", b"USER"]
        assert mechanisms.startswith(b"SASL PLAIN LOGIN XOAUTH2")
        for command in (b"UTF8", b"LANG", b"STAT", b"TOP 1 0", b"APOP x " + b"0" * 32, b"AUTH XYZZY"):
            assert said(client, command).startswith(b"-ERR ")
        assert log_in(client, plain_at_once(ALICE)).startswith(b"+OK")
        stores_own = set(listed(client, b"CAPA"))
        assert {b"TOP", b"UIDL", b"PIPELINING"} <= stores_own
        with speaking(proxy, certificates) as another:
            capabilities = listed(another, b"CAPA")
        assert {b"TOP", b"UIDL", b"PIPELINING", b"USER"} <= set(capabilities)
        assert capabilities[-1] == b"SASL PLAIN LOGIN"  # what is passed through this store does not take


def test_commands_pipelined_behind_the_login_reach_the_store(proxy, certificates):
    with speaking(proxy, certificates) as client:
        client.send(b"\r\n".join([*user_and_pass(ALICE), b"STAT", b"NOOP", b"QUIT", b""]))
        answers = client.rest().split(b"\r\n")
        assert len(answers) == 6
        assert all(answer.startswith(b"+OK") for answer in answers[:5])


def test_a_wrong_password_and_an_unknown_user_read_alike(proxy, certificates):
    with speaking(proxy, certificates) as client:
        wrong_password = log_in(client, [b"USER " + ALICE.user.encode(), b"PASS wrong"])
        unknown_user = log_in(client, [b"USER nobody@example.com", b"PASS wrong"])
        assert wrong_password == unknown_user
        assert wrong_password.startswith(b"-ERR [AUTH] ")


def test_too_many_failures_end_the_connection(proxy, certificates):
    with speaking(proxy, certificates) as client:
        client.send(b"USER nobody@example.com\r\nPASS wrong\r\n" * 10)
        assert client.rest().count(b"-ERR [AUTH] ") == 3


def test_a_store_that_is_away_is_temporary_and_the_client_may_go_on(proxy, certificates):
    with speaking(proxy, certificates) as client:
        assert log_in(client, user_and_pass(LOST)).startswith(b"-ERR [SYS/TEMP] ")
        assert log_in(client, user_and_pass(ALICE)).startswith(b"+OK")


def test_a_directory_that_is_away_is_temporary_too(run_pop3_proxy, stores, ports, certificates):
    nobody_there = {"kind": "ldap", "ldap": {"urls": [f"ldap://127.0.0.1:{ports.free()}"], "timeout": "2s"}}
    with (
        run_pop3_proxy(stores.first.pop3_port, {"directory": nobody_there}) as proxy,
        speaking(proxy, certificates) as client,
    ):
        assert log_in(client, user_and_pass(ALICE)).startswith(b"-ERR [SYS/TEMP] ")


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_store_is_reached_by_tls(run_pop3_proxy, stores, certificates, tls):
    port = stores.first.pop3_port if tls == "starttls" else stores.first.pop3_tls_port
    with (
        run_pop3_proxy(port, tls=tls, ca=str(certificates.ca)) as proxy,
        speaking(proxy, certificates) as client,
    ):
        assert log_in(client, user_and_pass(ALICE)).startswith(b"+OK")
        assert said(client, b"STAT").startswith(b"+OK ")


@pytest.mark.parametrize("tls", ["none", "starttls"])
def test_the_store_is_told_who_came(run_pop3_proxy, stores, certificates, tls):
    with run_pop3_proxy(stores.first.pop3_port, tls=tls, ca=str(certificates.ca), client_address="xclient") as proxy:
        start = len(stores.first.log())
        source = ("127.0.0.77", 0)
        with socket.create_connection(("127.0.0.1", proxy.port("implicit")), 30, source) as connection:
            client = Client(connection)
            client.start_tls(certificates.ca)
            client.line()
            assert log_in(client, user_and_pass(ALICE)).startswith(b"+OK")
            client.connection.close()
    logins = [line for line in stores.first.log()[start:].splitlines() if "pop3-login: Info: Login" in line]
    assert len(logins) == 1
    assert "rip=127.0.0.77" in logins[0]


CAPABLE = b"+OK\r\nSASL PLAIN XOAUTH2\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n.\r\n"


def answering(answer):
    """Return a store that gives this answer to the login."""

    def store(client):
        client.send(b"+OK ready\r\n")
        assert client.line() == b"CAPA"
        client.send(CAPABLE)
        client.line()
        client.send(answer)
        client.rest()

    return store


@pytest.mark.parametrize(
    ("answer", "heard"),
    [
        (b"-ERR [AUTH] the internals of the store\r\n", b"-ERR [AUTH] "),
        (b"-ERR [SYS/TEMP] the internals of the store\r\n", b"-ERR [SYS/TEMP] "),
        (b"-ERR [SYS/PERM] the internals of the store\r\n", b"-ERR [SYS/PERM] "),
        (b"-ERR [IN-USE] the internals of the store\r\n", b"-ERR [IN-USE] "),
        (b"-ERR [LOGIN-DELAY] the internals of the store\r\n", b"-ERR [SYS/TEMP] "),
        (b"-ERR the internals of the store\r\n", b"-ERR [SYS/TEMP] "),
        (b"* OK the internals of the store\r\n", b"-ERR [SYS/TEMP] "),
        (b"+ bW9yZQ==\r\n", b"-ERR [SYS/TEMP] "),
        (b"x" * 100_000, b"-ERR [SYS/TEMP] "),
    ],
)
def test_the_code_of_a_stores_refusal_reaches_the_client_and_its_words_do_not(
    run_pop3_proxy, ports, certificates, answer, heard
):
    port = ports.free()
    with (
        scripted(FIRST, port, answering(answer)),
        run_pop3_proxy(port) as proxy,
        speaking(proxy, certificates) as client,
    ):
        refused = log_in(client, user_and_pass(ALICE))
        assert refused.startswith(heard)
        assert b"internals" not in refused
        assert said(client, b"NOOP").startswith(b"+OK")


def test_the_error_of_a_token_reaches_the_client_and_then_the_refusal(run_pop3_proxy, ports, certificates):
    responses = []

    def store(client):
        client.send(b"+OK ready\r\n")
        client.line()
        client.send(CAPABLE)
        assert client.line() == b"AUTH XOAUTH2 " + b64encode(b"user=alice\x01auth=Bearer token\x01\x01")
        client.send(b"+ eyJzdGF0dXMiOiI0MDEifQ==\r\n")
        responses.append(client.line())
        client.send(b"-ERR [AUTH] expired\r\n")
        client.rest()

    port = ports.free()
    with (
        scripted(FIRST, port, store),
        run_pop3_proxy(port, {"login": {"default_domain": "example.com", "mechanisms": ["XOAUTH2"]}}) as proxy,
        speaking(proxy, certificates) as client,
    ):
        response = b64encode(b"user=%b\x01auth=Bearer token\x01\x01" % ALICE.user.encode())
        assert said(client, b"AUTH XOAUTH2 " + response) == b"+ eyJzdGF0dXMiOiI0MDEifQ=="
        assert said(client, b"").startswith(b"-ERR [AUTH] ")
    assert responses == [b""]


def test_a_store_that_greets_with_an_error_is_temporarily_away(run_pop3_proxy, ports, certificates):
    def store(client):
        client.send(b"-ERR not now\r\n")
        client.rest()

    port = ports.free()
    with scripted(FIRST, port, store), run_pop3_proxy(port) as proxy, speaking(proxy, certificates) as client:
        assert log_in(client, user_and_pass(ALICE)).startswith(b"-ERR [SYS/TEMP] ")
        proxy.logged("backend", "result=failed", "not now")


def test_a_store_without_capabilities_gets_user_and_pass(run_pop3_proxy, ports, certificates):
    heard = []

    def store(client):
        client.send(b"+OK ready\r\n")
        for answer in (b"-ERR what\r\n", b"+OK\r\n", b"+OK 0 messages\r\n+OK already\r\n"):
            heard.append(client.line())
            client.send(answer)
        client.rest()

    port = ports.free()
    with scripted(FIRST, port, store), run_pop3_proxy(port) as proxy, speaking(proxy, certificates) as client:
        assert log_in(client, user_and_pass(ODD)) == b"+OK 0 messages"
        assert client.line() == b"+OK already"
    assert heard == [b"CAPA", b"USER odd", b"PASS " + ODD.password]


def test_a_notice_stands_in_for_a_store_that_is_away(run_pop3_proxy, stores, certificates, tmp_path):
    (tmp_path / "notice").write_text("Subject: Out of service\n\nPlease wait.\n")
    outage = {"outage": {"pop3_spoof": "message", "pop3_spoof_message": str(tmp_path / "notice")}}
    with run_pop3_proxy(stores.first.pop3_port, outage) as proxy:
        start = len(proxy.log())
        context = ssl.create_default_context(cafile=certificates.ca)
        client = poplib.POP3_SSL("127.0.0.1", proxy.port("implicit"), context=context, timeout=30)
        client.user(LOST.user)
        client.pass_("anything")
        assert client.stat()[0] == 1
        assert client.retr(1)[1] == [b"Subject: Out of service", b"", b"Please wait."]
        client.dele(1)
        client.quit()
        assert "backend=spoof" in proxy.logged("closed", LOST.user, after=start)
        with speaking(proxy, certificates) as client:
            assert log_in(client, [b"USER " + ALICE.user.encode(), b"PASS wrong"]).startswith(b"-ERR [AUTH] ")
            client.send(b"\r\n".join([*user_and_pass(LOST), b"STAT", b"QUIT", b""]))
            assert client.rest().split(b"\r\n")[2] == b"+OK 1 41"
            assert client.rest() == b""


def test_an_empty_maildrop_stands_in_for_a_store_that_is_away(run_pop3_proxy, stores, certificates):
    with (
        run_pop3_proxy(stores.first.pop3_port, {"outage": {"pop3_spoof": "empty"}}) as proxy,
        speaking(proxy, certificates) as client,
    ):
        assert log_in(client, plain_at_once(LOST)).startswith(b"+OK")
        assert said(client, b"STAT") == b"+OK 0 0"
        assert said(client, b"QUIT").startswith(b"+OK")
        assert client.rest() == b""


def test_an_empty_maildrop_stands_in_for_an_account_on_hold(run_pop3_proxy, stores, certificates, tmp_path):
    users = "".join(
        f'[users.{name}]\nmailHost = "{FIRST}"\nmailUserStatus = "{status}"\n'
        for name, status in (("held", "hold"), ("gone", "disabled"))
    )
    (tmp_path / "users.toml").write_text(users)
    settings = {
        "outage": {"pop3_spoof": "empty", "pop3_spoof_on_hold": True},
        "directory": {"kind": "file", "file": {"path": str(tmp_path / "users.toml")}},
    }
    with run_pop3_proxy(stores.first.pop3_port, settings) as proxy, speaking(proxy, certificates) as client:
        assert log_in(client, [b"USER gone", b"PASS secret"]).startswith(b"-ERR [AUTH] ")
        assert log_in(client, [b"USER held", b"PASS secret"]).startswith(b"+OK")
        assert said(client, b"STAT") == b"+OK 0 0"


@pytest.mark.parametrize(
    "octets", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 300, b"x" * 300_000]
)
def test_what_is_no_pop3_ends_the_connection(proxy, certificates, octets):
    with speaking(proxy, certificates, "starttls") as client:
        client.send(octets)
        assert client.rest().startswith(b"-ERR ")


def test_a_large_response_of_sasl_is_taken(proxy, certificates):
    with speaking(proxy, certificates) as client:
        response = b64encode(b"\0" + ALICE.user.encode() + b"\0" + b"x" * 40_000)
        assert said(client, b"AUTH PLAIN " + response).startswith(b"-ERR [")
        assert said(client, b"NOOP").startswith(b"+OK")
