import re

import pytest

from mmp.model import Offer, Refusal
from mmp.wire.managesieve import replies

# RFC 5804, 1.3, as far as it concerns a login.
CODES = {"AUTH-TOO-WEAK", "ENCRYPT-NEEDED", "TRYLATER"}


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_is_worded_with_a_registered_code_or_none(refusal):
    code, text = replies.REFUSALS[refusal]
    assert code in CODES | {""}
    assert re.fullmatch(r"[A-Z][ !#-Z^-~]+", text)
    assert replies.wording(refusal) == (f'({code}) "{text}"' if code else f'"{text}"').encode()


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Refusal.BAD_CREDENTIALS, ""),
        (Refusal.NOT_AUTHORIZED, ""),
        (Refusal.ACCOUNT_ON_HOLD, "TRYLATER"),
        (Refusal.PRIVACY_REQUIRED, "ENCRYPT-NEEDED"),
        (Refusal.DIRECTORY_UNAVAILABLE, "TRYLATER"),
        (Refusal.BACKEND_UNAVAILABLE, "TRYLATER"),
        (Refusal.SHUTTING_DOWN, "TRYLATER"),
        (Refusal.INTERNAL, "TRYLATER"),
    ],
)
def test_the_code_tells_the_client_what_it_may_do(refusal, code):
    assert replies.REFUSALS[refusal][0] == code


@pytest.mark.parametrize(
    ("offer", "listed"),
    [
        (Offer((), plaintext=False, starttls=True), [b'"SASL" ""', b'"STARTTLS"']),
        (Offer(("PLAIN",), plaintext=True, starttls=False), [b'"SASL" "PLAIN"']),
        (Offer(("B", "A"), plaintext=True, starttls=True), [b'"SASL" "B A"', b'"STARTTLS"']),
    ],
)
def test_capabilities_follow_from_the_offer(offer, listed):
    expected = [b'"IMPLEMENTATION" "mmp"', b'"SIEVE" ""', *listed, b'"VERSION" "1.0"', b'"XCLIENT"']
    assert list(replies.capabilities(offer, ())) == expected
