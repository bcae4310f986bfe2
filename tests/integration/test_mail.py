"""After the login: mail in both directions, unchanged, and the proxy's memory while one side does not read."""

import hashlib
import imaplib
import random
import ssl
import threading
import time
from contextlib import contextmanager

import pytest

from tests.integration import processes
from tests.integration.client import connected
from tests.integration.people import ALICE, BOB, FIRST
from tests.integration.scripted import log_in, scripted

MEGABYTE = 1024 * 1024
LARGE = 50 * MEGABYTE


@contextmanager
def logged_in(proxy, certificates, person):
    """Log in with imaplib over TLS."""
    context = ssl.create_default_context(cafile=certificates.ca)
    with imaplib.IMAP4_SSL("127.0.0.1", proxy.port("implicit"), ssl_context=context, timeout=60) as client:
        client.login(person.user, person.password.decode())
        yield client


@pytest.fixture
def mailbox(proxy, certificates, request):
    """The name of an empty mailbox of Alice's."""
    name = request.node.name
    with logged_in(proxy, certificates, ALICE) as client:
        client.create(name)
        yield name
        client.delete(name)


def test_a_large_message_comes_back_as_it_was(proxy, certificates, mailbox):
    lines = random.Random(3).randbytes(LARGE // 2).hex()  # noqa: S311 - nothing secret
    message = b"Subject: large\r\n\r\n" + b"\r\n".join(
        lines[start : start + 70].encode() for start in range(0, len(lines), 70)
    )
    with logged_in(proxy, certificates, ALICE) as client:
        assert client.append(mailbox, None, None, message)[0] == "OK"
    with logged_in(proxy, certificates, ALICE) as client:
        client.select(mailbox)
        fetched = client.fetch("1", "BODY.PEEK[]")[1][0][1]
    assert hashlib.sha256(fetched).digest() == hashlib.sha256(message).digest()


def test_idle_is_told_of_new_mail(proxy, certificates, mailbox):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as idle:
        idle.command(b"a LOGIN %b %b" % (ALICE.user.encode(), ALICE.password))
        idle.command(b"b SELECT " + mailbox.encode())
        idle.send(b"c IDLE\r\n")
        assert idle.line().startswith(b"+ ")
        with logged_in(proxy, certificates, ALICE) as other:
            other.append(mailbox, None, None, b"Subject: new\r\n\r\nmail\r\n")
        assert idle.line() == b"* 1 EXISTS"
        idle.send(b"DONE\r\n")
        assert idle.answer(b"c")[-1].startswith(b"c OK")


def test_mail_of_users_of_different_stores_is_apart(proxy, certificates, mailbox):
    with logged_in(proxy, certificates, BOB) as client:
        assert client.select(mailbox)[0] == "NO"


class Flood:
    """Octets sent by one side until the other side has them all, while a count tells how far it is."""

    def __init__(self, size):
        self.piece = random.Random(5).randbytes(MEGABYTE)  # noqa: S311 - nothing secret
        self.pieces = size // MEGABYTE
        self.sent = 0

    def send(self, client):
        """Send all of it."""
        for _ in range(self.pieces):
            rest = memoryview(self.piece)
            while rest:
                done = client.connection.send(rest)
                self.sent += done
                rest = rest[done:]

    def receive(self, client):
        """Read all of it, and see that it is right."""
        for _ in range(self.pieces):
            assert client.exactly(MEGABYTE) == self.piece

    def stuck(self):
        """Wait until the sender gets no further; return how far it came."""
        before = -1
        while self.sent != before or not before:
            before = self.sent
            time.sleep(0.5)
        return before


@pytest.mark.parametrize("tls", [False, True])
def test_a_client_that_does_not_read_costs_no_memory(run_proxy, certificates, ports, tls):
    flood = Flood(200 * MEGABYTE)

    def store(client):
        log_in(client)
        client.line()
        flood.send(client)

    port = ports.free()
    with scripted(FIRST, port, store), reader(run_proxy, port, certificates, tls=tls) as (proxy, client):
        before = memory(proxy)
        client.send(b"b FLOOD\r\n")
        assert flood.stuck() < flood.pieces * MEGABYTE / 2
        assert memory(proxy) - before < 4 * MEGABYTE
        flood.receive(client)
        assert memory(proxy) - before < 4 * MEGABYTE


@pytest.mark.parametrize("tls", [False, True])
def test_a_store_that_does_not_read_costs_no_memory(run_proxy, certificates, ports, tls):
    flood = Flood(200 * MEGABYTE)
    go_on = threading.Event()

    def store(client):
        log_in(client)
        go_on.wait(60)
        flood.receive(client)
        client.send(b"* all\r\n")

    port = ports.free()
    with scripted(FIRST, port, store), reader(run_proxy, port, certificates, tls=tls) as (proxy, client):
        before = memory(proxy)
        sending = threading.Thread(target=flood.send, args=(client,))
        sending.start()
        assert flood.stuck() < flood.pieces * MEGABYTE / 2
        assert memory(proxy) - before < 4 * MEGABYTE
        go_on.set()
        sending.join()
        assert client.line() == b"* all"


@contextmanager
def reader(run_proxy, port, certificates, *, tls):
    """Log a client in through a proxy of its own."""
    plain = {"restrict_plain_passwords": False, "plaintext_min_cipher": 0}
    with run_proxy(port, login=plain) as proxy:
        listener, ca = ("implicit", certificates.ca) if tls else ("starttls", None)
        with connected("127.0.0.1", proxy.port(listener), ca) as client:
            assert client.command(b"a LOGIN %b %b" % (ALICE.user.encode(), ALICE.password))[-1].startswith(b"a OK")
            yield proxy, client


def memory(proxy):
    """Return what the proxy's workers take."""
    return sum(map(processes.resident, proxy.workers()))
