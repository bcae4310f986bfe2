"""SCRAM passed through to real stores and relays in every protocol: the proxy never has the password."""

from base64 import b64decode, b64encode

import pytest

from mmp.model import Service
from tests.integration.client import connected
from tests.integration.people import BOB
from tests.wire.sasl.test_scram import client as final_message

BEGINNINGS = {
    Service.IMAP: b"a AUTHENTICATE %b %b\r\n",
    Service.POP3: b"AUTH %b %b\r\n",
    Service.SUBMISSION: b"AUTH %b %b\r\n",
    Service.MANAGESIEVE: b'AUTHENTICATE "%b" "%b"\r\n',
}
AGREED = (b"a OK", b"+OK", b"235", b"OK")
REFUSED = (b"a NO [AUTHENTICATIONFAILED]", b"-ERR [AUTH]", b"535", b"NO")


@pytest.fixture(scope="module")
def proxy(run_whole_proxy):
    """A proxy that lets stores and relays judge everything that they can."""
    with run_whole_proxy() as proxy:
        yield proxy


def greeted(client, service):
    """Read what a service says before a login is tried."""
    if service is Service.SUBMISSION:
        client.line()
        client.send(b"EHLO client.example.org\r\n")
    while not client.line().startswith((b"* OK", b"+OK", b"250 ", b"OK")):
        pass


def challenge(line):
    """Return what is asked in a line."""
    return b64decode(line.removeprefix(b"+ ").removeprefix(b"334 ").strip(b'"'))


def log_in(client, service, mechanism, password):
    """Go through the exchange; return what proves that the other side knows the password too, and the last line."""

    def said(octets):
        encoded = b64encode(octets)
        client.send(b'"%b"\r\n' % encoded if service is Service.MANAGESIEVE else encoded + b"\r\n")
        return client.line()

    first = b"n,,n=%b,r=rOprNGfwEbeRWgbNEkqO" % BOB.name.encode()
    client.send(BEGINNINGS[service] % (mechanism.encode(), b64encode(first)))
    line = said(final_message(mechanism, password, first, challenge(client.line())))
    if line.startswith(REFUSED):
        return b"", line
    return challenge(line), said(b"")


@pytest.mark.parametrize("service", Service)
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
def test_the_client_and_the_store_prove_to_one_another_that_they_know_the_password(
    proxy, certificates, service, mechanism
):
    start = len(proxy.log())
    with connected("127.0.0.1", proxy.port("implicit", service=service.value), certificates.ca, False) as client:
        greeted(client, service)
        proof, line = log_in(client, service, mechanism, b"wrong")
        assert proof == b""
        assert line.startswith(REFUSED)
        proof, line = log_in(client, service, mechanism, BOB.password)
        assert proof.startswith(b"v=")
        assert line.startswith(AGREED)
    proxy.logged(" login result=ok ", f"service={service.value}", f"mechanism={mechanism}", after=start)
