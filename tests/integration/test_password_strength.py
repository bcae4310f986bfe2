"""A password is taken only behind a cipher that is strong enough, and is asked for only then, in every protocol."""

import itertools
import re
import socket
import ssl
from contextlib import contextmanager

import pytest
from attrs import frozen

from tests.integration.client import Client

SUITES = {
    128: ("TLS_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    256: ("TLS_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
}
"""For TLS 1.3 and 1.2, by their bits."""
THRESHOLDS = (-1, 0, 128, 129, 256)
MECHANISMS = ["PLAIN", "XOAUTH2", "SCRAM-SHA-256"]


@frozen
class Protocol:
    """What a client sees of a protocol: the greeting's last line, how it asks what is offered, the answer's last line.

    ``logins`` are pairs: what a client says, and how the answer begins that asks it to go on.
    """

    greeting: bytes
    asks: bytes
    told: bytes
    logins: tuple
    refused: bytes


PROTOCOLS = {
    "imap": Protocol(
        b"\\* OK",
        b"c CAPABILITY\r\n",
        b"c OK",
        ((b"a LOGIN x {3}\r\n", b"+"), (b"a AUTHENTICATE PLAIN\r\n", b"+"), (b"a AUTHENTICATE XOAUTH2\r\n", b"+")),
        b"a NO [PRIVACYREQUIRED]",
    ),
    "pop3": Protocol(
        b"\\+OK",
        b"CAPA\r\n",
        b"\\.$",
        ((b"USER x\r\n", b"+OK"), (b"AUTH PLAIN\r\n", b"+ "), (b"AUTH XOAUTH2\r\n", b"+ ")),
        b"-ERR [SYS/PERM]",
    ),
    "managesieve": Protocol(
        b"OK",
        b"CAPABILITY\r\n",
        b"OK",
        ((b'AUTHENTICATE "PLAIN"\r\n', b'"'), (b'AUTHENTICATE "XOAUTH2"\r\n', b'"')),
        b"NO (ENCRYPT-NEEDED)",
    ),
    "submission": Protocol(
        b"220",
        b"EHLO client.example\r\n",
        b"250 ",
        ((b"AUTH PLAIN\r\n", b"334"), (b"AUTH XOAUTH2\r\n", b"334")),
        b"53",
    ),
}


@frozen
class Case:
    """A listener, and what its client negotiates."""

    service: str
    threshold: int
    bits: int
    version: str

    @property
    def protocol(self):
        return PROTOCOLS[self.service]

    @property
    def taken(self):
        """Whether a password is taken there."""
        return self.threshold == 0 or 0 < self.threshold <= self.bits


@pytest.fixture(scope="module")
def strict(run_proxy, stores, ports):
    """A proxy with a listener for each protocol, threshold and suite of TLS 1.3."""
    listeners = [
        {
            "service": service,
            "address": "127.0.0.1",
            "port": ports.free(),
            "tls": "implicit",
            "plaintext_min_cipher": threshold,
            "ciphersuites": SUITES[bits][0],
        }
        for service, threshold, bits in itertools.product(PROTOCOLS, THRESHOLDS, SUITES)
    ]
    with run_proxy(stores.port, listener=listeners, login={"mechanisms": MECHANISMS, "max_failures": 20}) as proxy:
        yield proxy


def lines(client, last):
    """Return the lines up to the one that begins so."""
    found = [client.line()]
    while not re.match(last, found[-1]):
        found.append(client.line())
    return b"\n".join(found)


@contextmanager
def visiting(proxy, certificates, case):
    """Connect, and yield the client with what it was offered."""
    wanted = {"service": case.service, "plaintext_min_cipher": case.threshold, "ciphersuites": SUITES[case.bits][0]}
    (port,) = (each["port"] for each in proxy.settings["listener"] if wanted.items() <= each.items())
    context = ssl.create_default_context(cafile=certificates.ca)
    if case.version == "TLSv1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(SUITES[case.bits][1])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert (secure.version(), secure.cipher()[2]) == (case.version, case.bits)
        client = Client(secure)
        lines(client, case.protocol.greeting)
        client.send(case.protocol.asks)
        yield client, lines(client, case.protocol.told)


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("service", PROTOCOLS)
def test_what_is_offered_and_what_is_refused_follow_the_bits(strict, certificates, service, version, threshold):
    for bits in SUITES:
        case = Case(service, threshold, bits, version)
        for said, goes_on in case.protocol.logins:
            with visiting(strict, certificates, case) as (client, offered):
                assert (b"PLAIN" in offered, b"XOAUTH2" in offered) == (case.taken, case.taken)
                assert b"SCRAM-SHA-256" in offered
                assert (b"LOGINDISABLED" in offered) is (service == "imap" and not case.taken)
                client.send(said)
                answer = client.line()
                assert answer.startswith(goes_on if case.taken else case.protocol.refused), answer
