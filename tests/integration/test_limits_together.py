"""Each limit and the throttle hold over two workers, and over two hosts with two workers each that share a Redis."""

from contextlib import ExitStack

import pytest

from tests.integration.client import connected
from tests.integration.commands import mmp_json
from tests.integration.ordinary import PLAIN
from tests.integration.people import ALICE, BOB, FIRST
from tests.integration.scripted import scripted
from tests.integration.shared_stores import redis
from tests.integration.test_limits import ONE_STORE, admitted, come, guess, judging, log_in
from tests.integration.test_metering import MAIL, NO, OK, answers, recipients, relay
from tests.integration.test_metrics import samples
from tests.integration.test_shared import all_answered
from tests.integration.waiting import until

HERE, THERE, ELSEWHERE = "127.0.0.21", "127.0.0.22", "127.0.0.23"


@pytest.fixture(params=[1, 2], ids=["two workers", "two hosts"])
def run(request, run_proxy, ports):
    """Runs one host or two, with two workers each, before a store of this service; keywords are tables of the files."""
    with ExitStack() as held:
        shared = {}
        if request.param > 1:
            shared = {"url": held.enter_context(redis(ports.free())).url, "lease": "2s"}

        def start(service="imap", store=judging, tls="starttls", **tables):
            port = ports.free()
            held.enter_context(scripted(FIRST, port, store))
            usual = {"workers": 2, "login": PLAIN, "shared": shared, "backend": {service: {"port": port}}}
            proxies = []
            for _ in range(request.param):
                listener = {"service": service, "address": "127.0.0.1", "port": ports.free(), "tls": tls}
                own = {"listener": [listener], "admin": {"http": f"127.0.0.1:{ports.free()}"}}
                proxies.append(held.enter_context(run_proxy(port, ONE_STORE, **usual | own | tables)))
            for proxy in proxies:
                until(lambda proxy=proxy: len(proxy.workers()) == 2, "both workers run")
                if shared:
                    proxy.logged(" shared ", "result=rejoined")
            return proxies

        yield start


@pytest.fixture
def held():
    """Closes, at the end, what is still open."""
    with ExitStack() as stack:
        yield stack


def in_turn(proxies, count):
    return [proxies[number % len(proxies)] for number in range(count)]


def is_right(proxies, count, wanted):
    """Tell whether so many got in: no more, unless a host went on without an answer from the shared store."""
    return count == wanted if all_answered(proxies) else wanted <= count <= wanted * len(proxies)


def refusals(proxies, limit):
    return sum(proxy.log().count(f'reason="limit: {limit}"') for proxy in proxies)


def test_sessions_in_all(run, held):
    proxies = run(limits={"sessions": 4, "per_address": []})
    assert is_right(proxies, len(admitted(come(held, proxy) for proxy in in_turn(proxies, 8))), 4)
    if all_answered(proxies):
        assert refusals(proxies, "sessions") == 4


def test_connections_and_logins_a_minute(run, held):
    proxies = run(limits={"connections_per_minute": 4, "logins_per_minute": 2, "per_address": []})
    lines = [come(held, proxy, HERE).line() for proxy in in_turn(proxies, 6)]
    assert is_right(proxies, sum(line.startswith(b"* OK") for line in lines), 4)
    clients = [come(held, proxy, THERE) for proxy in in_turn(proxies, 2)]
    heard = [log_in(client, password=b"wrong-%d" % number) for number in range(2) for client in clients]
    assert set(heard) <= {
        b"a NO [AUTHENTICATIONFAILED] User name or password is wrong",
        b"a NO [LIMIT] Too many attempts in a short time",
    }
    assert is_right(proxies, sum(b"AUTHENTICATIONFAILED" in line for line in heard), 2)
    assert log_in(come(held, proxies[0], ELSEWHERE)).startswith(b"a OK")


def test_sessions_of_a_store_and_guesses_at_an_account_from_many_addresses(run, held):
    throttle = {"penalty": "1s", "per_user": True}
    proxies = run(limits={"per_backend": 2, "per_address": []}, throttle=throttle)
    first, last = proxies[0], proxies[-1]
    guess(held, first, b"wrong-1", HERE)
    first.logged(" badguy ", f"client={HERE}:")
    guess(held, last, b"wrong-2", THERE)
    if all_answered(proxies):
        last.logged(" held ", f"client={THERE}:", "seconds=1.0")
    assert log_in(come(held, first, ELSEWHERE), BOB).startswith(b"a OK")
    heard = [log_in(come(held, proxy, ELSEWHERE), BOB) for proxy in in_turn([last, first], 4)]
    assert is_right(proxies, 1 + sum(line.startswith(b"a OK") for line in heard), 2)
    if all_answered(proxies):
        assert refusals(proxies, "per_backend") == 3


def test_what_a_user_submits(run, held, certificates):
    proxies = run("submission", relay, "implicit", limits={"messages_per_hour": 2, "recipients_per_hour": 100})

    def enter(proxy, person):
        client = held.enter_context(connected("127.0.0.1", proxy.port("implicit"), certificates.ca, greeting=False))
        client.send(b"EHLO laptop.example.org\r\nAUTH PLAIN " + person.sasl_plain + b"\r\n")
        while not client.line().startswith(b"235 "):
            pass
        return client

    said = [answers(enter(proxy, ALICE), MAIL + recipients(b"a"), 2) for proxy in in_turn(proxies, 4)]
    assert {tuple(each) for each in said} <= {(OK, OK), (NO, OK)}
    assert is_right(proxies, sum(each[0] == OK for each in said), 2)
    last = proxies[-1]
    assert answers(enter(last, BOB), MAIL, 1) == [OK]
    if all_answered(proxies):
        last.logged(" metered ", "result=refused", "user=alice", 'reason="limit: messages_per_hour"')
        (row,) = mmp_json(last, "badguys")
        assert (row["kind"], row["user"], row["reason"]) == ("limit", "alice@example.com", "messages_per_hour")
        named = 'mmp_limit_refusals_total{limit="messages_per_hour"}'
        assert samples(last)[named] == refusals([last], "messages_per_hour")
