"""Host names to addresses."""

import socket
import threading

import pytest
from twisted.internet.defer import CancelledError, Deferred

from mmp.net import resolve
from mmp.net.resolve import MOST, REMEMBER, Resolver


class Names:
    """What the system's resolver answers, once the test lets it."""

    def __init__(self):
        self.answers = {}
        self.asked = []
        self.let = threading.Event()
        self.let.set()

    def getaddrinfo(self, host, port, type):  # noqa: A002 - its name there
        assert (port, type) == (None, socket.SOCK_STREAM)
        self.asked.append(host)
        assert self.let.wait(20)
        answer = self.answers.get(host, socket.gaierror(-2, "Name or service not known"))
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, type, 6, "", (address, 0)) for address in answer]


class Scene:
    def __init__(self, turning):
        self.turning = turning
        self.threads = turning.reactor.getThreadPool()
        self.threads.start()
        self.resolver = Resolver(turning.reactor, turning.loop.wheel)

    def ask(self, host):
        """Begin to ask; return the Deferred, and the list that the outcome will be in."""
        outcome = []
        running = Deferred.fromCoroutine(self.resolver.addresses(host))
        running.addBoth(outcome.append)
        return running, outcome

    def addresses(self, host):
        return self.turning.outcome(self.ask_plainly(host))

    def ask_plainly(self, host):
        return Deferred.fromCoroutine(self.resolver.addresses(host))


@pytest.fixture
def names(monkeypatch):
    made = Names()
    made.answers["store.example"] = ["192.0.2.1", "192.0.2.2", "192.0.2.1"]
    monkeypatch.setattr(resolve.socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.let.set()


@pytest.fixture
def scene(turning, names):
    made = Scene(turning)
    yield made
    names.let.set()
    made.threads.stop()


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_an_address_is_its_own_answer_at_once(scene, names, address):
    _, outcome = scene.ask(address)
    assert outcome == [(address,)]
    assert names.asked == []


def test_an_address_of_ipv4_that_is_written_as_one_of_ipv6_is_known_as_what_it_is(scene):
    """Else neither our own address nor a network of stores would be found in it."""
    _, outcome = scene.ask("::ffff:192.0.2.1")
    assert outcome == [("192.0.2.1",)]


def test_a_name_has_each_of_its_addresses_once_in_the_systems_order(scene):
    assert scene.addresses("store.example") == ("192.0.2.1", "192.0.2.2")


def test_all_who_ask_at_the_same_time_share_one_look_up(scene, names):
    names.let.clear()
    outcomes = [scene.ask("store.example")[1] for _ in range(5)]
    assert outcomes == [[]] * 5
    names.let.set()
    scene.turning.until(lambda: all(outcomes))
    assert outcomes == [[("192.0.2.1", "192.0.2.2")]] * 5
    assert names.asked == ["store.example"]


def test_who_gives_up_costs_the_others_nothing(scene, names):
    names.let.clear()
    (first, first_outcome), (_, second_outcome) = scene.ask("store.example"), scene.ask("store.example")
    first.cancel()
    assert first_outcome[0].check(CancelledError)
    assert second_outcome == []
    names.let.set()
    scene.turning.until(lambda: second_outcome)
    assert second_outcome == [("192.0.2.1", "192.0.2.2")]


def test_when_all_have_given_up_the_answer_is_kept_for_the_next(scene, names):
    names.let.clear()
    running, _ = scene.ask("store.example")
    running.cancel()
    names.let.set()
    scene.turning.until(lambda: scene.resolver._known)
    assert scene.ask("store.example")[1] == [("192.0.2.1", "192.0.2.2")]
    assert scene.resolver._asked == {}


def test_one_who_is_answered_may_cancel_another(scene, names):
    names.let.clear()
    first, _ = scene.ask("store.example")
    second, second_outcome = scene.ask("store.example")
    first.addBoth(lambda _: second.cancel())
    names.let.set()
    scene.turning.until(lambda: second_outcome)
    assert second_outcome[0].check(CancelledError)


def test_a_failure_is_told_to_all_and_not_remembered(scene, names):
    names.let.clear()
    outcomes = [scene.ask("nowhere.example")[1] for _ in range(3)]
    names.let.set()
    scene.turning.until(lambda: all(outcomes))
    assert all(outcome[0].check(OSError) for outcome in outcomes)
    names.answers["nowhere.example"] = ["192.0.2.9"]
    assert scene.addresses("nowhere.example") == ("192.0.2.9",)


def test_a_name_that_cannot_be_one_is_an_ordinary_failure(scene, monkeypatch):
    monkeypatch.undo()  # the system's own resolver objects before it asks anybody
    for name in ("a..b", "x" * 64 + ".example"):
        with pytest.raises(OSError, match="cannot be a host name"):
            scene.addresses(name)


def test_an_answer_is_remembered_for_a_while(scene, names):
    scene.addresses("store.example")
    wheel = scene.turning.loop.wheel
    wheel.now += wheel.ticks(REMEMBER) - 1
    scene.addresses("store.example")
    assert len(names.asked) == 1
    wheel.now += 1
    names.answers["store.example"] = ["192.0.2.3"]
    assert scene.addresses("store.example") == ("192.0.2.3",)


def test_what_is_remembered_is_bounded(scene, names):
    for number in range(MOST + 10):
        scene.ask(f"10.0.{number >> 8}.{number & 255}")
    assert len(scene.resolver._known) == MOST
    assert scene.addresses("store.example")
    assert len(scene.resolver._known) == MOST
