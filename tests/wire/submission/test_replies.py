import re

import pytest

from mmp.model import Offer, Refusal
from mmp.wire.submission import replies


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_is_worded_with_a_code_and_a_status_of_its_class(refusal):
    status, text = replies.REFUSALS[refusal]
    code, detail = status.split(" ")
    assert code[0] == detail[0]
    assert re.fullmatch(r"[45]\d\d", code)
    assert re.fullmatch(r"[45]\.\d\.\d{1,2}", detail)
    assert re.fullmatch(r"[A-Z][ -~]+", text)
    assert replies.wording(refusal) == f"{status} {text}".encode()


@pytest.mark.parametrize("refusal", Refusal)
def test_every_goodbye_is_421(refusal):
    assert re.fullmatch(rb"421 4\.\d\.\d [A-Z][ -~]+", replies.goodbye(refusal))


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Refusal.BANNED, "421 4.7.0"),
        (Refusal.ACCESS_DENIED, "421 4.7.0"),
        (Refusal.TOO_MANY_CONNECTIONS, "421 4.7.0"),
        (Refusal.RATE_EXCEEDED, "421 4.7.0"),
        (Refusal.BAD_CREDENTIALS, "535 5.7.8"),
        (Refusal.NOT_AUTHORIZED, "535 5.7.8"),
        (Refusal.ACCOUNT_DISABLED, "535 5.7.8"),
        (Refusal.ACCOUNT_ON_HOLD, "454 4.7.0"),
        (Refusal.PASSWORD_EXPIRED, "535 5.7.8"),
        (Refusal.PASSWORD_MUST_CHANGE, "535 5.7.8"),
        (Refusal.PRIVACY_REQUIRED, "538 5.7.11"),
        (Refusal.TOO_MANY_SESSIONS, "454 4.7.0"),
        (Refusal.TOO_MANY_ERRORS, "421 4.7.0"),
        (Refusal.DIRECTORY_UNAVAILABLE, "454 4.7.0"),
        (Refusal.BACKEND_UNAVAILABLE, "454 4.7.0"),
        (Refusal.SHUTTING_DOWN, "421 4.3.2"),
        (Refusal.INTERNAL, "454 4.3.0"),
    ],
)
def test_the_status_tells_the_client_what_it_may_do(refusal, status):
    assert replies.REFUSALS[refusal][0] == status


@pytest.mark.parametrize(
    ("offer", "listed"),
    [
        (Offer((), plaintext=False, starttls=True), [b"STARTTLS"]),
        (Offer((), plaintext=False, starttls=False), []),
        (Offer(("PLAIN",), plaintext=True, starttls=True), [b"STARTTLS", b"AUTH PLAIN"]),
        (Offer(("B", "A"), plaintext=True, starttls=False), [b"AUTH B A"]),
    ],
)
def test_keywords_follow_from_the_offer(offer, listed):
    assert list(replies.keywords(offer, ())) == listed
