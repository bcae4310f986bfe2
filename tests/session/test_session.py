"""A session from the greeting to the hand-over, among stand-ins."""

import pytest

from mmp.errors import Refused, RemoteProtocolError
from mmp.model import Refusal
from tests import fakes
from tests.session.scene import LOGIN, SECRET, STEPS, Scene


def test_a_session_in_clear_is_greeted_before_anything_else():
    scene = Scene(clear=True)
    assert scene.channel.said().startswith(b"* OK [CAPABILITY IMAP4rev1 ")
    assert list(scene.gates.waiting) == ["more"]


def test_a_session_under_implicit_tls_is_greeted_after_the_handshake():
    scene = Scene()
    assert scene.channel.said().startswith(b"* OK [CAPABILITY ")
    assert scene.record.facts()["tls"] == fakes.TLS.version
    assert scene.record.facts()["cipher"] == fakes.TLS.cipher


def test_a_login_is_handed_over_with_what_both_sides_have_sent_ahead():
    scene = Scene()
    scene.channel.said()
    scene.channel.say(LOGIN + b"b SELECT INBOX\r\n")
    scene.pass_steps(*STEPS)
    assert scene.outcome() is None
    assert scene.channel.said() == b"a OK [CAPABILITY IMAP4rev1 IDLE] Welcome\r\n"
    ((channel, relayed, trailing, record),) = scene.relays.taken
    assert channel is scene.channel
    assert (relayed.backend, relayed.lease) == (scene.dialer.backends[0], scene.limits.granted[0])
    assert trailing == b"b SELECT INBOX\r\n"
    assert record is scene.record
    assert relayed.lease.closed == relayed.backend.channel.aborted == 0


def test_the_client_hears_nothing_before_the_store_has_said_yes():
    scene = Scene()
    scene.channel.said()
    scene.channel.say(LOGIN)
    for step in STEPS:
        assert scene.channel.said() == b""
        scene.pass_steps(step)
    assert scene.channel.said().startswith(b"a OK ")


def test_a_connection_lost_at_the_hand_over_costs_neither_lease_nor_store():
    scene = Scene()
    scene.relays.lost = True
    scene.log_in()
    assert isinstance(scene.outcome(), ConnectionError)
    assert [lease.closed for lease in scene.limits.granted] == [1]
    assert [backend.channel.aborted for backend in scene.dialer.backends] == [1]
    assert scene.log.named("login") == []


def test_after_a_refusal_the_client_may_try_again():
    scene = Scene()
    scene.refuse(Refused(Refusal.BAD_CREDENTIALS, "store: no"))
    scene.channel.said()
    scene.log_in()
    assert scene.outcome() is None
    assert [lease.closed for lease in scene.limits.granted] == [1, 0]


def test_logins_pipelined_behind_a_refused_one_are_answered_in_turn():
    scene = Scene()
    scene.channel.said()
    scene.channel.say(LOGIN + b"b NOOP\r\n" + LOGIN.replace(b"a ", b"c ", 1))
    scene.gates.fail("hold", Refused(Refusal.RATE_EXCEEDED, "too fast"))
    said = scene.channel.said()
    scene.pass_steps(*STEPS)
    said += scene.channel.said()
    assert [line.split()[:2] for line in said.splitlines()] == [[b"a", b"NO"], [b"b", b"OK"], [b"c", b"OK"]]


@pytest.mark.parametrize("allowed", [1, 3])
def test_too_many_failures_are_answered_and_end_the_session(allowed):
    scene = Scene(max_failures=allowed)
    for _ in range(allowed):
        assert scene.ended == []
        scene.channel.said()
        scene.refuse(Refused(Refusal.BAD_CREDENTIALS, "store: no"))
    assert isinstance(scene.outcome(), RemoteProtocolError)
    first, last = scene.core.data_to_send().splitlines()
    assert first.startswith(b"a NO [AUTHENTICATIONFAILED]")
    assert last.startswith(b"* BYE")
    assert len(scene.log.named("login")) == allowed


def test_a_password_without_tls_is_refused_by_the_core_alone():
    scene = Scene(clear=True)
    scene.channel.said()
    scene.channel.say(LOGIN)
    assert scene.channel.said().startswith(b"a NO [PRIVACYREQUIRED]")
    assert list(scene.gates.waiting) == ["more"]
    assert scene.log.events == []


def test_a_logout_is_answered_and_ends_the_session():
    scene = Scene()
    scene.channel.said()
    scene.channel.say(b"x LOGOUT\r\n")
    assert scene.outcome() == "logged out"
    assert [line.split()[1] for line in scene.channel.said().splitlines()] == [b"BYE", b"OK"]


def test_starttls_changes_the_offer_and_the_record():
    scene = Scene(clear=True)
    assert b"STARTTLS LOGINDISABLED" in scene.channel.said()
    scene.channel.say(b"s STARTTLS\r\n")
    assert scene.channel.said().startswith(b"s OK ")
    assert scene.record.facts()["tls"] == ""
    scene.gates.open("handshake", fakes.TLS)
    assert scene.record.facts()["tls"] == fakes.TLS.version
    scene.channel.say(b"c CAPABILITY\r\n")
    assert b"AUTH=PLAIN" in scene.channel.said()
    scene.log_in()
    assert scene.outcome() is None


def test_a_failed_handshake_ends_the_session_without_a_word_in_clear():
    for clear in (True, False):
        scene = Scene(clear=clear)
        if clear:
            scene.channel.say(b"s STARTTLS\r\n")
            scene.channel.said()
            scene.gates.fail("handshake", ConnectionError("TLS handshake failed: no shared cipher"))
            assert isinstance(scene.outcome(), ConnectionError)
            assert scene.channel.said() == b""
            (told,) = scene.log.named("tls")
            assert told["reason"] == "TLS handshake failed: no shared cipher"
            assert (told["result"], told["session"], told["service"]) == ("failed", "s1", "imap")


def test_a_handshake_is_told_with_what_came_of_it():
    (told,) = Scene().log.named("tls")
    assert (told["result"], told["tls"], told["cipher"], told["resumed"]) == (
        "ok",
        fakes.TLS.version,
        fakes.TLS.cipher,
        False,
    )


def test_bytes_behind_starttls_end_the_session_before_any_handshake():
    scene = Scene(clear=True)
    scene.channel.say(b"s STARTTLS\r\na LOGIN Alice x\r\n")
    assert isinstance(scene.outcome(), RemoteProtocolError)
    assert scene.gates.waiting == {}


def test_the_record_learns_the_names_as_they_become_known():
    scene = Scene()
    scene.channel.say(LOGIN)
    assert scene.record.facts() | {"user": "Alice", "mechanism": "LOGIN", "backend": ""} == scene.record.facts()
    scene.pass_steps("hold", "locate")
    facts = scene.record.facts()
    assert (facts["user"], facts["typed"], facts["backend"]) == ("alice", "Alice", "store1")


def test_a_second_attempt_is_not_recorded_under_the_names_of_the_first():
    """Somebody who fails as one user and then tries another name must not be logged as the first."""
    scene = Scene()
    scene.refuse(Refused(Refusal.BAD_CREDENTIALS, "store: no"))
    scene.channel.say(b"b LOGIN mallory x\r\n")
    scene.gates.fail("hold", Refused(Refusal.RATE_EXCEEDED, "too fast"))
    facts = scene.log.named("login")[1]
    assert facts["user"] == "mallory"
    assert not facts["backend"]


def test_each_attempt_is_logged_with_its_outcome_and_the_true_reason():
    scene = Scene()
    scene.refuse(Refused(Refusal.BAD_CREDENTIALS, "unknown user"), at="locate")
    scene.refuse(Refused(Refusal.BACKEND_UNAVAILABLE, "store store1: greeting: closed"))
    scene.log_in()
    first, second, third = scene.log.named("login")
    assert (first["result"], first["reason"]) == (Refusal.BAD_CREDENTIALS, "unknown user")
    assert (second["result"], second["reason"]) == (Refusal.BACKEND_UNAVAILABLE, "store store1: greeting: closed")
    assert third["result"] == "ok"
    assert third | scene.record.facts() == third


def test_no_line_and_no_representation_has_the_password():
    scene = Scene(max_failures=2)
    scene.refuse(Refused(Refusal.BAD_CREDENTIALS, "store: no"))
    scene.refuse(Refused(Refusal.BAD_CREDENTIALS, "unknown user"), at="locate")
    shown = repr((scene.log.events, scene.record, scene.outcome(), scene.running)) + str(scene.record.facts())
    assert "Alice" in shown
    assert SECRET.decode() not in shown


@pytest.mark.parametrize(
    ("said", "ttl"), [(b"", 5), (b'a ID ("x-proxy-ttl" "2")\r\n', 2), (b'a ID ("x-proxy-ttl" "9")\r\n', 5)]
)
def test_a_client_may_lower_how_often_it_is_passed_on_but_not_raise_it(said, ttl):
    scene = Scene()
    scene.channel.say(said + LOGIN)
    assert scene.record.client.ttl == ttl


@pytest.mark.parametrize("ttl", [b"0", b"1"])
def test_who_may_not_be_passed_on_is_refused_before_anybody_is_looked_up(ttl):
    scene = Scene()
    scene.channel.say(b'a ID ("x-proxy-ttl" "' + ttl + b'")\r\n' + LOGIN)
    scene.channel.said()
    scene.pass_steps("hold")
    assert scene.channel.said() == b"a NO [SERVERBUG] Internal error\r\n"
    assert list(scene.gates.waiting) == ["more"]
    assert "loop" in scene.log.named("login")[0]["reason"]
