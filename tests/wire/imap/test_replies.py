import re

import pytest

from mmp.model import Offer, Refusal
from mmp.wire.events import LoggedIn
from mmp.wire.imap import replies

# RFC 5530, 3, as far as it concerns a login; RFC 9051, 7.1.
CODES = {"UNAVAILABLE", "AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED", "CONTACTADMIN"} | {
    "LIMIT",
    "SERVERBUG",
    "INUSE",
    "CORRUPTION",
}


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_is_worded_with_a_registered_code_or_none(refusal):
    code, text = replies.REFUSALS[refusal]
    assert code in CODES | {""}
    assert re.fullmatch(r"[A-Z][ -Z^-~]+", text)
    assert replies.wording(refusal) == (f"[{code}] {text}" if code else text).encode()


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Refusal.BAD_CREDENTIALS, "AUTHENTICATIONFAILED"),
        (Refusal.NOT_AUTHORIZED, "AUTHORIZATIONFAILED"),
        (Refusal.ACCOUNT_DISABLED, "AUTHORIZATIONFAILED"),
        (Refusal.ACCOUNT_ON_HOLD, "UNAVAILABLE"),
        (Refusal.PASSWORD_EXPIRED, "EXPIRED"),
        (Refusal.PASSWORD_MUST_CHANGE, "CONTACTADMIN"),
        (Refusal.PRIVACY_REQUIRED, "PRIVACYREQUIRED"),
        (Refusal.TOO_MANY_SESSIONS, "LIMIT"),
        (Refusal.DIRECTORY_UNAVAILABLE, "UNAVAILABLE"),
        (Refusal.BACKEND_UNAVAILABLE, "UNAVAILABLE"),
        (Refusal.SHUTTING_DOWN, "UNAVAILABLE"),
        (Refusal.INTERNAL, "SERVERBUG"),
    ],
)
def test_the_code_tells_the_client_what_it_may_do(refusal, code):
    assert replies.REFUSALS[refusal][0] == code


@pytest.mark.parametrize(
    ("offer", "listed"),
    [
        (Offer((), plaintext=False, starttls=True), b"IMAP4rev1 SASL-IR ID LITERAL+ STARTTLS LOGINDISABLED"),
        (Offer((), plaintext=False, starttls=False), b"IMAP4rev1 SASL-IR ID LITERAL+ LOGINDISABLED"),
        (Offer(("PLAIN",), plaintext=True, starttls=True), b"IMAP4rev1 SASL-IR ID LITERAL+ STARTTLS AUTH=PLAIN"),
        (Offer(("B", "A"), plaintext=True, starttls=False), b"IMAP4rev1 SASL-IR ID LITERAL+ AUTH=B AUTH=A"),
    ],
)
def test_capabilities_follow_from_the_offer(offer, listed):
    assert replies.capabilities(offer, ()) == listed


def test_our_own_capabilities_are_not_repeated():
    others = (b"IMAP4rev1", b"id", b"LITERAL-", b"auth=plain", b"STARTTLS", b"IDLE")
    assert replies.capabilities(Offer((), plaintext=True, starttls=False), others) == (
        b"IMAP4rev1 SASL-IR ID LITERAL+ IDLE"
    )


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ((b"IMAP4rev1", b"COMPRESS=DEFLATE"), b"[CAPABILITY IMAP4rev1 COMPRESS=DEFLATE] Logged in"),
        ((b"IMAP4rev1", b"compress=DEFLATE", b"Unauthenticate"), b"[CAPABILITY IMAP4rev1] Logged in"),
    ],
)
def test_what_a_guard_does_not_let_pass_is_not_offered(store, told):
    assert replies.logged_in(LoggedIn(store, b"", b"")) == told
