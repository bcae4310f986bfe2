import re

import pytest

from mmp.model import Offer, Refusal
from mmp.wire.pop3 import replies

# RFC 2449, 8.1, and RFC 3206, 4.
CODES = {"AUTH", "SYS/TEMP", "SYS/PERM", "IN-USE", "LOGIN-DELAY"}


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_is_worded_with_a_registered_code_or_none(refusal):
    code, text = replies.REFUSALS[refusal]
    assert code in CODES | {""}
    assert re.fullmatch(r"[A-Z][ -Z^-~]+", text)
    assert replies.wording(refusal) == (f"[{code}] {text}" if code else text).encode()


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Refusal.BANNED, ""),
        (Refusal.ACCESS_DENIED, ""),
        (Refusal.TOO_MANY_CONNECTIONS, "SYS/TEMP"),
        (Refusal.RATE_EXCEEDED, "SYS/TEMP"),
        (Refusal.BAD_CREDENTIALS, "AUTH"),
        (Refusal.NOT_AUTHORIZED, "AUTH"),
        (Refusal.ACCOUNT_DISABLED, "AUTH"),
        (Refusal.ACCOUNT_ON_HOLD, "SYS/TEMP"),
        (Refusal.PASSWORD_EXPIRED, "AUTH"),
        (Refusal.PASSWORD_MUST_CHANGE, "AUTH"),
        (Refusal.PRIVACY_REQUIRED, "SYS/PERM"),
        (Refusal.TOO_MANY_SESSIONS, "SYS/TEMP"),
        (Refusal.MAILBOX_IN_USE, "IN-USE"),
        (Refusal.MAILBOX_UNUSABLE, "SYS/PERM"),
        (Refusal.TOO_MANY_ERRORS, ""),
        (Refusal.DIRECTORY_UNAVAILABLE, "SYS/TEMP"),
        (Refusal.BACKEND_UNAVAILABLE, "SYS/TEMP"),
        (Refusal.SHUTTING_DOWN, "SYS/TEMP"),
        (Refusal.INTERNAL, "SYS/TEMP"),
    ],
)
def test_the_code_tells_the_client_what_it_may_do(refusal, code):
    assert replies.REFUSALS[refusal][0] == code


@pytest.mark.parametrize(
    ("offer", "listed"),
    [
        (Offer((), plaintext=False, starttls=True), [b"STLS"]),
        (Offer((), plaintext=False, starttls=False), []),
        (Offer(("PLAIN",), plaintext=True, starttls=True), [b"STLS", b"USER", b"SASL PLAIN"]),
        (Offer(("CRAM-MD5",), plaintext=False, starttls=True), [b"STLS", b"SASL CRAM-MD5"]),
        (Offer(("B", "A"), plaintext=True, starttls=False), [b"USER", b"SASL B A"]),
    ],
)
def test_capabilities_follow_from_the_offer(offer, listed):
    assert list(replies.capabilities(offer, ())) == [b"RESP-CODES", b"AUTH-RESP-CODE", *listed]


def test_what_we_decide_ourselves_is_not_taken_from_the_stores():
    others = (b"user", b"SASL PLAIN", b"STLS", b"Resp-Codes", b"UTF8", b"LANG", b"XCLIENT", b"IMPLEMENTATION x", b"TOP")
    listed = replies.capabilities(Offer((), plaintext=False, starttls=False), others)
    assert list(listed) == [b"RESP-CODES", b"AUTH-RESP-CODE", b"TOP"]


@pytest.mark.parametrize(
    ("code", "without", "promised"),
    [
        (b"AUTH", Refusal.BAD_CREDENTIALS, Refusal.BAD_CREDENTIALS),
        (b"", Refusal.BAD_CREDENTIALS, Refusal.BACKEND_UNAVAILABLE),
        (b"X-ODD", Refusal.BAD_CREDENTIALS, Refusal.BACKEND_UNAVAILABLE),
        (b"SYS/TEMP", Refusal.BACKEND_UNAVAILABLE, Refusal.BACKEND_UNAVAILABLE),
        (b"SYS/PERM/DISK", Refusal.MAILBOX_UNUSABLE, Refusal.MAILBOX_UNUSABLE),
        (b"IN-USE", Refusal.MAILBOX_IN_USE, Refusal.MAILBOX_IN_USE),
        (b"LOGIN-DELAY", Refusal.RATE_EXCEEDED, Refusal.RATE_EXCEEDED),
    ],
)
def test_what_a_store_means_by_a_code(code, without, promised):
    assert replies.meaning(code, ()) is without
    assert replies.meaning(code, (b"TOP", b"auth-resp-code")) is promised
