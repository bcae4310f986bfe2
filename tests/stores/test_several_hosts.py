"""Logins where several hosts will do, over loopback: another is tried only while none has heard of the login."""

import pytest
from attrs import evolve

from mmp.demo.listeners import bound
from mmp.errors import Refused
from mmp.model import Account, Client, Credentials, Endpoint, Refusal, Service, TLSMode
from mmp.net.connect import Connector
from mmp.net.resolve import Resolver
from mmp.net.tls import ClientTLS
from mmp.stores.dial import Dial, Route
from mmp.stores.known import Known, Survey
from mmp.stores.routing import InTurn
from mmp.wire.submission.client import Client as SubmissionClient
from tests import fakes
from tests.net.turning import Turning
from tests.running import started

CLIENT = Client("s1", Service.SUBMISSION, Endpoint("192.0.2.7", 51234), Endpoint("192.0.2.1", 587))
ACCOUNT = Account("alice@example.com", "alice", "store1.example.com")
CREDENTIALS = Credentials("PLAIN", "alice@example.com", b"s3cret")
OFFERED = b"250-relay\r\n250-DSN\r\n250 AUTH PLAIN\r\n"


def make_core():
    return SubmissionClient(starttls=False, hostname="proxy")


class Scene:
    """Two relays, of which the test plays every word; the first's turn is first."""

    def __init__(self):
        self.turning = Turning()
        self.relays = bound(("127.0.0.2", "127.0.0.3"))
        port = self.relays[0].getsockname()[1]
        self.log = fakes.Log()
        self.known = Known()
        loop = self.turning.loop
        self.dial = Dial(
            Connector(loop, Resolver(self.turning.reactor, loop.wheel)),
            loop.wheel,
            Route(
                port=port,
                tls=TLSMode.NONE,
                client_tls=ClientTLS(),
                connect_timeout=60.0,
                login_timeout=60.0,
                max_connecting=2,
                tell_origin=False,
                make_core=make_core,
            ),
            self.log,
            InTurn(("127.0.0.2", "127.0.0.3"), 30.0, self.turning.reactor.seconds),
            self.known.learn,
        )
        self.account = ACCOUNT
        self.results = []

    def connect(self):
        running = started(self.dial.connect(CLIENT, self.account, CREDENTIALS, fakes.never_asked))
        running.addBoth(self.results.append)

    def accepted(self, number):
        """Return a relay's end of the next connection to it."""
        self.relays[number].setblocking(False)
        found = []

        def arrived():
            try:
                found.append(self.relays[number].accept()[0])
            except BlockingIOError:
                return False
            return True

        self.turning.until(arrived)
        found[0].setblocking(False)
        return found[0]

    def says(self, relay, octets, awaited):
        """Let a relay say something, and turn until it has heard these words."""
        relay.sendall(octets)
        got = bytearray()

        def heard():
            try:
                got.extend(relay.recv(65536))
            except BlockingIOError:
                return False
            return awaited in got

        self.turning.until(heard)

    def result(self):
        self.turning.until(lambda: self.results)
        return self.results.pop()

    def close(self):
        for relay in self.relays:
            relay.close()


@pytest.fixture
def scene(failures_cleaned):
    scene = Scene()
    yield scene
    scene.close()
    scene.turning.close()


def test_a_host_that_cannot_be_reached_is_passed_over_and_then_avoided(scene):
    scene.relays.pop(0).close()
    for _ in range(3):
        scene.connect()
        with scene.accepted(0) as relay:
            scene.says(relay, b"220 hello\r\n", b"EHLO")
            scene.says(relay, OFFERED, b"AUTH PLAIN")
            relay.sendall(b"235 2.7.0 in\r\n")
            connection = scene.result()
            assert connection.name == "127.0.0.3"
            connection.channel.abort()
    assert [fact["backend"] for fact in scene.log.named("backend") if fact["result"] == "failed"] == ["127.0.0.2"]
    assert scene.known.common == (b"DSN", b"AUTH PLAIN")


@pytest.mark.parametrize("words", [b"", b"421 4.3.2 busy\r\n", b"220 hello\r\n500 what\r\n", b"garbage\r\n"])
def test_a_host_that_is_no_use_before_the_login_is_passed_over(scene, words):
    scene.connect()
    with scene.accepted(0) as first:
        first.sendall(words)
        first.close()
    with scene.accepted(1) as second:
        scene.says(second, b"220 hello\r\n", b"EHLO")
        scene.says(second, OFFERED, b"AUTH PLAIN")
        second.sendall(b"235 2.7.0 in\r\n")
        connection = scene.result()
        assert connection.name == "127.0.0.3"
        connection.channel.abort()


@pytest.mark.parametrize("end", [b"", b"garbage\r\n"])
def test_once_the_password_was_sent_nobody_else_hears_it(scene, end):
    scene.connect()
    with scene.accepted(0) as first:
        scene.says(first, b"220 hello\r\n", b"EHLO")
        scene.says(first, OFFERED, b"AUTH PLAIN")
        first.sendall(end)
        first.close()
    refused = scene.result()
    assert refused.check(Refused)
    assert refused.value.refusal is Refusal.BACKEND_UNAVAILABLE
    scene.relays[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        scene.relays[1].accept()
    scene.connect()
    with scene.accepted(1) as second:  # its turn; the first is avoided besides
        second.close()
    with scene.accepted(0) as first:
        first.close()
    assert scene.result().check(Refused)


def test_a_refused_password_is_refused_by_one_for_all(scene):
    scene.connect()
    with scene.accepted(0) as first:
        scene.says(first, b"220 hello\r\n", b"EHLO")
        scene.says(first, OFFERED, b"AUTH PLAIN")
        first.sendall(b"535 5.7.8 no\r\n")
        refused = scene.result()
    assert refused.value.refusal is Refusal.BAD_CREDENTIALS


@pytest.mark.parametrize(("judged", "told"), [(True, b"LOGIN=alice"), (False, b"AUTH PLAIN")])
def test_a_relay_may_take_our_word_only_where_we_have_judged(scene, judged, told):
    scene.dial.route = evolve(scene.dial.route, tell_origin=True)
    scene.account = evolve(ACCOUNT, judged=judged)
    scene.connect()
    with scene.accepted(0) as relay:
        scene.says(relay, b"220 hello\r\n", b"EHLO")
        if judged:
            scene.says(relay, b"250-relay\r\n250 XCLIENT ADDR LOGIN\r\n", told)
        else:
            scene.says(relay, b"250-relay\r\n250-AUTH PLAIN\r\n250 XCLIENT ADDR LOGIN\r\n", b"ADDR=192.0.2.7\r\n")
            scene.says(relay, b"220 again\r\n", b"EHLO")
            scene.says(relay, OFFERED, told)
    assert scene.result().check(Refused)


def survey(scene, host):
    asking = Survey(scene.dial, Service.SUBMISSION, (host,), scene.known, make_core, scene.log)
    started(asking.ask(host)).addBoth(scene.results.append)


def test_a_relay_is_asked_what_it_offers_and_told_goodbye(scene):
    survey(scene, "127.0.0.3")
    with scene.accepted(1) as relay:
        scene.says(relay, b"220 hello\r\n", b"EHLO proxy\r\n")
        scene.says(relay, OFFERED, b"QUIT\r\n")
        assert scene.result() is None
    assert scene.known.common == (b"DSN", b"AUTH PLAIN")


def test_a_relay_that_is_away_is_told_to_the_log(scene):
    scene.relays.pop(0).close()
    survey(scene, "127.0.0.2")
    assert scene.result() is None
    (fact,) = scene.log.named("backend")
    assert (fact["result"], fact["backend"]) == ("failed", "127.0.0.2")
    assert scene.known.common == ()
