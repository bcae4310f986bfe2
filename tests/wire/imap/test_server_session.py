"""How else the session and our side toward an IMAP client work together."""

import pytest

from mmp.errors import RemoteProtocolError
from mmp.model import Refusal
from mmp.wire.events import Login, Response, StartTLS
from mmp.wire.imap.server import Server
from tests.wire.imap.server_side import IMAP
from tests.wire.server_side import CLEAR, OPEN, greeted, logging_in, made


def responding(behind=b""):
    core = logging_in(IMAP, behind)
    core.challenge(b"prove it")
    assert core.data_to_send() == b"+ cHJvdmUgaXQ=\r\n"
    return core


def alerting(text):
    core = Server(offer=OPEN, hostname="mail.example.com", timestamp=b"<1.2@mail.example.com>", alert=text)
    core.greet()
    core.receive_data(b"a LOGIN user secret\r\n")
    core.next_event()
    core.data_to_send()
    return core


def test_a_user_whose_store_is_away_is_alerted_and_may_go_on():
    core = alerting("Back at noon.")
    core.refuse(Refusal.BACKEND_UNAVAILABLE)
    untagged, tagged, rest = core.data_to_send().split(b"\r\n")
    assert untagged == b"* NO [ALERT] Back at noon."
    assert tagged.startswith(b"a NO [UNAVAILABLE] ")
    assert rest == b""
    core.receive_data(b"b LOGIN user secret\r\n")
    assert isinstance(core.next_event(), Login)


@pytest.mark.parametrize("refusal", [each for each in Refusal if each is not Refusal.BACKEND_UNAVAILABLE])
def test_no_other_refusal_alerts(refusal):
    core = alerting("Back at noon.")
    core.refuse(refusal)
    assert b"ALERT" not in core.data_to_send()


def test_there_is_no_alert_without_a_text():
    core = alerting("")
    core.refuse(Refusal.BACKEND_UNAVAILABLE)
    assert core.data_to_send().startswith(b"a NO [UNAVAILABLE] ")


def test_a_pending_login_may_be_asked_for_more():
    core = responding()
    assert core.next_event() is None
    core.receive_data(b"bXkgcHJvb2Y=\r\n")
    assert core.next_event() == Response(b"my proof")
    core.challenge(b"")
    assert core.data_to_send() == b"+ \r\n"
    core.receive_data(b"\r\nb SELECT inbox\r\n")
    assert core.next_event() == Response(b"")
    assert core.next_event() is None
    core.accept(IMAP.let_in)
    assert core.data_to_send() == b"a OK [CAPABILITY IMAP4rev1] Welcome\r\n"
    assert core.trailing() == b"b SELECT inbox\r\n"


@pytest.mark.parametrize("line", [b"*\r\n", b"!\r\n", b"YQ\r\n", b"YQ==\n", b"{5}\r\n", b"b NOOP {3+}\r\nxxx\r\n"])
def test_an_exchange_that_the_client_gives_up_is_bad_and_another_login_may_follow(line):
    core = responding()
    core.receive_data(line + b"c LOGIN user other\r\n")
    assert core.next_event() == Response(None)
    core.refuse(Refusal.CANCELLED)
    assert core.data_to_send() == b"a BAD Given up by the client\r\n"
    assert core.next_event().credentials.secret == b"other"


@pytest.mark.parametrize("line", [b"A" * 70_000, b"x {99999999+}\r\n"])
def test_an_endless_response_is_the_end(line):
    core = responding()
    core.receive_data(line)
    with pytest.raises(RemoteProtocolError):
        core.next_event()
    assert core.data_to_send().startswith(b"* BYE ")
    assert core.buffered == 0


def test_the_greeting_names_host_and_capabilities():
    core = made(IMAP, CLEAR)
    core.greet()
    assert core.data_to_send() == (
        b"* OK [CAPABILITY IMAP4rev1 SASL-IR ID LITERAL+ STARTTLS LOGINDISABLED] mail.example.com ready\r\n"
    )


def test_somebody_turned_away_hears_bye_instead_of_a_greeting():
    core = made(IMAP, OPEN)
    core.turn_away(Refusal.SHUTTING_DOWN)
    assert core.data_to_send().startswith(b"* BYE [UNAVAILABLE] ")


@pytest.mark.parametrize("refusal", Refusal)
def test_a_goodbye_answers_the_pending_login_first(refusal):
    core = logging_in(IMAP)
    core.goodbye(refusal)
    no, bye, end = core.data_to_send().split(b"\r\n")
    assert no.startswith((b"a NO ", b"a BAD "))
    assert bye.startswith(b"* BYE ")
    assert end == b""


def test_unknown_user_and_wrong_password_read_alike():
    answers = set()
    for secret in (b"wrong", b"unknown"):
        core = greeted(IMAP)
        core.receive_data(b"a LOGIN user %b\r\n" % secret)
        core.next_event()
        core.refuse(Refusal.BAD_CREDENTIALS)
        answers.add(core.data_to_send())
    assert len(answers) == 1


def test_nothing_of_before_tls_is_known_under_it():
    core = greeted(IMAP, CLEAR)
    core.receive_data(b"a STARTTLS\r\n")
    assert core.next_event() == StartTLS()
    assert core.data_to_send() == b"a OK Begin TLS negotiation\r\n"
    core.receive_data(b"b LOGIN injected secret\r\n")
    assert core.next_event() is None
    core.tls_started(OPEN)
    assert core.next_event() is None
    assert core.data_to_send() == b""
    core.receive_data(b"c CAPABILITY\r\nd STARTTLS\r\n")
    assert core.next_event() is None
    said = core.data_to_send()
    assert said.startswith(b"* CAPABILITY IMAP4rev1 SASL-IR ID LITERAL+ AUTH=PLAIN\r\nc OK ")
    assert b"\r\nd BAD " in said


def test_implicit_tls_settles_the_offer_before_the_greeting():
    core = made(IMAP, CLEAR)
    core.tls_started(OPEN)
    core.greet()
    assert b"LITERAL+ AUTH=PLAIN]" in core.data_to_send()
