"""Reaching a store and logging in there, over loopback, and giving up in the middle of it."""

import socket

import pytest
from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred

from mmp.errors import Refused, RemoteProtocolError
from mmp.model import CLEAR, Account, Client, Credentials, Endpoint, Refusal, Security, Service, TLSMode
from mmp.net.channel import Channel
from mmp.net.connect import Connector
from mmp.net.resolve import Resolver
from mmp.net.tls import ClientTLS
from mmp.stores.dial import Dial, Route
from mmp.wire.imap.client import Client as IMAPClient
from mmp.wire.proxy_header import Header, render_v1, render_v2
from tests import fakes
from tests.net.turning import Turning
from tests.running import started

CLIENT = Client("s1", Service.IMAP, Endpoint("192.0.2.7", 51234), Endpoint("192.0.2.1", 993))
ACCOUNT = Account("alice@example.com", "alice", "127.0.0.1")
CREDENTIALS = Credentials("PLAIN", "alice@example.com", b"s3cret")
GREETING = b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n"


class Scene:
    """A dialer, and a store of which the test plays every word."""

    def __init__(self, **changes):
        self.turning = Turning()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.log = fakes.Log()
        self.ask = fakes.never_asked
        usual = {
            "port": self.listening.getsockname()[1],
            "tls": TLSMode.NONE,
            "client_tls": ClientTLS(),
            "connect_timeout": 60.0,
            "login_timeout": 60.0,
            "max_connecting": 2,
            "tell_origin": False,
            "make_core": lambda: IMAPClient(starttls=False),
        }
        loop = self.turning.loop
        connector = Connector(loop, Resolver(self.turning.reactor, loop.wheel))
        self.dial = Dial(connector, loop.wheel, Route(**usual | changes), self.log)
        self.results = []

    def connect(self, credentials=CREDENTIALS, client=CLIENT, account=ACCOUNT):
        running = started(self.dial.connect(client, account, credentials, self.ask))
        running.addBoth(self.results.append)
        return running

    def store(self):
        """Return the store's end of the next connection."""
        accepted, _ = self.listening.accept()
        accepted.setblocking(False)
        return accepted

    def heard(self, store, words):
        """Turn until the store has heard these words; return all it heard."""
        got = bytearray()

        def enough():
            try:
                got.extend(store.recv(65536))
            except BlockingIOError:
                return False
            return words in got

        self.turning.until(enough)
        return bytes(got)

    def at_its_end(self, store):
        """Turn until the store sees the end of its connection."""

        def ended():
            try:
                return store.recv(65536) == b""
            except BlockingIOError:
                return False
            except ConnectionResetError:
                return True

        self.turning.until(ended)

    def failure(self):
        self.turning.until(lambda: self.results)
        return self.results[0].value

    def close(self):
        self.listening.close()
        self.turning.close()


@pytest.fixture
def scene():
    made = []

    def make(**changes):
        made.append(Scene(**changes))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_login_is_replayed_and_what_the_store_sends_behind_it_is_kept(scene):
    here = scene()
    here.connect()
    with here.store() as store:
        store.send(GREETING)
        assert b"AUTHENTICATE PLAIN AGFsaWNlAHMzY3JldA==" in here.heard(store, b"\r\n")
        store.send(b"m1 OK [CAPABILITY IMAP4rev1 IDLE] in\r\n* 3 EXISTS\r\n")
        here.turning.until(lambda: here.results)
        connection = here.results[0]
        assert connection.logged_in.capabilities == (b"IMAP4rev1", b"IDLE")
        assert connection.logged_in.trailing == b"* 3 EXISTS\r\n"
        connection.channel.abort()


def test_a_store_is_reached_at_the_port_and_by_the_password_that_the_directory_says(scene):
    here = scene(port=1)
    port = here.listening.getsockname()[1]
    here.connect(Credentials("XOAUTH2", "alice", b"token"), account=evolve(ACCOUNT, port=port, secret=b"other"))
    with here.store() as store:
        store.send(GREETING)
        assert b"AUTHENTICATE PLAIN AGFsaWNlAG90aGVy\r\n" in here.heard(store, b"\r\n")
        store.send(b"m1 OK [CAPABILITY IMAP4rev1] in\r\n")
        here.turning.until(lambda: here.results)
        here.results[0].channel.abort()


class Asked:
    """The client, asked by way of the session."""

    def __init__(self):
        self.challenges = []

    def __call__(self, challenge):
        self.challenges.append(challenge)
        self.answer = Deferred()
        return self.answer


def exchange(here):
    """Begin a login whose store asks the client for more; return the client and the store."""
    here.ask = asked = Asked()
    here.connect(Credentials("SCRAM-SHA-1", "alice", b"n,,n=alice,r=x"))
    store = here.store()
    store.send(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=SCRAM-SHA-1] ready\r\n")
    assert here.heard(store, b"\r\n") == b"m1 AUTHENTICATE SCRAM-SHA-1 biwsbj1hbGljZSxyPXg=\r\n"
    store.send(b"+ cj14eQ==\r\n")
    here.turning.until(lambda: asked.challenges)
    assert asked.challenges == [b"r=xy"]
    return asked, store


def test_an_exchange_passes_between_store_and_client(scene):
    here = scene()
    asked, store = exchange(here)
    with store:
        asked.answer.callback(b"c=biws")
        assert here.heard(store, b"\r\n") == b"Yz1iaXdz\r\n"
        store.send(b"m1 OK [CAPABILITY IMAP4rev1] in\r\n")
        here.turning.until(lambda: here.results)
        here.results[0].channel.abort()


def test_a_client_that_takes_its_time_is_not_the_stores_fault(scene):
    here = scene(login_timeout=0.2)
    asked, store = exchange(here)
    with store:
        waited = here.turning.loop.wheel.seconds() + 0.5
        here.turning.until(lambda: here.turning.loop.wheel.seconds() > waited)
        assert here.results == []
        asked.answer.callback(b"c=biws")
        here.heard(store, b"\r\n")
        assert "nothing within 0.2 s" in here.failure().reason


@pytest.mark.parametrize(
    "error", [Refused(Refusal.CANCELLED, "given up"), RemoteProtocolError("no IMAP"), ConnectionError("gone")]
)
def test_what_goes_wrong_with_the_client_is_not_the_stores_fault(scene, error):
    here = scene()
    asked, store = exchange(here)
    with store:
        asked.answer.errback(error)
        assert here.failure() is error
        here.at_its_end(store)
    assert [event["result"] for event in here.log.named("backend")] in ([], ["refused"])


def test_a_store_that_goes_while_the_client_is_asked_is_an_outage(scene):
    here = scene()
    asked, store = exchange(here)
    store.close()
    asked.answer.callback(b"c=biws")
    assert here.failure().refusal is Refusal.BACKEND_UNAVAILABLE
    assert [event["result"] for event in here.log.named("backend")] == ["failed"]


@pytest.mark.parametrize("words", [b"", GREETING], ids=["before the greeting", "before the answer to the login"])
def test_an_attempt_that_is_cancelled_closes_its_connection(scene, words):
    here = scene()
    running = here.connect()
    with here.store() as store:
        if words:
            store.send(words)
            here.heard(store, b"\r\n")
        running.cancel()
        assert isinstance(here.failure(), CancelledError)
        here.at_its_end(store)
    assert here.dial._connecting == {}


@pytest.mark.parametrize("words", [b"", GREETING], ids=["no greeting", "no answer to the login"])
def test_a_store_that_says_nothing_is_given_up(scene, words):
    here = scene(connect_timeout=0.5, login_timeout=0.5)
    here.connect()
    with here.store() as store:
        store.send(words)
        refused = here.failure()
        assert isinstance(refused, Refused)
        assert refused.refusal is Refusal.BACKEND_UNAVAILABLE
        assert "nothing within" in refused.reason
        here.at_its_end(store)


def test_a_store_that_nobody_listens_for_is_an_outage(scene):
    here = scene()
    here.listening.close()
    here.connect()
    refused = here.failure()
    assert refused.refusal is Refusal.BACKEND_UNAVAILABLE
    assert "refused" in refused.reason
    assert here.log.named("backend")[0]["result"] == "failed"


def test_what_is_told_of_a_store_says_whose_session_it_is(scene):
    here = scene()
    here.listening.close()
    client = evolve(CLIENT, security=Security("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256))
    here.connect(credentials=evolve(CREDENTIALS, user="Alice"), client=client)
    here.failure()
    (told,) = here.log.named("backend")
    assert {key: told[key] for key in ("session", "service", "client", "server", "tls", "cipher", "mechanism")} == {
        "session": "s1",
        "service": "imap",
        "client": CLIENT.address,
        "server": CLIENT.local,
        "tls": "TLSv1.3",
        "cipher": "TLS_AES_256_GCM_SHA384",
        "mechanism": "PLAIN",
    }
    assert (told["user"], told["typed"], told["backend"]) == ("alice@example.com", "Alice", "127.0.0.1")


def test_more_attempts_than_allowed_at_a_time_are_refused_at_once(scene):
    here = scene()
    waiting = [here.connect() for _ in range(2)]
    here.connect()
    assert here.failure().refusal is Refusal.BACKEND_UNAVAILABLE
    for running in waiting:
        running.cancel()
    assert here.dial._connecting == {}


def test_a_refusal_of_the_store_is_told_with_its_words_for_the_log_and_without_the_password(scene):
    here = scene()
    here.connect()
    with here.store() as store:
        store.send(GREETING)
        here.heard(store, b"\r\n")
        store.send(b"m1 NO [AUTHENTICATIONFAILED] bad s3cret\r\n")
        refused = here.failure()
        assert refused.refusal is Refusal.BAD_CREDENTIALS
        assert "s3cret" not in str(here.log.events) + refused.reason
        here.at_its_end(store)


def test_the_store_is_told_who_the_client_is_where_that_is_wanted(scene):
    here = scene(tell_origin=True)
    here.connect()
    with here.store() as store:
        store.send(GREETING.replace(b"SASL-IR", b"SASL-IR ID"))
        heard = here.heard(store, b"m2 AUTHENTICATE")
    assert heard.startswith(
        b'm1 ID ("name" "mmp" "x-originating-ip" "192.0.2.7" "x-originating-port" "51234" "x-connected-ip" "192.0.2.1" '
        b'"x-connected-port" "993" "x-session-id" "s1" "x-proxy-ttl" "4")\r\n'
    )


def test_a_store_that_is_where_the_client_has_come_in_is_not_gone_to(scene):
    here = scene()
    here.listening.setblocking(False)
    here.connect(client=evolve(CLIENT, local=Endpoint(*here.listening.getsockname())))
    assert "loop" in here.failure().reason
    with pytest.raises(BlockingIOError):
        here.listening.accept()


TLS_CLIENT = evolve(CLIENT, security=fakes.TLS)


@pytest.mark.parametrize("render", [render_v1, render_v2])
@pytest.mark.parametrize("tls", list(TLSMode))
def test_a_proxy_header_is_the_first_that_a_store_hears(scene, render, tls):
    here = scene(render_header=render, tls=tls, make_core=lambda: IMAPClient(starttls=tls is TLSMode.STARTTLS))
    running = here.connect(client=TLS_CLIENT)
    security = CLEAR if tls is TLSMode.STARTTLS else fakes.TLS
    expected = render(Header(CLIENT.address, CLIENT.local, security, b"s1"))
    with here.store() as store:
        heard = here.heard(store, expected)
        assert heard.startswith(expected)
        if tls is not TLSMode.IMPLICIT:
            assert heard == expected
        elif heard == expected:
            here.heard(store, b"\x16\x03")
        running.cancel()
        here.at_its_end(store)


@pytest.mark.parametrize("render", [render_v1, render_v2])
def test_a_connection_without_a_client_is_said_to_be_our_own(scene, render):
    here = scene(render_header=render)
    core = IMAPClient(starttls=False)
    channel = Channel(core, here.dial.handshake("127.0.0.1"))
    running = started(here.dial.make_ready(None, "127.0.0.1", channel, core))
    here.turning.until(lambda: channel.stream)
    with here.store() as store:
        ends = [Endpoint(*store.getpeername()), Endpoint(*store.getsockname())]
        assert here.heard(store, render(Header(*ends))) == render(Header(*ends))
        store.send(GREETING)
        here.turning.outcome(running)
    channel.abort()
