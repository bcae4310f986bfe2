"""Two hosts, each a supervisor with two workers, that count together in one store: limits, badness, and outages."""

import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from ipaddress import ip_address

import pytest

from mmp.policy.counts import Claim
from mmp.shared.names import Names
from tests.integration.certificates import LOOPBACK
from tests.integration.client import Client, connected
from tests.integration.commands import MMP, mmp, mmp_json
from tests.integration.commands import run as run_command
from tests.integration.ordinary import PLAIN
from tests.integration.people import ALICE, BOB, FIRST
from tests.integration.scripted import PATIENCE, scripted
from tests.integration.shared_stores import memcached, redis, redis_in_tls
from tests.integration.test_bans import BANNED, TIMES, greeted
from tests.integration.test_limits import admitted, come, guess, heard, judging, log_in, per_address
from tests.integration.toml import document
from tests.integration.visitors import Visitors
from tests.integration.waiting import until

ONE_STORE = {ALICE.user: FIRST, BOB.user: FIRST}
LEASE = 2
"""Seconds."""
LONG = 120
"""Seconds that a program may take to be replaced on a busy machine."""


@pytest.fixture
def kind():
    """What the store is; a test may say so."""
    return redis


@pytest.fixture
def shared(kind, ports):
    """A store that hosts share."""
    with kind(ports.free()) as server:
        yield server


both = pytest.mark.parametrize("kind", [redis, memcached])


@pytest.fixture
def run(run_proxy, ports, shared):
    """Runs two hosts that share; keywords are tables of both their files."""
    store = ports.free()

    def start(**changes):
        table = {"url": shared.url, "lease": f"{LEASE}s"} | changes.pop("shared", {})
        usual = {"workers": 2, "login": PLAIN, "log": {"level": "info"}, "shared": table}
        proxies = [held.enter_context(run_proxy(store, ONE_STORE, **usual | changes)) for _ in range(2)]
        for proxy in proxies:
            until(lambda proxy=proxy: len(proxy.workers()) == 2, "both workers run")
            proxy.logged(" shared ", "result=rejoined")
        return proxies

    with scripted(FIRST, store, judging), ExitStack() as held:
        yield start


@pytest.fixture
def held():
    """Closes, at the end, what is still open."""
    with ExitStack() as stack:
        yield stack


def rush(held, proxies, count):
    """Connect so many clients at once, by turns to each host, and have all log in at once."""
    connections = [held.enter_context(socket.socket()) for _ in range(count)]
    for number, connection in enumerate(connections):
        connection.setblocking(False)
        connection.connect_ex(("127.0.0.1", proxies[number % len(proxies)].port("starttls")))
    clients = []
    for connection in connections:
        connection.settimeout(PATIENCE)
        clients.append(Client(connection))
        with suppress(OSError):  # turned away at the door
            connection.sendall(b"a LOGIN %b %b\r\n" % (ALICE.user.encode(), ALICE.password))
    return [client for client in clients if heard(client).startswith(b"a OK")]


def leave(clients):
    for client in clients:
        client.connection.close()


def status(proxy):
    return mmp_json(proxy, "status")["shared"]


def is_back(proxy, server):
    return status(proxy) == {"up": True, "why": "", "url": server.url}


def is_turned_away(proxy):
    """Tell whether somebody who comes is not let in; who is goes again, and may count for a moment yet."""
    with ExitStack() as brief:
        return not admitted([come(brief, proxy)])


def all_answered(proxies):
    """Tell whether nobody went on without an answer: the machine may be too busy for the store."""
    return not any(said in proxy.log() for proxy in proxies for said in ("result=alone", "result=late"))


def address(host="127.0.0.1"):
    """Return the name that the store has for sessions from an address."""
    return Names("mmp").held(Claim("per_address 127.0.0.0/8", int(ip_address(host)), 0))


def user(person=ALICE):
    """Return the name that it has for those of a user."""
    return Names("mmp").held(Claim("per_user", person.user, 0))


def stays(server, name, count):
    """Wait until hosts have told a store that they hold so many."""
    until(lambda: server.held(name) == count, f"{count} are held, by what the store has been told")


def are_full(proxies, server, name=None):
    """Wait until each turns away whoever comes, by what all of them hold; who is let in before that goes again."""
    name = name or address()
    count = server.held(name)
    for proxy in proxies:

        def turns_away(proxy=proxy):
            away = is_turned_away(proxy)
            stays(server, name, count)
            return away

        until(turns_away, "it knows of all sessions")


def one_more_gets_in(held, proxies, server, name=None):
    """See that there is room for one, of all who come."""
    name = name or address()
    count = server.held(name)
    inside = until(lambda: rush(held, proxies, 6), "there is room")
    if all_answered(proxies):
        assert len(inside) == 1
    stays(server, name, count + len(inside))
    are_full(proxies, server, name)


@both
@pytest.mark.parametrize(
    ("limits", "name"), [(per_address(20), address()), ({"per_user": 20, "per_address": []}, user())]
)
def test_of_two_hundred_at_once_at_two_hosts_twenty_get_in(run, held, shared, limits, name):
    proxies = run(limits=limits)
    inside = rush(held, proxies, 200)
    if all_answered(proxies):
        assert len(inside) == 20
    assert len(inside) >= 20
    stays(shared, name, len(inside))
    are_full(proxies, shared, name)
    leave(inside[19:])
    stays(shared, name, 19)
    one_more_gets_in(held, proxies, shared, name)


def test_a_user_has_so_many_sessions_wherever_they_are(run, held, shared):
    one, other = run(limits={"per_user": 2, "per_address": []})
    first, second = come(held, one), come(held, other)
    assert len(admitted([first, second])) == 2
    stays(shared, user(), 2)
    are_full((one, other), shared, user())
    assert log_in(come(held, one)).startswith(b"a NO [LIMIT]")
    assert log_in(come(held, other), BOB).startswith(b"a OK")
    leave([first])
    stays(shared, user(), 1)
    one_more_gets_in(held, (one, other), shared, user())


def test_guesses_at_one_host_slow_the_next_at_the_other(run, held):
    one, other = run(throttle={"penalty": "1s"})
    for number in range(2):
        guess(held, one, b"wrong-%d" % number)
    one.logged(" badguy ", "badness=2.0")
    began = time.monotonic()
    guess(held, other, b"wrong-3")
    waited = time.monotonic() - began
    other.logged(" badguy ")
    if all_answered((one, other)):
        assert waited >= 2
        other.logged(" badguy ", "badness=3.0")
    assert log_in(come(held, other, "127.0.0.7")).startswith(b"a OK")


def test_nothing_that_a_store_is_told_has_a_password_or_a_name_in_it(run, held, shared, tmp_path):
    one, other = run(
        limits={"per_user": 9} | per_address(9), throttle={"penalty": "10ms", "per_user": True, "ban_after": 9}
    )
    told = tmp_path / "told"
    with told.open("wb") as file:
        listening = subprocess.Popen(["redis-cli", "-p", str(shared.port), "MONITOR"], stdout=file)
    try:
        until(lambda: told.read_bytes().startswith(b"OK"), "it listens")
        guess(held, one, b"never-Seen")
        assert log_in(come(held, other)).startswith(b"a OK")
        until(lambda: b'"vouch"' in told.read_bytes(), "the store is told of the login")
    finally:
        listening.kill()
        listening.wait()
    octets = told.read_bytes()
    assert b'"fail"' in octets
    assert not [word for word in (b"never-Seen", b"Secret", ALICE.name.encode()) if word in octets]


@both
def test_what_a_host_held_that_was_killed_is_free_again_when_its_lease_ends(run, held, shared):
    dead, alive = run(limits=per_address(3))
    assert len(admitted(come(held, dead) for _ in range(3))) == 3
    are_full([alive], shared)
    os.kill(dead.process.pid, signal.SIGKILL)
    until(lambda: admitted([come(held, alive)]), "there is room")


@both
def test_a_store_that_is_killed_and_comes_back_holds_nobody_up_and_counts_are_right_again(run, held, shared):
    elsewhere = "127.0.0.7"
    (limit,) = per_address(6)["per_address"]
    proxies = run(limits={"per_address": [limit, {"network": f"{elsewhere}/32", "sessions": 0}]})
    inside = [admitted(come(held, proxy) for _ in range(2)) for proxy in proxies]
    with ExitStack() as visiting:
        visitors = [visiting.enter_context(Visitors(each.port("starttls"), 2, elsewhere)) for each in proxies]
        shared.kill()
        for proxy, those in zip(proxies, inside, strict=True):
            until(lambda proxy=proxy: not status(proxy)["up"], "it finds out")
            those.extend(admitted(come(held, proxy) for _ in range(6)))
        shared.start()
        for proxy, those in zip(proxies, visitors, strict=True):
            until(lambda proxy=proxy: is_back(proxy, shared), "it has come back")
            those.more()
    assert not [each.refused + each.cut for each in visitors if each.refused or each.cut]
    assert [len(each) for each in inside] == [6, 6]  # each counted alone
    stays(shared, address(), 12)
    leave(inside[0])
    stays(shared, address(), 6)
    are_full(proxies, shared)  # the first by what the other holds
    leave(inside[1][:1])
    stays(shared, address(), 5)
    one_more_gets_in(held, proxies, shared)


@both
def test_while_a_store_is_killed_and_comes_back_every_login_under_load_succeeds(run, shared):
    proxies = run(limits=per_address(24), throttle={"penalty": "1s"})
    over, answers = threading.Event(), []

    def visit(proxy):
        while not over.is_set():
            with connected("127.0.0.1", proxy.port("starttls"), greeting=False) as client:
                answers.append(log_in(client))

    def goes_on():
        before = len(answers)
        until(lambda: len(answers) > before + 40, "clients come and go")

    visitors = [threading.Thread(target=visit, args=(proxy,)) for proxy in proxies * 2]
    for visitor in visitors:
        visitor.start()
    try:
        for up in (False, True):
            goes_on()
            (shared.start if up else shared.kill)()
            for proxy in proxies:
                until(lambda proxy=proxy, up=up: status(proxy)["up"] is up, "it finds out")
        goes_on()
    finally:
        over.set()
        for visitor in visitors:
            visitor.join()
    assert all(answer.startswith(b"a OK") for answer in answers)
    until(lambda: room(proxies, 26) == 24, "counts are right again")


def room(proxies, count):
    """Return how many of so many get in, by turns at each host, and have them leave again."""
    with ExitStack() as held:
        return len(admitted(come(held, proxies[number % len(proxies)]) for number in range(count)))


def test_a_store_that_answers_nothing_holds_nobody_up(run, held, shared):
    one, other = run(limits=per_address(3), throttle={"penalty": "1s"})
    shared.stop()
    try:
        assert len(admitted(come(held, one) for _ in range(5))) == 3
        one.logged(" shared ", "result=alone")
    finally:
        shared.go_on()
    until(lambda: is_back(one, shared), "it answers again")
    stays(shared, address(), 3)
    are_full([other], shared)


def test_a_reload_to_another_store_and_a_lower_limit_counts_what_is_there(run, held, ports):
    one, other = run(limits=per_address(3))
    inside = admitted([come(held, one), come(held, one), come(held, other)])
    assert len(inside) == 3
    with redis(ports.free()) as another:
        for proxy in (one, other):
            proxy.settings["shared"]["url"] = another.url
            proxy.settings["limits"] = per_address(2)
            proxy.configuration.write_text(document(proxy.settings))
            mmp(proxy, "reload")
        for left in (3, 2):
            stays(another, address(), left)
            are_full((one, other), another)
            leave(inside[3 - left : 4 - left])
        stays(another, address(), 1)
        one_more_gets_in(held, (one, other), another)


def test_a_program_that_is_replaced_goes_on_with_what_it_holds_for_all_hosts(run, held, shared):
    one, other = run(limits=per_address(3))
    inside = admitted([come(held, one), come(held, one), come(held, other)])
    assert len(inside) == 3
    before = len(one.log())
    one.process.send_signal(signal.SIGUSR2)
    leave(inside[:1])  # perhaps while nobody is there to tell the store
    for words in (("program result=replaced",), (" shared ", "result=rejoined", "leases=1"), (" serving ",)):
        one.logged(*words, after=before, patience=LONG)
    stays(shared, address(), 2)
    one_more_gets_in(held, (one, other), shared)


def test_where_silence_is_a_refusal_nobody_gets_in(run, held, shared):
    one, _ = run(limits=per_address(9), shared={"on_failure": "refuse"})
    until(lambda: admitted([come(held, one)]), "the store answers")
    shared.kill()
    until(lambda: not status(one)["up"], "it finds out")
    assert not admitted([come(held, one)])
    assert 'reason="limit: shared state"' in one.log()
    shared.start()
    until(lambda: admitted([come(held, one)]), "it lets people in again")


def test_bans_and_kicks_at_one_host_are_in_force_at_the_other_and_lifted_likewise_over_a_restart(run, held):
    one, other = run()
    inside = come(held, other)
    assert log_in(inside).startswith(b"a OK")
    mmp(one, "ban", "127.0.0.9", "--for", "1h", "--reason", "test")
    until(lambda: {greeted(other, "127.0.0.9") for _ in range(TIMES)} == {BANNED}, "all workers there know of it")
    other.logged(" ban ", "result=banned", "network=127.0.0.9/32", "reason=test", "host=another")
    (row,) = mmp_json(other, "badguys")
    assert (row["kind"], row["network"], row["reason"]) == ("ban", "127.0.0.9/32", "test")
    assert mmp_json(one, "kick", ALICE.user) == {"count": 0, "elsewhere": True}
    inside.rest()
    other.stop()
    other.start()
    until(lambda: greeted(other, "127.0.0.9") == BANNED, "it learns of it from the store")
    assert mmp_json(other, "unban", "127.0.0.9") == {"count": 1}
    until(lambda: BANNED not in {greeted(one, "127.0.0.9") for _ in range(TIMES)}, "it is lifted at the first")


def test_a_ban_lifted_while_the_store_was_silent_does_not_come_back_though_the_host_was_restarted(run, shared):
    one, other = run()
    mmp(one, "ban", "127.0.0.9")
    until(lambda: greeted(other, "127.0.0.9") == BANNED, "the other hears of it")
    shared.stop()
    try:
        until(lambda: not status(one)["up"], "it finds out")
        assert mmp_json(one, "unban", "127.0.0.9") == {"count": 1}
        one.stop()
        one.start()
    finally:
        shared.go_on()
    for proxy in (other, one):
        until(lambda proxy=proxy: BANNED not in {greeted(proxy, "127.0.0.9") for _ in range(TIMES)}, "it is lifted")


def explained(proxy):
    """Return the lines that tell of limits, with what is known of other hosts."""
    done = run_command([*MMP, "explain", str(proxy.configuration), ALICE.user])
    told = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    return [found for what, found in told if what in {"limit", "shared"}]


def test_explain_tells_what_is_known_of_other_hosts(run, held, shared):
    one, other = run(limits={"per_user": 5, "logins_per_minute": 600, "per_address": []})
    assert admitted([come(held, other)])
    more = f"rates are counted at {shared.url}; of sessions and failures other hosts may know more"
    assert explained(one) == ["per_user: 0 of 5 sessions", "logins_per_minute: 600 of all hosts", more]
    shared.kill()
    until(lambda: not status(one)["up"], "it finds out")
    limit, rate, alone = explained(one)
    assert (limit, rate) == ("per_user: 0 of 5 sessions", "logins_per_minute: 600; there is room")
    assert alone.startswith(f"this host counts alone, since {shared.url} is away: ")


def test_failures_are_counted_over_hosts_until_the_address_is_banned_at_all(run, held):
    proxies = run(throttle={"penalty": "0s", "ban_after": 4, "ban_time": "1h"})
    for number in range(4):
        guess(held, proxies[number % 2], b"wrong-%d" % number, "127.0.0.9")
    for proxy in proxies:
        until(lambda proxy=proxy: greeted(proxy, "127.0.0.9") == BANNED, "it is banned")
    assert all(greeted(proxy).startswith(b"* OK") for proxy in proxies)
    assert sum('reason="4 failures"' in proxy.logged(" ban ", "result=banned") for proxy in proxies) == 2


def test_hosts_share_a_redis_in_tls(run, held, ports, certificates):
    with redis_in_tls(ports.free(), certificates.issue(*LOOPBACK)) as server:
        one, other = run(limits=per_address(3), shared={"url": server.url, "ca": str(certificates.ca)})
        assert len(admitted([come(held, one), come(held, other), come(held, other)])) == 3
        until(lambda: is_turned_away(one), "it knows of all")
        mmp(one, "ban", "127.0.0.9")
        until(lambda: greeted(other, "127.0.0.9") == BANNED, "the other hears of it")
