"""Who came is known at the end of a chain: load balancer, proxy, proxy, store; and nobody else may say so."""

import socket
from contextlib import contextmanager

import pytest
from attrs import fields

from mmp.model import Endpoint
from mmp.wire.proxy_header import LIMIT, Header, render_v1, render_v2
from tests.integration.client import Client, connected
from tests.integration.dovecot import Dovecot, dovecot
from tests.integration.haproxy import ADDRESS, haproxy, pem
from tests.integration.people import ALICE, MAIL_HOSTS
from tests.integration.waiting import until

SOURCE = "127.0.0.77"
LOG_IN = b"a LOGIN %b %b" % (ALICE.user.encode(), ALICE.password)
VERSIONS = ["proxy-v1", "proxy-v2"]
TLS_MODES = ["none", "starttls", "implicit"]


def log_in_from(port, ca=None, source=SOURCE, starttls=False):
    """Log alice in from that address, look at her mail and leave."""
    with connected("127.0.0.1", port, None if starttls else ca, source=source) as client:
        if starttls:
            assert client.command(b"t STARTTLS")[-1].startswith(b"t OK")
            client.start_tls(ca)
        said = client.command(LOG_IN)[-1]
        assert said.startswith(b"a OK"), said
        assert client.command(b'b LIST "" *')[-1].startswith(b"b OK")
        client.command(b"c LOGOUT")


def logins(store, after):
    """Wait for what the store's log tells of a login."""

    def found():
        return [line for line in store.log()[after:].splitlines() if "-login: Info: Login" in line]

    return until(found, "the store logs a login")


# Toward the store


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("tls", TLS_MODES)
def test_a_store_logs_the_client_that_the_proxy_tells_it_in_a_header(run_proxy, stores, certificates, version, tls):
    port = stores.first.header_tls_port if tls == "implicit" else stores.first.header_port
    reaching = {"port": port, "tls": tls, "ca": str(certificates.ca), "client_address": version}
    with run_proxy(port, backend={"imap": reaching}) as proxy:
        start = len(stores.first.log())
        log_in_from(proxy.port("implicit"), certificates.ca)
        (line,) = logins(stores.first, start)
        assert f"rip={SOURCE}, lip=127.0.0.1," in line


@pytest.mark.parametrize("version", VERSIONS)
def test_a_store_for_pop3_likewise(run_proxy, stores, ports, certificates, version):
    listener = {"service": "pop3", "address": "127.0.0.1", "port": ports.free(), "tls": "implicit"}
    reaching = {"port": stores.first.pop3_header_port, "client_address": version}
    with (
        run_proxy(0, listener=[listener], backend={"imap": {"port": 143}, "pop3": reaching}) as proxy,
        connected("127.0.0.1", proxy.port("implicit"), certificates.ca, greeting=False, source=SOURCE) as client,
    ):
        start = len(stores.first.log())
        assert client.line().startswith(b"+OK")
        for line in (b"USER " + ALICE.user.encode(), b"PASS " + ALICE.password):
            client.send(line + b"\r\n")
            assert client.line().startswith(b"+OK")
        (line,) = logins(stores.first, start)
        assert f"rip={SOURCE}," in line


# From a load balancer


def load_balanced(proxy, ports, version, names=("starttls", "implicit"), **more):
    """Return a load balancer's sections, and the ports where it serves what the proxy does on these listeners."""
    chosen = {tls: ports.free() for tls in names}
    sections = [
        {"port": port, "behind": proxy.port(tls), "server": f"send-{version} check inter 500"} | more
        for tls, port in chosen.items()
    ]
    return sections, chosen


@pytest.fixture(scope="module")
def introduced(run_proxy, stores, ports):
    """A proxy that wants to be told by the load balancer, and by nobody else, who came."""
    listeners = [
        {
            "service": "imap",
            "address": "127.0.0.1",
            "port": ports.free(),
            "tls": tls,
            "proxy_protocol_from": [f"{ADDRESS}/32", "::1"],
            "restrict_plain_passwords": tls != "none",
        }
        for tls in TLS_MODES
    ]
    with run_proxy(stores.port, listener=listeners) as proxy:
        yield proxy


@pytest.mark.parametrize("version", ["proxy", "proxy-v2"])
@pytest.mark.parametrize("tls", TLS_MODES)
def test_a_load_balancer_tells_who_came(introduced, ports, certificates, version, tls):
    sections, chosen = load_balanced(introduced, ports, version, [tls])
    with haproxy(*sections):
        start = len(introduced.log())
        log_in_from(chosen[tls], None if tls == "none" else certificates.ca, starttls=tls == "starttls")
        proxied = introduced.logged(" proxied ", f"client={SOURCE}:", f"via={ADDRESS}:", after=start)
        session = next(word for word in proxied.split() if word.startswith("session="))
        for event in ("connected", "login result=ok", "closed"):
            line = introduced.logged(f" {event} ", session, after=start)
            assert f"client={SOURCE}:" in line
            assert f"server=127.0.0.1:{chosen[tls]}" in line
            assert ADDRESS not in line
    assert " refused " not in introduced.log()[start:]  # nor at a health check


def test_a_load_balancer_that_ends_tls_tells_of_it_and_is_still_a_connection_in_clear(
    introduced, ports, certificates, pair, tmp_path
):
    both = pem(pair, tmp_path)
    tmp_path.chmod(0o755)
    sections, chosen = load_balanced(
        introduced, ports, "proxy-v2 proxy-v2-options ssl,ssl-cipher", ["none"], bind=f"ssl crt {both}"
    )
    with haproxy(*sections):
        start = len(introduced.log())
        log_in_from(chosen["none"], certificates.ca)
        introduced.logged(" proxied ", f"client={SOURCE}:", "front_tls=TLSv1.3", "front_cipher=TLS_", after=start)
        assert " tls=" not in introduced.logged(" login result=ok ", after=start)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("tls", TLS_MODES)
def test_a_proxy_before_a_proxy_passes_on_who_came(run_proxy, stores, certificates, introduced, version, tls):  # noqa: PLR0917 - fixtures and parameters
    reaching = {"port": introduced.port(tls), "tls": tls, "ca": str(certificates.ca), "client_address": version}
    hosts = dict.fromkeys(MAIL_HOSTS, "127.0.0.1")
    with run_proxy(0, hosts, backend={"source_address": ADDRESS, "imap": reaching}) as outer:
        start = len(introduced.log())
        log_in_from(outer.port("implicit"), certificates.ca)
        line = introduced.logged(" proxied ", f"client={SOURCE}:", f"via={ADDRESS}:", after=start)
        closed = outer.logged(" closed ")
        if version == "proxy-v2":
            session = next(word for word in closed.split() if word.startswith("session="))
            assert session.replace("session=", "unique_id=") in line
            assert ("front_tls=TLSv1.3" in line) == (tls != "starttls")
        assert f"client={SOURCE}:" in introduced.logged(" closed ", f"client={SOURCE}:", after=start)


CHAINED = "127.0.0.17"
WORDS = {
    "imap": (LOG_IN + b"\r\n", b"a OK"),
    "pop3": (b"USER %b\r\nPASS %b\r\n" % (ALICE.user.encode(), ALICE.password), b"+OK Logged in"),
    "managesieve": (b'AUTHENTICATE "PLAIN" "%b"\r\n' % ALICE.sasl_plain, b"OK"),
}


@pytest.fixture(scope="module")
def before_a_chain(run_proxy, stores, ports, certificates):
    """A proxy, behind which a Dovecot passes on to another what is said to it."""
    chosen = {each.name: ports.free() for each in fields(Dovecot) if each.type is int}
    listeners = [
        {"service": service, "address": "127.0.0.1", "port": ports.free(), "tls": "implicit"} for service in WORDS
    ]
    backend = {
        "imap": {"port": chosen["port"], "client_address": "id"},
        "pop3": {"port": chosen["pop3_port"], "client_address": "xclient"},
        "managesieve": {"port": chosen["sieve_port"], "client_address": "xclient"},
    }
    pair = certificates.issue(CHAINED)
    with (
        dovecot(CHAINED, pair=pair, passwords={}, store=stores.first, **chosen),
        run_proxy(chosen["port"], {ALICE.user: CHAINED}, listener=listeners, backend=backend) as proxy,
    ):
        yield proxy


@pytest.mark.parametrize("service", WORDS)
def test_the_store_at_the_end_of_a_chain_of_proxies_logs_the_client(before_a_chain, stores, certificates, service):
    start = len(stores.first.log())
    port = before_a_chain.port("implicit", service=service)
    with connected("127.0.0.1", port, certificates.ca, greeting=False, source=SOURCE) as client:
        said, agreed = WORDS[service]
        while not client.line().startswith((b"* OK", b"+OK", b"OK")):
            pass
        client.send(said)
        while not (line := client.line()).startswith(agreed):
            assert line.startswith((b"*", b"+OK")), line
        (line,) = logins(stores.first, start)
    assert f"rip={SOURCE}, lip=" in line
    assert f"{service}-login" in line


# Those who should not, or not so


CLAIM = Header(Endpoint("203.0.113.9", 4711), Endpoint("203.0.113.1", 143))


@contextmanager
def from_load_balancer(proxy, tls="starttls"):
    connection = socket.create_connection(("127.0.0.1", proxy.port(tls)), 30, (ADDRESS, 0))
    yield Client(connection)
    connection.close()


def still_serves(proxy, certificates):
    """See that others notice nothing."""
    log_in_from(proxy.port("implicit"), certificates.ca, source="127.0.0.1")


@pytest.mark.parametrize("render", [render_v1, render_v2])
def test_a_strangers_header_is_only_a_bad_command(introduced, render):
    start = len(introduced.log())
    with connected("127.0.0.1", introduced.port("starttls"), source="127.0.0.51") as client:
        client.send(render(CLAIM))
        assert b"* BYE" in client.rest()
    introduced.logged(" closed ", "client=127.0.0.51:", after=start)
    assert "203.0.113.9" not in introduced.log()[start:]


@pytest.mark.parametrize("render", [render_v1, render_v2])
def test_a_strangers_header_before_a_handshake_ends_the_connection(introduced, certificates, render):
    start = len(introduced.log())
    with connected("127.0.0.1", introduced.port("implicit"), greeting=False, source="127.0.0.51") as client:
        client.send(render(CLAIM) + b"a LOGIN x y\r\n")
        assert not client.rest().startswith(b"* ")
    introduced.logged(" closed ", "client=127.0.0.51:", after=start)
    assert "203.0.113.9" not in introduced.log()[start:]
    still_serves(introduced, certificates)


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"a LOGIN alice secret\r\n", "no PROXY header"),
        (b"\x16\x03\x01\x00\xff\x01", "no PROXY header"),
        (b"PROXY TCP4 203.0.113.9 x 1 2\r\n", "malformed"),
        (b"PROXY " + b"x" * 100_000, "without an end"),
        (render_v2(CLAIM)[:14] + b"\xff\xff" + bytes(65535), f"more than {LIMIT}"),
        (b"", "no PROXY header"),
        (render_v2(CLAIM)[:20], "in the middle"),
    ],
)
def test_what_is_no_header_ends_the_connection_and_the_log_says_why(introduced, certificates, octets, why):
    start = len(introduced.log())
    with from_load_balancer(introduced) as client:
        try:
            client.send(octets)
            client.connection.shutdown(socket.SHUT_WR)
        except OSError:  # already closed on us
            pass
        assert client.rest() == b""
    introduced.logged(" refused ", why, f"client={ADDRESS}:", after=start)
    still_serves(introduced, certificates)


def test_a_second_header_is_only_a_bad_command(introduced):
    start = len(introduced.log())
    with from_load_balancer(introduced) as client:
        client.send(render_v2(CLAIM) + render_v1(Header(Endpoint("198.51.100.9", 1), CLAIM.destination)))
        assert client.rest().startswith(b"* OK ")
    introduced.logged(" closed ", "client=203.0.113.9:4711", after=start)
    assert "198.51.100.9" not in introduced.log()[start:]


@pytest.mark.parametrize("begun", [b"", b"PROXY TCP4 203.0.113.9 ", render_v2(CLAIM)[:-1]])
def test_a_header_that_does_not_end_in_time_ends_the_connection(run_proxy, stores, ports, certificates, begun):
    listener = {
        "service": "imap",
        "address": "127.0.0.1",
        "port": ports.free(),
        "tls": "implicit",
        "proxy_protocol_from": [ADDRESS],
        "deadline": "2s",
    }
    with run_proxy(stores.port, listener=[listener]) as proxy, from_load_balancer(proxy, "implicit") as client:
        client.send(begun)
        still_serves(proxy, certificates)
        assert client.rest() == b""
        proxy.logged(" refused ", "in time", f"client={ADDRESS}:")
