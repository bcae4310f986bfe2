"""Redis and memcached answer as the store does that the tests have in memory."""

import math
import socket
import threading
import time
from contextlib import ExitStack

import pytest
from twisted.internet.endpoints import TCP4ClientEndpoint

from mmp.policy.badness import REMEMBERED, Penalties
from mmp.policy.throttle import Known
from mmp.shared.memcached import MemcachedStore
from mmp.shared.redis import SHA, Access, RedisStore
from mmp.shared.store import (
    Announce,
    Count,
    Fail,
    Fetch,
    Forget,
    Hold,
    Item,
    Look,
    Slot,
    StoreError,
    Strike,
    Take,
    Uncount,
    Vouch,
)
from tests.integration.ports import Ports
from tests.integration.scripted import PATIENCE, scripted
from tests.integration.shared_stores import ADDRESS, memcached, redis
from tests.net.turning import Turning
from tests.shared.shelf import Shelf, ShelfStore

LEASE = 60.0
NEWS = (b"mmp:news", b"mmp:news:order", b"mmp:news:ends")
SLOW = Penalties(penalty=2.0, most=5.0, decay=600.0)


class Clock:
    """The time of day."""

    seconds = staticmethod(time.monotonic)


class Scene:
    """Two hosts before one store, on a loop that the test turns; keys are the test's own."""

    def __init__(self, make):
        self.turning = Turning()
        self.make = make
        self.one, self.other = make(self.turning, "one", LEASE), make(self.turning, "other", LEASE)
        self.lost, self.nudges = [], []
        for store in (self.one, self.other):
            self.connect(store)
        self.prefix = f"test{time.monotonic_ns()}:"

    def connect(self, store):
        self.turning.outcome(store.connect(self.lost.append, lambda: self.nudges.append(store)))

    def another(self, name, lease):
        store = self.make(self.turning, name, lease)
        self.connect(store)
        return store

    def key(self, name):
        return (self.prefix + name).encode()

    def ask(self, store, *questions):
        return self.turning.outcome(store.ask(questions))

    def take(self, store, own, most, name="user", *, observed=False):
        return self.ask(store, Take((Slot(self.key(name), own, most, observed),)))[0]

    def look(self, store):
        return self.ask(store, Look(self.key("household"), self.key("account"), self.key("vouched")))[0]

    def fail(self, store, digest, penalties=SLOW):
        self.ask(store, Fail(self.key("household"), digest.to_bytes(8), penalties))

    def close(self):
        for store in (self.one, self.other):
            store.disconnect()
        self.turning.turn()
        self.turning.close()


def in_memory():
    shelf = Shelf(Clock())
    return lambda _turning, host, lease: ShelfStore(shelf, host, lease)


def over_redis(port, access=Access()):  # noqa: B008 - a value
    return lambda turning, host, lease: RedisStore(
        turning.reactor, TCP4ClientEndpoint(turning.reactor, ADDRESS, port), access, host, lease
    )


def over_memcached(port):
    return lambda turning, host, lease: MemcachedStore(
        turning.reactor, TCP4ClientEndpoint(turning.reactor, ADDRESS, port), host, lease, time.time
    )


@pytest.fixture(scope="module")
def ports():
    claimed = Ports()
    yield claimed
    claimed.close()


@pytest.fixture(scope="module", params=["memory", "redis", "memcached"])
def make(request, ports):
    """Returns how a store is made."""
    if request.param == "memory":
        yield in_memory()
    elif request.param == "memcached":
        with memcached(ports.free()) as server:
            yield over_memcached(server.port)
    else:
        with redis(ports.free()) as server:
            yield over_redis(server.port)


@pytest.fixture
def scene(make):
    made = Scene(make)
    yield made
    made.close()


def test_slots_are_counted_over_hosts_and_each_says_its_own_number(scene):
    assert [scene.take(scene.one, number, 3) for number in (1, 2)] == [0, 0]
    assert [scene.take(scene.other, number, 3) for number in (1, 2)] == [0, 1]
    assert scene.take(scene.one, 2, 3) == 0
    scene.ask(scene.one, Hold(scene.key("user"), 1))
    assert scene.take(scene.other, 2, 3) == 0
    scene.ask(scene.one, Hold(scene.key("user"), 0))
    assert scene.take(scene.other, 3, 3) == 0
    assert scene.take(scene.one, 1, 3) == 1


def test_of_several_slots_all_are_taken_or_none(scene):
    def slots(own):
        return Take(tuple(Slot(scene.key(name), own, most, False) for name, most in (("a", 5), ("b", 1), ("c", 5))))

    assert scene.ask(scene.one, slots(1), slots(2)) == [0, 0b010]
    assert scene.take(scene.other, 4, 5, "a") == 0
    assert scene.take(scene.other, 1, 5, "a") == 0
    assert scene.take(scene.other, 5, 5, "a") == 1


def test_a_slot_that_is_only_observed_is_taken_and_told(scene):
    assert [scene.take(scene.one, number, 1, observed=True) for number in (1, 2)] == [0, 1]
    assert scene.take(scene.other, 1, 3) == 0
    assert scene.take(scene.other, 2, 3) == 1


def test_what_a_host_holds_counts_for_a_lease(scene):
    brief = scene.another("brief", 2.0)
    assert scene.take(brief, 2, 2) == 0
    assert scene.take(scene.one, 1, 2) == 1
    scene.turning.until(lambda: scene.take(scene.one, 1, 2) == 0)
    assert scene.take(scene.one, 2, 2) == 0
    brief.disconnect()


def test_a_host_whose_lease_is_shorter_leaves_those_of_others_as_long_as_they_are(scene):
    assert scene.take(scene.one, 2, 3) == 0
    brief = scene.another("brief", 2.0)
    assert scene.take(brief, 1, 3) == 0
    scene.turning.until(lambda: scene.take(scene.other, 1, 3) == 0)
    assert scene.take(scene.other, 2, 3) == 1
    brief.disconnect()


def test_events_have_room_as_their_rate_says(scene):
    event = Count(scene.key("rate"), 20.0, 60.0)
    assert scene.ask(scene.one, event, event) + scene.ask(scene.other, event) == [0.0] * 3
    (wait,) = scene.ask(scene.other, event)
    assert 0 < wait <= 20
    assert scene.ask(scene.one, Count(scene.key("else"), 20.0, 60.0)) == [0.0]


def test_an_event_that_has_not_happened_leaves_its_room(scene):
    event, not_so = Count(scene.key("rate"), 30.0, 60.0), Uncount(scene.key("rate"), 30.0)
    assert scene.ask(scene.one, event, event)[-1] == 0.0
    scene.ask(scene.other, not_so)
    assert scene.ask(scene.one, event) == [0.0]
    assert scene.ask(scene.one, event) != [0.0]
    scene.ask(scene.one, not_so, not_so, not_so)
    assert scene.ask(scene.other, event, event) == [0.0, 0.0]


def test_a_rate_has_room_again_with_time(scene):
    event = Count(scene.key("rate"), 2.0, 4.0)
    assert scene.ask(scene.one, event, event) == [0.0, 0.0]
    scene.turning.until(lambda: scene.ask(scene.other, event) == [0.0])
    assert scene.ask(scene.one, event) != [0.0]


def test_of_whom_nothing_is_known_nothing_is(scene):
    assert scene.look(scene.one) == Known()


def test_failures_add_up_over_hosts_to_the_most_and_each_counts_once(scene):
    for store, digest in ((scene.one, 1), (scene.other, 2), (scene.one, 2), (scene.one, 0x0D0A), (scene.other, 4)):
        scene.fail(store, digest)
    record = scene.look(scene.other).household
    assert (record.badness, record.failures) == (5.0, 4)
    assert record.seen == tuple(digest.to_bytes(8) for digest in (1, 2, 0x0D0A, 4))
    assert 0 <= record.age < 600


def test_of_failures_so_many_are_remembered(scene):
    for digest in range(REMEMBERED + 2):
        scene.fail(scene.one, digest)
    record = scene.look(scene.other).household
    assert record.failures == REMEMBERED + 2
    assert record.seen == tuple(digest.to_bytes(8) for digest in range(2, REMEMBERED + 2))


def test_failures_are_forgotten_with_time_or_when_that_is_told(scene):
    scene.fail(scene.one, 1, Penalties(decay=0.5))
    scene.turning.until(lambda: scene.look(scene.other).household is None)
    scene.fail(scene.one, 1)
    scene.ask(scene.other, Forget(scene.key("household")))
    assert scene.look(scene.one) == Known()


def test_badness_shrinks_evenly_where_it_is_to(scene):
    even = Penalties(penalty=100.0, most=1000.0, decay=100.0, linear=True)
    scene.fail(scene.one, 1, even)
    began = scene.look(scene.one).household
    assert began.badness == 100.0
    scene.turning.until(lambda: scene.look(scene.one).household.age >= 0.2)
    scene.fail(scene.one, 2, even)
    assert 100.0 < scene.look(scene.one).household.badness < 200.0


def test_an_account_is_known_beside_a_household(scene):
    scene.ask(scene.one, Fail(scene.key("account"), bytes(8), SLOW))
    known = scene.look(scene.other)
    assert known.household is None
    assert (known.user.badness, known.user.seen) == (2.0, (bytes(8),))


def test_a_user_is_vouched_for_until_time_or_somebody_says_otherwise(scene):
    scene.ask(scene.one, Vouch(scene.key("vouched"), 100.0))
    assert 90 < scene.look(scene.other).vouched <= 100
    scene.ask(scene.other, Forget(scene.key("vouched")))
    assert scene.look(scene.one).vouched == 0
    scene.ask(scene.one, Vouch(scene.key("vouched"), 1.0))
    scene.turning.until(lambda: not scene.look(scene.other).vouched)


def test_failures_of_all_hosts_come_to_a_ban_and_each_counts_once(scene):
    def strikes(digest):
        return Strike(scene.key("strikes"), digest.to_bytes(8), 3, 600.0)

    assert scene.ask(scene.one, strikes(1), strikes(1), strikes(2)) == [0, 0, 0]
    assert scene.ask(scene.other, strikes(2), strikes(3)) == [0, 1]
    assert scene.ask(scene.one, strikes(3), strikes(4)) == [0, 0]


def test_failures_longer_ago_than_the_window_do_not_come_to_a_ban(scene):
    def strikes(digest):
        return scene.ask(scene.one, Strike(scene.key("strikes"), digest.to_bytes(8), 2, 0.5))

    assert strikes(1) == [0]
    began = time.monotonic()
    scene.turning.until(lambda: time.monotonic() - began > 0.6)
    assert strikes(2) == [0]


def test_a_batch_is_answered_in_order(scene):
    replies = scene.ask(
        scene.one,
        *(Take((Slot(scene.key("user"), number, 2, False),)) for number in (1, 2, 3)),
        Look(scene.key("household"), scene.key("account"), scene.key("vouched")),
        Count(scene.key("rate"), 60.0, 60.0),
    )
    assert replies == [0, 0, 1, Known(), 0.0]


def test_its_end_is_told_once_and_what_is_asked_then_fails(scene):
    scene.one.disconnect()
    scene.turning.until(lambda: scene.lost)
    with pytest.raises(StoreError):
        scene.take(scene.one, 1, 2)
    scene.turning.turn()
    assert len(scene.lost) == 1
    scene.connect(scene.one)
    assert scene.take(scene.one, 1, 2) == 0


# News, which memcached cannot tell


@pytest.fixture(params=["memory", "redis"])
def newsroom(request, ports):
    """Two hosts before a store that tells news."""
    with ExitStack() as stack:
        server = stack.enter_context(redis(ports.free())) if request.param == "redis" else None
        scene = Scene(in_memory() if server is None else over_redis(server.port))
        stack.callback(scene.close)
        yield scene


def say(scene, store, subject, seconds=100.0, text="", *, kept=100.0):
    scene.ask(store, Announce(NEWS, subject, seconds, kept, text))


def fetch(scene, store, era="", number=0):
    return scene.ask(store, Fetch(NEWS, era, number))[0]


def test_what_is_announced_is_told_to_all_in_order_and_each_time_from_where_one_was(newsroom):
    say(newsroom, newsroom.one, "ban 192.0.2.0/24", 100.0, "guesses | ä\n")
    say(newsroom, newsroom.other, "kick alice", 50.0)
    heard = fetch(newsroom, newsroom.other)
    assert heard.anew
    assert not heard.goes_on
    first, second = heard.items
    assert (first.subject, first.own, first.text) == ("ban 192.0.2.0/24", False, "guesses | ä\n")
    assert 90 < first.seconds <= 100
    assert (second.subject, second.own) == ("kick alice", True)
    assert not fetch(newsroom, newsroom.other, heard.era, heard.number).items
    say(newsroom, newsroom.one, "ban 192.0.2.0/24", 0.0)
    later = fetch(newsroom, newsroom.other, heard.era, heard.number)
    assert not later.anew
    assert [(each.subject, each.seconds <= 0) for each in later.items] == [("ban 192.0.2.0/24", True)]
    assert len(fetch(newsroom, newsroom.one).items) == 2


def test_a_ban_without_end_is_told_as_such(newsroom):
    say(newsroom, newsroom.one, "ban ::/0", math.inf, kept=math.inf)
    assert fetch(newsroom, newsroom.other).items == (Item("ban ::/0", False, math.inf, ""),)


def test_announcements_nudge_all_who_listen(newsroom):
    newsroom.nudges.clear()
    say(newsroom, newsroom.one, "kick alice")
    newsroom.turning.until(lambda: newsroom.other in newsroom.nudges)


def test_much_is_told_in_pieces(newsroom):
    for number in range(250):
        say(newsroom, newsroom.one, f"ban 192.0.2.{number}/32", text="x" * number)
    heard = fetch(newsroom, newsroom.other)
    found = list(heard.items)
    while heard.goes_on:
        heard = fetch(newsroom, newsroom.other, heard.era, heard.number)
        assert not heard.anew
        found += heard.items
    assert [each.subject for each in found] == [f"ban 192.0.2.{number}/32" for number in range(250)]


def test_a_store_that_knows_less_than_one_has_heard_tells_everything(newsroom):
    say(newsroom, newsroom.one, "kick alice")
    heard = fetch(newsroom, newsroom.other)
    for era, number in ((heard.era, heard.number + 1), ("another", heard.number)):
        again = fetch(newsroom, newsroom.other, era, number)
        assert again.anew
        assert [each.subject for each in again.items] == ["kick alice"]


# Redis alone


SIZES = (("HLEN", NEWS[0]), ("ZCARD", NEWS[1]), ("ZCARD", NEWS[2]))


def test_what_is_over_is_dropped_from_redis_with_the_next_announcement(turning, ports):
    with redis(ports.free()) as server:
        store = over_redis(server.port)(turning, "one", LEASE)
        turning.outcome(store.connect(lambda _: None, lambda: None))
        for number in range(5):
            turning.outcome(store.ask([Announce(NEWS, f"kick {number}", 0.001, 0.001, "")]))
        last = Announce(NEWS, "kick alice", 10.0, 10.0, "")

        def left():
            turning.outcome(store.ask([last]))
            return [turning.outcome(store._protocol.execute_command(*each)) for each in SIZES]

        turning.until(lambda: left() == [2, 1, 1])  # the number of the last, and the last
        store.disconnect()
        turning.turn()


@pytest.fixture
def turning():
    made = Turning()
    yield made
    made.close()


def refused(turning, store):
    with pytest.raises(StoreError) as raised:
        turning.outcome(store.connect(lambda _: None, lambda: None))
    return str(raised.value)


def test_redis_wants_its_password_and_gets_it(turning, ports):
    with redis(ports.free(), "--requirepass", "s3cret") as server:
        make = over_redis(server.port)
        assert "Authentication required" in refused(turning, make(turning, "one", LEASE))
        wrong = over_redis(server.port, Access(password=b"wrong"))
        assert "WRONGPASS" in refused(turning, wrong(turning, "one", LEASE))
        right = over_redis(server.port, Access(password=b"s3cret", database=3))(turning, "one", LEASE)
        turning.outcome(right.connect(lambda _: None, lambda: None))
        assert turning.outcome(right.ask([Count(b"test", 1.0, 60.0)])) == [0.0]
        right.disconnect()
        turning.turn()
    assert "s3cret" not in repr(Access(password=b"s3cret"))


def test_where_nobody_listens_that_is_said(turning, ports):
    assert "refused" in refused(turning, over_redis(ports.free())(turning, "one", LEASE))


def test_a_connection_that_ends_before_the_other_listens_is_no_connection(turning, ports):
    """What is told of a connection's end later is not told of one that has ended before."""
    listens, gone = threading.Event(), threading.Event()

    def script(client):
        if next(line for line in iter(client.line, b"") if line in (b"SCRIPT", b"SUBSCRIBE")) == b"SCRIPT":
            client.send(b"$40\r\n" + SHA.encode() + b"\r\n")
            listens.wait(PATIENCE)
            client.connection.shutdown(socket.SHUT_WR)
            client.rest()
            gone.set()
        else:
            listens.set()
            gone.wait(PATIENCE)
            client.send(b"*3\r\n$9\r\nsubscribe\r\n$8\r\nmmp:news\r\n:1\r\n")
            client.rest()

    port = ports.free()
    with scripted(ADDRESS, port, script):
        store = over_redis(port)(turning, "one", LEASE)
        assert "closed" in refused(turning, store)
        turning.turn()


def test_the_end_of_redis_is_told_and_what_was_asked_fails(turning, ports):
    with redis(ports.free()) as server:
        lost = []
        store = over_redis(server.port)(turning, "one", LEASE)
        turning.outcome(store.connect(lost.append, lambda: None))
        server.stop()
        asked = store.ask([Count(b"test", 1.0, 60.0)])
        turning.turn()
        server.kill()
        with pytest.raises(StoreError):
            turning.outcome(asked)
        turning.until(lambda: lost)


def test_news_of_which_redis_has_dropped_a_part_for_want_of_memory_are_told_anew(turning, ports):
    with redis(ports.free()) as server:
        store = over_redis(server.port)(turning, "one", LEASE)
        turning.outcome(store.connect(lambda _: None, lambda: None))
        said = [Announce(NEWS, f"ban 192.0.2.{number}/32", 100.0, 100.0, "") for number in range(3)]
        turning.outcome(store.ask(said))
        turning.outcome(store._protocol.execute_command("DEL", NEWS[0]))
        (heard,) = turning.outcome(store.ask([Fetch(NEWS, "an era before", 3)]))
        assert (heard.anew, heard.number, heard.items, heard.goes_on) == (True, 0, (), False)
        *_, heard = turning.outcome(store.ask([said[0], Fetch(NEWS, heard.era, heard.number)]))
        assert [item.subject for item in heard.items] == ["ban 192.0.2.0/32"]
        store.disconnect()
        turning.turn()


def test_every_key_in_redis_expires(turning, ports):
    with redis(ports.free()) as server:
        store = over_redis(server.port)(turning, "one", LEASE)
        turning.outcome(store.connect(lambda _: None, lambda: None))
        turning.outcome(
            store.ask(
                [
                    Take((Slot(b"a", 1, 2, False),)),
                    Hold(b"b", 1),
                    Count(b"c", 1.0, 60.0),
                    Fail(b"d", bytes(8), SLOW),
                    Vouch(b"e", 100.0),
                    Strike(b"f", bytes(8), 3, 600.0),
                    Announce(NEWS, "ban ::/0", math.inf, math.inf, ""),
                    Fetch(NEWS, "", 0),
                ]
            )
        )
        protocol = store._protocol
        expiries = [
            turning.outcome(protocol.execute_command("TTL", key))
            for key in (*map(bytes, b"a b c d e f".split()), *NEWS)
        ]
        assert all(seconds > 0 for seconds in expiries)
        assert turning.outcome(protocol.execute_command("DBSIZE")) == 9
        turning.outcome(store.ask([Hold(b"a", 0), Hold(b"b", 0), Forget(b"d"), Forget(b"e"), Forget(b"f")]))
        assert turning.outcome(protocol.execute_command("DBSIZE")) == 4
        store.disconnect()
        turning.turn()
