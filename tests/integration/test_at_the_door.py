"""Who is turned away at the door, by the address that a load balancer tells: in the words of every protocol."""

import socket
from contextlib import ExitStack

import pytest

from mmp.policy.throttle import BAD_QUEUE
from tests.integration import processes
from tests.integration.client import Client
from tests.integration.commands import mmp
from tests.integration.ordinary import PLAIN
from tests.integration.people import ALICE, FIRST
from tests.integration.scripted import PATIENCE, scripted
from tests.integration.test_limits import judging, log_in
from tests.integration.waiting import until

SERVICES = ("imap", "pop3", "submission", "managesieve")
WELCOME = {"imap": b"* OK ", "pop3": b"+OK ", "submission": b"220 ", "managesieve": b'"IMPLEMENTATION"'}
FULL = {
    "imap": b"* BYE [LIMIT] Too many connections",
    "pop3": b"-ERR [SYS/TEMP] Too many connections",
    "submission": b"421 4.7.0 Too many connections",
    "managesieve": b'BYE (TRYLATER) "Too many connections"',
}
BANNED = {
    "imap": b"* BYE This address is not welcome for now",
    "pop3": b"-ERR This address is not welcome for now",
    "submission": b"421 4.7.0 This address is not welcome for now",
    "managesieve": b'BYE "This address is not welcome for now"',
}


@pytest.fixture
def run(run_proxy, ports):
    """Runs a proxy with two workers behind a load balancer on loopback; keywords are tables of the file."""
    store = ports.free()
    behind = {"address": "127.0.0.1", "tls": "starttls", "proxy_protocol_from": ["127.0.0.0/8"]}

    def start(**tables):
        listeners = [behind | {"service": service, "port": ports.free()} for service in SERVICES]
        usual = {"workers": 2, "login": PLAIN, "listener": listeners}
        return run_proxy(store, {ALICE.user: FIRST}, **usual | tables)

    with scripted(FIRST, store, judging):
        yield start


@pytest.fixture
def held():
    """Closes, at the end, what is still open."""
    with ExitStack() as stack:
        yield stack


def introduced(held, proxy, address, service="imap"):
    """Connect as the load balancer does for a client with this address; without one, for itself."""
    port = proxy.port("starttls", service=service)
    client = Client(held.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE)))
    if not address:
        client.send(b"PROXY UNKNOWN\r\n")
    else:
        family, local = (b"TCP6", b"2001:db8::1") if ":" in address else (b"TCP4", b"192.0.2.1")
        client.send(b"PROXY %b %b %b 4711 143\r\n" % (family, address.encode(), local))
    return client


def turned_away(held, proxy, address, words):
    """See that every protocol turns a client from there away with these words and a close."""
    for service in SERVICES:
        client = introduced(held, proxy, address, service)
        assert client.line().startswith(words[service])
        assert client.rest() == b""


def test_the_most_specific_network_decides_and_ipv6_counts_by_prefix_in_every_protocol(run, held):
    per_address = [
        {"network": "0.0.0.0/0", "sessions": 0},
        {"network": "192.0.2.0/24", "sessions": 1, "prefix": 24},
        {"network": "192.0.2.7/32", "sessions": 0},
        {"network": "::/0", "sessions": 1, "prefix": 64},
    ]
    with run(limits={"per_address": per_address}) as proxy:
        for address in ("2001:db8:1::1", "2001:db8:1:1::1", "192.0.2.8", "192.0.2.7", "192.0.2.7", "198.51.100.1"):
            assert introduced(held, proxy, address).line().startswith(WELCOME["imap"])
        turned_away(held, proxy, "2001:db8:1::2", FULL)
        turned_away(held, proxy, "192.0.2.9", FULL)
        for network in ("::/0", "192.0.2.0/24"):
            assert proxy.log().count(f'reason="limit: per_address {network}"') == len(SERVICES)


def test_a_banned_client_behind_a_load_balancer_is_turned_away_in_every_protocol(run, held):
    with run() as proxy:
        mmp(proxy, "ban", "2001:db8:1::/48")
        turned_away(held, proxy, "2001:db8:1:7::1", BANNED)
        for service in SERVICES:
            assert introduced(held, proxy, "2001:db8:2::1", service).line().startswith(WELCOME[service])


def test_a_load_balancer_and_exempt_networks_are_never_bad_and_others_are(run, held):
    throttle = {"penalty": "1m", "ban_after": 2, "exempt": ["203.0.113.0/24"]}
    with run(throttle=throttle) as proxy:
        for number in range(4):
            for address in ("", "203.0.113.5"):
                answer = log_in(introduced(held, proxy, address), password=b"wrong-%d" % number)
                assert answer.startswith(b"a NO [AUTHENTICATIONFAILED]")
        assert " badguy " not in proxy.log()
        log_in(introduced(held, proxy, "198.51.100.1"), password=b"wrong")
        proxy.logged(" badguy ", "client=198.51.100.1:")


def test_those_who_wait_take_no_thread_and_no_more_than_ten_wait_for_an_address(run, held):
    count = 40
    with run(workers=1, throttle={"penalty": "1m"}) as proxy:
        (worker,) = until(proxy.workers, "there is a worker")
        addresses = [f"198.51.100.{number}" for number in range(count)]
        for address in addresses:
            assert log_in(introduced(held, proxy, address), password=b"wrong").startswith(b"a NO")
        threads = processes.threads(worker)
        for address in addresses:
            introduced(held, proxy, address).send(b"a LOGIN %b again\r\n" % ALICE.user.encode())
        until(lambda: proxy.log().count(" held ") == count, "all wait")
        assert processes.threads(worker) == threads
        queue = [introduced(held, proxy, addresses[0]) for _ in range(BAD_QUEUE + 2)]
        for client in queue:
            client.send(b"a LOGIN %b again\r\n" % ALICE.user.encode())
        until(lambda: proxy.log().count('reason="limit: throttle"') == 2, "two are refused")
