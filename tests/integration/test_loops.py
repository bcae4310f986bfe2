"""Two proxies, each of which takes the other for the user's store: a login between them ends, and soon."""

from contextlib import contextmanager

import pytest

from mmp.model import Service
from mmp.stores.rounds import MOST
from tests.integration.client import connected
from tests.integration.people import ALICE
from tests.integration.waiting import until

HERE, THERE = "127.0.0.14", "127.0.0.15"
TELLING = {
    "nothing": dict.fromkeys(Service, "none"),
    "commands": dict.fromkeys(Service, "xclient") | {Service.IMAP: "id"},
    "headers": dict.fromkeys(Service, "proxy-v2"),
}
SAID = {
    Service.IMAP: (b"a LOGIN %b %b\r\n" % (ALICE.user.encode(), ALICE.password), b"a "),
    Service.POP3: (b"USER %b\r\nPASS %b\r\n" % (ALICE.user.encode(), ALICE.password), b"-ERR"),
    Service.SUBMISSION: (b"EHLO client.example.org\r\nAUTH PLAIN %b\r\n" % ALICE.sasl_plain, b"4"),
    Service.MANAGESIEVE: (b'AUTHENTICATE "PLAIN" "%b"\r\n' % ALICE.sasl_plain, b"NO"),
}
"""What a client says, and how the line begins that refuses it."""


@pytest.fixture(scope="module", params=TELLING)
def two(request, run_proxy, ports):
    """Two such proxies, and what each of them tells the other of clients."""
    ends = [(address, {service: ports.free() for service in Service}) for address in (HERE, THERE)]
    with (
        _between(run_proxy, *ends, request.param) as one,
        _between(run_proxy, *reversed(ends), request.param) as other,
    ):
        yield request.param, one, other


@contextmanager
def _between(run_proxy, own, others, told):
    (here, ours), (there, theirs) = own, others
    trusted = [there] if told == "headers" else []
    listeners = [
        {"service": service.value, "address": here, "port": port, "tls": "none", "proxy_protocol_from": trusted}
        for service, port in ours.items()
    ]
    stores = {
        service.value: {"port": port, "client_address": TELLING[told][service]} for service, port in theirs.items()
    }
    changes = {
        "hostname": f"proxy{here[-1]}.example.com",
        "listener": listeners,
        "login": {"restrict_plain_passwords": False},
        "backend": stores | {"source_address": here},
    }
    with run_proxy(theirs[Service.IMAP], {ALICE.user: there, ALICE.name: there}, **changes) as proxy:
        yield proxy


def sessions(log, service):
    """Return how many sessions of a service have begun, and how many have ended."""
    lines = [line for line in log.splitlines() if f"service={service.value}" in line]
    return tuple(sum(f" {event} " in line for line in lines) for event in ("connected", "closed"))


def is_told(told, service):
    """Whether they tell one another how often a connection may yet be passed on, or where it has come in."""
    return told != "nothing" and (told != "commands" or service is not Service.SUBMISSION)


@pytest.mark.parametrize("service", Service)
def test_a_login_that_goes_in_circles_is_refused_and_leaves_nothing_behind(two, service):
    told, *proxies = two
    with connected(HERE, proxies[0].port("none", HERE, service.value), greeting=False) as client:
        said, refused = SAID[service]
        client.send(said)
        while not (line := client.line()).startswith(refused):
            pass
        assert not line.startswith(b"a OK")

    def ended():
        counts = [sessions(proxy.log(), service) for proxy in proxies]
        return all(begun == over for begun, over in counts) and counts

    counts = until(ended, "all sessions of the loop end")
    rounds = max(begun for begun, _ in counts)
    assert rounds <= (5 if is_told(told, service) else MOST + 2)
    assert any("loop" in proxy.log() for proxy in proxies)
