"""What no orderly client sends: each is refused clearly, and others do not notice."""

import time

import pytest

from tests.integration import processes
from tests.integration.client import connected
from tests.integration.people import ALICE
from tests.integration.waiting import until

LOG_IN = b"z LOGIN %b %b" % (ALICE.user.encode(), ALICE.password)


@pytest.fixture
def visit(proxy, certificates):
    """Connects a client under TLS."""

    def connect(**options):
        return connected("127.0.0.1", proxy.port("implicit"), certificates.ca, **options)

    return connect


@pytest.fixture(autouse=True)
def _others_do_not_notice(visit):
    with visit() as other:
        yield
        assert other.command(LOG_IN)[-1].startswith(b"z OK")


@pytest.mark.parametrize(
    "octets",
    [
        b'a LOGIN "al\rice" x\r\n',
        b"a LOGIN al\x00ice x\r\n",
        b"a AUTHENTICATE PLAIN !!!!\r\n",
        b"a LOGIN {99999999999}\r\n",
        b"a LOGIN {70000}\r\n",
        b"a LOGIN alice\r\n",
        b"a SELECT INBOX\r\n",
        b"a NOOP\n",
    ],
)
def test_a_command_that_cannot_be_is_answered_bad_and_the_next_one_is_served(visit, octets):
    with visit() as client:
        client.send(octets)
        assert client.line().partition(b" ")[2].startswith(b"BAD")
        assert client.command(LOG_IN)[-1].startswith(b"z OK")


def test_another_identity_without_the_right_to_it_is_refused(visit):
    from base64 import b64encode

    with visit() as client:
        response = b64encode(b"bob@example.com\0" + ALICE.user.encode() + b"\0" + ALICE.password)
        assert client.command(b"a AUTHENTICATE PLAIN " + response)[-1].startswith(b"a NO [AUTHORIZATIONFAILED]")


@pytest.mark.parametrize(
    "octets",
    [
        b"a LOGIN " + b"x" * 9000 + b"\r\n",
        b"a LOGIN {70000+}\r\n",
        b"a NOOP\r\n" * 10_000,
        b"\r\n" * 10_000,
        b"GET / HTTP/1.1\r\nHost: mail\r\n\r\n",
    ],
    ids=["long line", "long literal", "10,000 commands", "10,000 empty lines", "HTTP"],
)
def test_too_much_or_something_else_altogether_ends_the_connection_with_bye(visit, octets):
    with visit() as client:
        client.send(octets)
        assert b"* BYE" in client.rest()


def test_bytes_behind_starttls_end_the_connection(proxy):
    with connected("127.0.0.1", proxy.port("starttls")) as client:
        client.send(b"a STARTTLS\r\nb NOOP\r\n")
        said = client.rest()
        assert b"OK" not in said
        assert b"BAD" in said or b"BYE" in said


def test_tls_on_the_port_without_ends_the_connection(proxy):
    with connected("127.0.0.1", proxy.port("starttls")) as client:
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500))
        assert client.rest().startswith(b"* BYE")


def test_clear_text_on_the_port_with_tls_ends_the_connection(proxy):
    with connected("127.0.0.1", proxy.port("implicit"), greeting=False) as client:
        client.send(b"a LOGIN alice secret\r\n")
        assert b"secret" not in client.rest()
    proxy.logged("closed", "TLS handshake failed")


@pytest.mark.parametrize("words", [b"a LOGIN ", b""], ids=["a byte at a time", "nothing"])
def test_a_client_that_takes_too_long_is_said_goodbye_to(run_proxy, stores, certificates, words):
    with (
        run_proxy(stores.port, login={"deadline": "2s", "default_domain": "example.com"}) as proxy,
        connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client,
    ):
        for octet in words:
            client.send(bytes([octet]))
            time.sleep(0.1)
        assert client.rest().startswith(b"* BYE")
        proxy.logged("closed", "login deadline")


def test_a_handshake_that_is_never_finished_ends_at_the_deadline(run_proxy, stores):
    with (
        run_proxy(stores.port, login={"deadline": "1s", "default_domain": "example.com"}) as proxy,
        connected("127.0.0.1", proxy.port("implicit"), greeting=False) as client,
    ):
        client.send(b"\x16\x03\x01")
        assert client.rest() == b""
        proxy.logged("closed", "login deadline")


def test_a_client_that_sends_and_never_reads_costs_no_memory(run_proxy, stores):
    with run_proxy(stores.port) as proxy:
        before = sum(map(processes.resident, proxy.workers()))
        with connected("127.0.0.1", proxy.port("starttls")) as client:
            client.connection.settimeout(5)
            try:
                for _ in range(2000):
                    client.send(b"a ID NIL\r\n" * 100)
            except OSError:
                pass
            assert sum(map(processes.resident, proxy.workers())) - before < 4_000_000
        until(lambda: "who=" in proxy.log(), "the session is closed")
