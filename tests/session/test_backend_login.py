"""A login at a store, on an open connection."""

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mmp.errors import Refused, RemoteProtocolError
from mmp.model import Refusal, Replay
from mmp.session.backend_login import answer, make_ready
from mmp.wire.imap.client import Client
from tests import fakes

CAPABLE = b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n"


class Scene:
    def __init__(self, *, starttls=False):
        self.gates = fakes.Gates()
        self.core = Client(starttls=starttls)
        self.channel = fakes.Channel(self.gates, self.core)
        self.ended = []

    def run(self, coroutine):
        Deferred.fromCoroutine(coroutine).addBoth(self.ended.append)
        return self

    def log_in(self):
        self.core.log_in(Replay("alice", b"secret"))
        return self.run(answer(self.channel, self.core))

    def outcome(self):
        result = self.ended.pop()
        return result.value if isinstance(result, Failure) else result


@pytest.fixture
def ready():
    scene = Scene()
    scene.run(make_ready(scene.channel, scene.core))
    scene.channel.say(CAPABLE)
    assert scene.outcome() is None
    return scene


def test_a_store_is_ready_once_its_capabilities_are_known():
    scene = Scene()
    scene.run(make_ready(scene.channel, scene.core))
    scene.channel.say(b"* OK hello\r\n")
    assert scene.channel.said() == b"m1 CAPABILITY\r\n"
    assert scene.ended == []
    scene.channel.say(b"* CAPABILITY IMAP4rev1\r\nm1 OK\r\n")
    assert scene.outcome() is None


def test_with_starttls_the_handshake_comes_before_everything_else():
    scene = Scene(starttls=True)
    scene.run(make_ready(scene.channel, scene.core))
    scene.channel.say(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n")
    assert scene.channel.said() == b"m1 STARTTLS\r\n"
    scene.channel.say(b"m1 OK go\r\n")
    assert scene.channel.said() == b""
    scene.gates.open("handshake", fakes.TLS)
    assert scene.channel.said() == b"m2 CAPABILITY\r\n"
    scene.channel.say(b"* CAPABILITY IMAP4rev1\r\nm2 OK\r\n")
    assert scene.outcome() is None


def test_a_handshake_that_fails_is_the_end():
    scene = Scene(starttls=True)
    scene.run(make_ready(scene.channel, scene.core))
    scene.channel.say(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\nm1 OK go\r\n")
    scene.gates.fail("handshake", ConnectionError("TLS handshake failed"))
    assert isinstance(scene.outcome(), ConnectionError)


def test_a_store_that_is_no_use_is_the_end():
    scene = Scene()
    scene.run(make_ready(scene.channel, scene.core))
    scene.channel.say(b"220 smtp.example ESMTP\r\n")
    assert isinstance(scene.outcome(), RemoteProtocolError)


def test_a_login_that_the_store_accepts_gives_what_it_said(ready):
    ready.log_in()
    assert ready.channel.said().startswith(b"m1 AUTHENTICATE PLAIN ")
    ready.channel.say(b"m1 OK [CAPABILITY IMAP4rev1 IDLE] hello\r\n* 3 EXISTS\r\n")
    logged_in = ready.outcome()
    assert logged_in.capabilities == (b"IMAP4rev1", b"IDLE")
    assert logged_in.trailing == b"* 3 EXISTS\r\n"


def test_a_login_that_the_store_refuses_is_refused_with_its_words_for_the_log(ready):
    ready.log_in()
    ready.channel.say(b"m1 NO [AUTHENTICATIONFAILED] not you\r\n")
    refused = ready.outcome()
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.BAD_CREDENTIALS
    assert refused.reason.startswith("store: NO ")
    assert "not you" in refused.reason


def test_a_store_that_goes_while_it_is_waited_for_is_the_end(ready):
    ready.log_in()
    ready.gates.fail("more", ConnectionError("closed"))
    assert isinstance(ready.outcome(), ConnectionError)
