"""ManageSieve from client to store: every form of login, what is offered when, and what a refusal becomes."""

import socket
from base64 import b64encode
from contextlib import contextmanager

import pytest
from sievelib.managesieve import Client as SieveClient

from tests.integration.client import Client, connected
from tests.integration.people import ALICE, BOB, FIRST, LATIN, LOST, ODD
from tests.integration.scripted import scripted

SCRIPT = 'require ["fileinto"];\r\nfileinto "folder";\r\n'


@pytest.fixture(scope="module")
def run_sieve_proxy(run_proxy, ports):
    """Runs a proxy for ManageSieve before stores at this port; keywords are of [backend.managesieve]."""

    def run(store_port, **backend):
        listeners = [
            {"service": "managesieve", "address": "127.0.0.1", "port": ports.free(), "tls": tls}
            for tls in ("starttls", "implicit")
        ]
        changes = {"managesieve": {"port": store_port} | backend}
        return run_proxy(store_port, listener=listeners, backend=changes)

    return run


@pytest.fixture(scope="module")
def proxy(run_sieve_proxy, stores):
    """A proxy before the two stores."""
    with run_sieve_proxy(stores.first.sieve_port) as proxy:
        yield proxy


def answer(client):
    """Return the lines of a response up to its status."""
    lines = [client.line()]
    while not lines[-1].startswith((b"OK", b"NO", b"BYE")):
        lines.append(client.line())
    return lines


def said(client, command):
    """Say a command, and return the lines of the answer."""
    client.send(command + b"\r\n")
    return answer(client)


@contextmanager
def speaking(proxy, certificates, tls="implicit"):
    """Connect and read the greeting."""
    ca = certificates.ca if tls == "implicit" else None
    with connected("127.0.0.1", proxy.port(tls), ca, greeting=False) as client:
        assert answer(client)[-1] == b'OK "proxy.example.com ready"'
        yield client


def quoted(person):
    return [b'AUTHENTICATE "PLAIN" "%b"' % person.sasl_plain]


def literal(person):
    return [b'AUTHENTICATE "PLAIN" {%d+}\r\n%b' % (len(person.sasl_plain), person.sasl_plain)]


def quoted_in_an_exchange(person):
    return [b'AUTHENTICATE "PLAIN"', b'"%b"' % person.sasl_plain]


def literal_in_an_exchange(person):
    return [b'AUTHENTICATE "PLAIN"', b"{%d+}\r\n%b" % (len(person.sasl_plain), person.sasl_plain)]


def log_in(client, lines):
    """Say the lines of a login; return the last line of the answer."""
    for line in lines[:-1]:
        client.send(line + b"\r\n")
        assert client.line() == b'""'
    return said(client, lines[-1])[-1]


@pytest.mark.parametrize("form", [quoted, literal, quoted_in_an_exchange, literal_in_an_exchange])
@pytest.mark.parametrize("person", [ALICE, BOB, ODD, LATIN])
def test_every_form_of_login_reaches_the_store_of_the_user(proxy, certificates, form, person):
    start = len(proxy.log())
    with speaking(proxy, certificates) as client:
        assert log_in(client, form(person)).startswith(b"OK")
        assert said(client, b"LISTSCRIPTS")[-1].startswith(b"OK")
        assert said(client, b"LOGOUT")[-1].startswith(b"OK")
    assert f"backend={person.store}" in proxy.logged("closed", "service=managesieve", person.user, after=start)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_sievelib_puts_gets_and_deletes_a_script(proxy, certificates, monkeypatch, tls, mechanism):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    client = SieveClient("localhost", proxy.port(tls))
    way = {"starttls": tls == "starttls", "ssl": tls == "implicit"}
    assert client.connect(BOB.user, BOB.password.decode(), authmech=mechanism, **way)
    assert client.putscript("script", SCRIPT)
    assert client.listscripts()[1] == ["script"]
    assert client.getscript("script").splitlines() == SCRIPT.splitlines()
    assert client.deletescript("script")
    client.logout()


def test_without_tls_a_password_is_refused(proxy, certificates):
    with connected("127.0.0.1", proxy.port("starttls"), greeting=False) as client:
        greeting = answer(client)
        assert {b'"SASL" ""', b'"STARTTLS"', b'"VERSION" "1.0"'} <= set(greeting)
        assert said(client, b"CAPABILITY")[:-1] == greeting[:-1]
        assert log_in(client, quoted(ALICE)).startswith(b"NO (ENCRYPT-NEEDED) ")
        assert said(client, b"STARTTLS")[-1].startswith(b"OK")
        client.start_tls(certificates.ca)
        renewed = answer(client)
        assert any(line.startswith(b'"SASL" "PLAIN') for line in renewed)
        assert b'"STARTTLS"' not in renewed
        assert log_in(client, quoted(ALICE)).startswith(b"OK")
        assert any(line.startswith(b'"SIEVE" "fileinto') for line in said(client, b"CAPABILITY"))


def test_bytes_behind_starttls_are_never_run(proxy):
    with connected("127.0.0.1", proxy.port("starttls"), greeting=False) as client:
        answer(client)
        client.send(b"STARTTLS\r\nCAPABILITY\r\n")
        assert client.rest() == b'BYE "Bytes behind STARTTLS"\r\n'


def test_commands_before_the_login(proxy, certificates):
    with speaking(proxy, certificates) as client:
        assert said(client, b'NOOP "tag"') == [b'OK (TAG "tag") "Done"']
        for command in (b"LISTSCRIPTS", b"UNAUTHENTICATE", b'AUTHENTICATE "XYZZY"'):
            assert said(client, command)[-1].startswith(b"NO ")
        assert said(client, b"LOGOUT")[-1].startswith(b"OK")
        assert client.rest() == b""


def test_commands_pipelined_behind_the_login_reach_the_store(proxy, certificates):
    with speaking(proxy, certificates) as client:
        client.send(quoted(ALICE)[0] + b"\r\nNOOP {6+}\r\nLOGOUT\r\nLOGOUT\r\n")
        heard = client.rest().split(b"\r\n")
        assert heard[0].startswith(b"OK ")
        assert heard[1].startswith(b"OK (TAG ")
        assert heard[-2].startswith(b"OK ")


def test_a_wrong_password_and_an_unknown_user_read_alike_and_too_many_end_it(proxy, certificates):
    with speaking(proxy, certificates) as client:
        heard = set()
        for user in (ALICE.user, "nobody@example.com"):
            response = b64encode(b"\0" + user.encode() + b"\0wrong")
            heard.add(log_in(client, [b'AUTHENTICATE "PLAIN" "%b"' % response]))
        assert heard == {b'NO "User name or password is wrong"'}
        client.send(b'AUTHENTICATE "PLAIN" "%b"\r\n' % response)
        assert client.rest() == b'NO "User name or password is wrong"\r\nBYE "Too many errors"\r\n'


def test_a_store_that_is_away_is_temporary_and_the_client_may_go_on(proxy, certificates):
    with speaking(proxy, certificates) as client:
        assert log_in(client, quoted(LOST)).startswith(b"NO (TRYLATER) ")
        assert log_in(client, quoted(ALICE)).startswith(b"OK")


def test_a_store_is_reached_by_starttls(run_sieve_proxy, stores, certificates):
    with (
        run_sieve_proxy(stores.first.sieve_port, tls="starttls", ca=str(certificates.ca)) as proxy,
        speaking(proxy, certificates) as client,
    ):
        assert log_in(client, quoted(ALICE)).startswith(b"OK")
        assert said(client, b"LISTSCRIPTS")[-1].startswith(b"OK")


@pytest.mark.parametrize("tls", ["none", "starttls"])
def test_the_store_is_told_who_came(run_sieve_proxy, stores, certificates, tls):
    with run_sieve_proxy(stores.first.sieve_port, tls=tls, ca=str(certificates.ca), client_address="xclient") as proxy:
        start = len(stores.first.log())
        with socket.create_connection(("127.0.0.1", proxy.port("implicit")), 30, ("127.0.0.78", 0)) as connection:
            client = Client(connection)
            client.start_tls(certificates.ca)
            answer(client)
            assert log_in(client, quoted(ALICE)).startswith(b"OK")
            client.connection.close()
    logins = [line for line in stores.first.log()[start:].splitlines() if "managesieve-login: Info: Login" in line]
    assert len(logins) == 1
    assert "rip=127.0.0.78" in logins[0]


GREETING = b'"IMPLEMENTATION" "x"\r\n"SIEVE" ""\r\n"SASL" "PLAIN"\r\nOK\r\n'


@pytest.mark.parametrize(
    ("reply", "heard"),
    [
        (b'NO "the internals"\r\n', b'NO "'),
        (b'NO (TRYLATER) "the internals"\r\n', b"NO (TRYLATER) "),
        (b'NO (LIMIT/CONNECTIONS) "the internals"\r\n', b"NO (TRYLATER) "),
        (b'NO (ENCRYPT-NEEDED) "the internals"\r\n', b"NO (ENCRYPT-NEEDED) "),
        (b'BYE "the internals"\r\n', b"NO (TRYLATER) "),
        (b'"bW9yZQ=="\r\n', b"NO (TRYLATER) "),
        (b"+OK the internals\r\n", b"NO (TRYLATER) "),
        (b"x" * 100_000, b"NO (TRYLATER) "),
    ],
)
def test_what_a_stores_refusal_means_reaches_the_client_and_its_words_do_not(
    run_sieve_proxy, ports, certificates, reply, heard
):
    def store(client):
        client.send(GREETING)
        client.line()
        client.send(reply)
        client.rest()

    port = ports.free()
    with scripted(FIRST, port, store), run_sieve_proxy(port) as proxy, speaking(proxy, certificates) as client:
        refused = log_in(client, quoted(ALICE))
        assert refused.startswith(heard)
        assert b"internals" not in refused
        assert said(client, b"NOOP")[-1].startswith(b"OK")


@pytest.mark.parametrize("capability", [b'"UNAUTHENTICATE"', b'"LANGUAGE" "en"'])
def test_unauthenticate_does_not_reach_a_store_that_has_it(run_sieve_proxy, ports, certificates, capability):
    port, heard = ports.free(), []
    listed = b'"SIEVE" ""\r\n"SASL" "PLAIN"\r\n' + capability + b"\r\nOK\r\n"

    def store(client):
        client.send(listed)
        while line := client.line():
            heard.append(line)
            client.send(listed if line == b"CAPABILITY" else b"OK\r\n")

    with scripted(FIRST, port, store), run_sieve_proxy(port) as proxy, speaking(proxy, certificates) as client:
        client.send(quoted(ALICE)[0] + b"\r\nNOOP\r\nUNAUTHENTICATE\r\nCAPABILITY\r\n")
        assert [answer(client)[-1][:2] for _ in range(2)] == [b"OK", b"OK"]
        refused, (*capabilities, _) = answer(client)[-1], answer(client)
        client.send(b"NOOP {16}\r\n")
        ended = answer(client)[-1]
    guarded = b"UNAUTHENTICATE" in capability
    assert refused == (b'NO "Not available here"' if guarded else b"OK")
    assert (capability in capabilities) is not guarded
    assert ended == (b'BYE "Unclear command"' if guarded else b"OK")
    assert heard[1:] == [
        b"NOOP",
        *([] if guarded else [b"UNAUTHENTICATE"]),
        b"CAPABILITY",
        *([] if guarded else [b"NOOP {16}"]),
    ]


@pytest.mark.parametrize(
    "octets", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 9000, b"x" * 300_000]
)
def test_what_is_no_managesieve_ends_the_connection(proxy, octets):
    with connected("127.0.0.1", proxy.port("starttls"), greeting=False) as client:
        answer(client)
        client.send(octets)
        assert client.rest().startswith(b"BYE ")
