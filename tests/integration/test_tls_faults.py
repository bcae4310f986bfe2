"""Handshakes that go wrong, thousands of them: each ends, and memory is back to where it was.

They are made by hand, record by record, where no library would make them (RFC 8446, 5; RFC 6066, 3).
"""

import socket
import ssl
from contextlib import suppress
from functools import cache

import pytest
from OpenSSL import SSL

from tests.authority import Authority, self_signed, subject
from tests.integration import processes
from tests.integration.client import Client
from tests.integration.ordinary import the_worker
from tests.integration.people import ALICE

TRUSTED = Authority.make("CA for clients")
WARM_UP, ROUNDS = 200, 500
MARGIN = 500_000
"""Octets by which a worker may have grown, one kB for each round; it was none at all in most cases, 40 kB at most."""
ALERT, HANDSHAKE = 21, 22
NAME = b"\x00\x00\x00\x0e\x00\x0c\x00\x00\x09localhost"
"""The extension that says whom a client wants: type, size, size of the list, kind, size of the name (RFC 6066, 3)."""


@pytest.fixture(scope="module")
def faulty(run_proxy, stores, tmp_path_factory):
    """A proxy for the clients of this module alone."""
    authorities = tmp_path_factory.mktemp("trust") / "ca"
    authorities.write_bytes(TRUSTED.pem)
    with run_proxy(stores.port, **configured(stores, authorities)) as proxy:
        yield proxy


def configured(stores, authorities, **login):
    password = authorities.with_name("admin")
    password.touch(mode=0o600)
    password.write_bytes(b"never needed")
    return {
        "tls": {"client_ca": str(authorities)},
        "login": {"admin_user": "admin", "admin_password_file": str(password), **login},
        "log": {"level": "info"},
    }


def record(content, kind=HANDSHAKE):
    """Return one record (RFC 8446, 5.1)."""
    return bytes([kind]) + b"\x03\x01" + len(content).to_bytes(2, "big") + content


@cache
def hello(name=b"localhost", version=SSL.TLS1_3_VERSION):
    """Return a ClientHello, without its record's header."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(version)
    client = SSL.Connection(context, None)
    client.set_tlsext_host_name(name)
    client.set_connect_state()
    with suppress(SSL.WantReadError):
        client.do_handshake()
    return client.bio_read(65536)[5:]


def misnamed(extension):
    """Return a ClientHello whose name is this instead, of the same size."""
    assert hello().count(NAME) == 1
    assert len(extension) == len(NAME)
    return record(hello().replace(NAME, extension))


REFUSED = {
    "a close before the hello": record(b"\x01\x00", ALERT),
    "a fatal alert before the hello": record(b"\x02\x32", ALERT),
    "half an alert": record(b"\x02", ALERT),
    "an alert of no level": record(b"\x07\x32", ALERT),
    "a fatal alert behind the hello": record(hello()) + record(b"\x02\x32", ALERT),
    "a fatal alert behind the hello of 1.2": record(hello(version=SSL.TLS1_2_VERSION)) + record(b"\x02\x32", ALERT),
    "a close behind the hello": record(hello()) + record(b"\x01\x00", ALERT),
    "an alert within the hello": record(hello()[:50]) + record(b"\x01\x64", ALERT) + record(hello()[50:]),
    "a name that is longer than its list": misnamed(NAME[:7] + b"\xff\xff" + NAME[9:]),
    "a list of names that is too long": misnamed(NAME[:4] + b"\xff\xff" + NAME[6:]),
    "a name with an end in it": misnamed(NAME[:-4] + b"\x00" + NAME[-3:]),
    "a name of no octets": misnamed(NAME[:4] + b"\x00\x03\x00\x00\x00" + bytes(9)),
    "a name of another kind": misnamed(NAME[:6] + b"\x07" + NAME[7:]),
    "the hello twice": record(hello()) * 2,
    "a hello of one more octet": record(hello()[:3] + bytes([hello()[3] + 1]) + hello()[4:] + b"\x00"),
}
"""What ends a connection at once."""
ANSWERED = {
    "records of one octet": b"".join(record(hello()[at : at + 1]) for at in range(len(hello()))),
    "a name of 255 octets": record(hello(b"x" * 255)),
    "a name of garbage": record(hello(bytes(range(1, 200)))),
}
"""What the handshake goes on from, to be left alone then."""


def said(proxy, octets):
    """Say this instead of a handshake; return all that the proxy says."""
    with socket.create_connection(("127.0.0.1", proxy.port("implicit")), timeout=30) as connection:
        connection.sendall(octets)
        return Client(connection).rest()


def answered(proxy, octets):
    """Say this; go away once there is an answer, and return how it begins."""
    with socket.create_connection(("127.0.0.1", proxy.port("implicit")), timeout=30) as connection:
        connection.sendall(octets)
        return connection.recv(1)


def growth(proxy, visit, warm_up=WARM_UP, rounds=ROUNDS):
    """Return by how much the worker has grown over so many rounds, once it has got used to such clients."""
    worker = the_worker(proxy)
    for _ in range(warm_up):
        visit()
    before = processes.resident(worker)
    for _ in range(rounds):
        visit()
    grown = processes.resident(worker) - before
    assert the_worker(proxy) == worker
    return grown


@pytest.mark.parametrize("octets", REFUSED.values(), ids=REFUSED)
def test_what_is_no_handshake_ends_the_connection_at_once_and_leaves_nothing(faulty, octets):
    assert growth(faulty, lambda: said(faulty, octets)) < MARGIN


@pytest.mark.parametrize("octets", ANSWERED.values(), ids=ANSWERED)
def test_a_handshake_that_is_odd_and_left_alone_leaves_nothing(faulty, octets):
    assert answered(faulty, octets) == bytes([HANDSHAKE])
    assert growth(faulty, lambda: answered(faulty, octets)) < MARGIN


BY_MAIL = subject(CN="Alice", E=ALICE.user)
NO_GOOD = {
    "self-signed": self_signed(BY_MAIL),
    "expired": TRUSTED.issue(BY_MAIL, days=-1),
    "of another authority": Authority.make("Another CA").issue(BY_MAIL),
    "for servers": TRUSTED.issue(BY_MAIL, client=False),
}
NOBODYS = {
    "without a name": TRUSTED.issue(subject()),
    "without an address": TRUSTED.issue(subject(CN="nobody in particular")),
    "with an address of nobody": TRUSTED.issue(subject(CN="x"), emails=["nobody@example.com"]),
    "with an address that is a filter": TRUSTED.issue(subject(E="*@example.com")),
}
CERTIFIED_WARM_UP, CERTIFIED_ROUNDS = 50, 150
"""A handshake with a certificate takes our clients longer than a few octets."""
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture
def certified(certificates, tmp_path):
    """Returns a context that shows a certificate."""

    def make(issued, version):
        file = tmp_path / "client.pem"
        file.touch(mode=0o600)
        file.write_bytes(issued.key_pem + issued.pem)
        context = ssl.create_default_context(cafile=certificates.ca)
        context.minimum_version = context.maximum_version = version
        context.load_cert_chain(file)
        return context

    return make


def greeted(proxy, context):
    """Shake hands and ask for EXTERNAL; return the answer, empty if the connection ended before."""
    with (
        suppress(ConnectionError, ssl.SSLError),
        socket.create_connection(("127.0.0.1", proxy.port("implicit"))) as plain,
    ):
        plain.settimeout(30)
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            client = Client(connection)
            assert client.line().startswith(b"* OK")
            return client.command(b"a AUTHENTICATE EXTERNAL =")[-1]
    return b""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("issued", NO_GOOD.values(), ids=NO_GOOD)
def test_a_certificate_that_is_no_good_leaves_nothing(faulty, certified, issued, version):
    context = certified(issued, version)
    assert greeted(faulty, context) == b""
    assert growth(faulty, lambda: greeted(faulty, context), CERTIFIED_WARM_UP, CERTIFIED_ROUNDS) < MARGIN


@pytest.mark.parametrize("issued", NOBODYS.values(), ids=NOBODYS)
def test_a_certificate_without_a_usable_name_lets_nobody_in_and_leaves_nothing(faulty, certified, issued):
    context = certified(issued, ssl.TLSVersion.TLSv1_3)
    assert greeted(faulty, context).startswith(b"a NO [AUTHENTICATIONFAILED]")
    assert growth(faulty, lambda: greeted(faulty, context), CERTIFIED_WARM_UP, CERTIFIED_ROUNDS) < MARGIN


HALVES = [
    record(hello())[:1],
    record(hello())[:60],
    record(hello()),
    record(hello(version=SSL.TLS1_2_VERSION)) + b"\x16\x03\x03\x00\x50\x10",
]


def test_handshakes_that_are_never_finished_end_at_the_deadline_and_leave_nothing(run_proxy, stores, tmp_path):
    (tmp_path / "ca").write_bytes(TRUSTED.pem)
    with run_proxy(stores.port, **configured(stores, tmp_path / "ca", deadline="1s")) as proxy:

        def visit():
            visitors = [socket.create_connection(("127.0.0.1", proxy.port("implicit")), timeout=30) for _ in range(200)]
            for number, visitor in enumerate(visitors):
                visitor.sendall(HALVES[number % len(HALVES)])
            for visitor in visitors:
                Client(visitor).rest()
                visitor.close()

        assert growth(proxy, visit, warm_up=4, rounds=5) < 2 * MARGIN
        assert proxy.log().count("login deadline") == 1800
