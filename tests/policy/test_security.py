import pytest
from attrs import evolve

from mmp.model import CLEAR, Offer, Security
from mmp.policy.security import offer

MECHANISMS = ("SCRAM-SHA-256", "PLAIN", "XOAUTH2", "EXTERNAL", "OAUTHBEARER", "LOGIN")
STRONG = Security("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256)
MEDIUM = Security("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", 128)
WEAK = Security("TLSv1", "DES-CBC3-SHA", 112)


def plaintext(security, *, restricted=True, bits=128):
    return offer(MECHANISMS, restricted, bits, security, starttls=False).plaintext


def test_without_tls_no_password_and_no_token_is_taken_in_clear():
    assert offer(MECHANISMS, True, 128, CLEAR, starttls=True) == Offer(("SCRAM-SHA-256",), False, True)


def test_under_tls_everything_is_offered_in_its_order_but_starttls():
    shown = evolve(MEDIUM, certificate=b"certificate")
    assert offer(MECHANISMS, True, 128, shown, starttls=True) == Offer(MECHANISMS, True, False)


@pytest.mark.parametrize("bits", [-1, 0, 128, 256])
def test_external_is_for_those_who_have_shown_a_certificate_whatever_the_cipher(bits):
    shown = evolve(WEAK, certificate=b"certificate")
    assert "EXTERNAL" in offer(MECHANISMS, True, bits, shown, starttls=False).mechanisms
    assert "EXTERNAL" not in offer(MECHANISMS, True, bits, STRONG, starttls=False).mechanisms


def test_starttls_is_offered_only_where_it_is_on():
    assert not offer(MECHANISMS, True, 128, CLEAR, starttls=False).starttls


def test_unrestricted_passwords_need_no_tls():
    assert plaintext(CLEAR, restricted=False)


@pytest.mark.parametrize(("security", "taken"), [(WEAK, False), (MEDIUM, True), (STRONG, True)])
@pytest.mark.parametrize("restricted", [False, True])
def test_a_cipher_must_have_the_bits(security, taken, restricted):
    assert plaintext(security, restricted=restricted) is taken


def test_no_bits_take_any_cipher():
    assert plaintext(WEAK, bits=0)


@pytest.mark.parametrize("security", [CLEAR, WEAK, STRONG])
@pytest.mark.parametrize("restricted", [False, True])
def test_minus_one_takes_no_password_at_all(security, restricted):
    assert not plaintext(security, restricted=restricted, bits=-1)


def test_proofs_may_be_shown_to_whoever_listens_and_tokens_may_not():
    mechanisms = ("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER", "SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5")
    offered = offer(mechanisms, True, 128, CLEAR, starttls=True)
    assert offered.mechanisms == ("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5")
    assert not offered.plaintext
