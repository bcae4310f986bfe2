"""Passwords in every scheme that directories keep them in."""

import hashlib
from base64 import b64encode

import pytest
from passlib import hash as hashes

from mmp.directory import passwords
from mmp.wire.sasl.scram import Keys

SALT = b"salt"
KEYS = Keys.derive("SCRAM-SHA-256", b"pencil", SALT, 4096)
SCRAM = "{SCRAM-SHA-256}4096," + ",".join(b64encode(each).decode() for each in (SALT, KEYS.stored_key, KEYS.server_key))
SSHA512 = b64encode(hashlib.sha512(b"pencil" + b"saltsalt").digest() + b"saltsalt").decode()
SHA512_CRYPT = "$6$rounds=1000$saltsalt$"
HASHES = {
    "argon2": hashes.argon2.using(memory_cost=64, rounds=1).hash("pencil"),
    "scrypt": hashes.scrypt.using(rounds=4).hash("pencil"),
    "bcrypt": hashes.bcrypt.using(rounds=4).hash("pencil"),
    "SHA512-CRYPT": hashes.sha512_crypt.using(rounds=1000).hash("pencil"),
    "SSHA512": "{SSHA512}" + SSHA512,
    "SSHA512 in small letters": "{ssha512}" + SSHA512,
}
HASHES |= {
    "argon2 of OpenLDAP": "{ARGON2}" + HASHES["argon2"],
    "SHA512-CRYPT of Dovecot": "{SHA512-CRYPT}" + HASHES["SHA512-CRYPT"],
    "crypt of OpenLDAP": "{CRYPT}" + HASHES["SHA512-CRYPT"],
    "SCRAM": SCRAM,
}
CLEAR = {"PLAIN": "{PLAIN}pencil", "CLEARTEXT": "{cleartext}pencil"}


@pytest.mark.parametrize("kept", [*HASHES.values(), *CLEAR.values()], ids=[*HASHES, *CLEAR])
def test_the_right_password_matches_and_no_other(kept):
    passwords.check(kept)
    assert passwords.matches(kept, b"pencil")
    for wrong in (b"Pencil", b"pencil ", b"", b"\xff", b"pen\0cil", b"p" * 5000):
        assert not passwords.matches(kept, wrong)


def test_sha512_crypt_is_the_one_of_its_specification():
    kept = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
    passwords.check(kept)
    assert passwords.matches(kept, b"Hello world!")


def test_an_empty_password_matches_nothing():
    for kept in ("", "{PLAIN}", "{CLEARTEXT}", hashes.scrypt.using(rounds=4).hash("")):
        assert not passwords.matches(kept, b"")


@pytest.mark.parametrize("kept", HASHES.values(), ids=list(HASHES))
def test_no_hash_is_taken_for_the_password_itself(kept):
    assert passwords.cleartext(kept) is None
    assert not passwords.matches(kept, kept.encode())


def test_a_value_without_a_scheme_is_the_password():
    assert passwords.cleartext("pencil") == passwords.cleartext("{PLAIN}pencil") == b"pencil"
    assert passwords.matches("pencil", b"pencil")
    assert passwords.cleartext("s\udcffcret") == b"s\xffcret"  # what is no UTF-8 in a directory


def test_keys_are_kept_or_made_of_what_is_clear():
    assert passwords.keys(SCRAM, "SCRAM-SHA-256", b"other") == KEYS
    assert passwords.keys("{PLAIN}pencil", "SCRAM-SHA-256", SALT) == KEYS
    assert passwords.keys(SCRAM, "SCRAM-SHA-1", SALT) is None
    assert passwords.keys(HASHES["argon2"], "SCRAM-SHA-256", SALT) is None
    assert passwords.keys("{PLAIN}", "SCRAM-SHA-256", SALT) is None


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        ("", "no scheme"),
        ("pencil", "no scheme"),
        ("{UNKNOWN}pencil", "no scheme"),
        ("{SSHA512}pencil", "no ldap_salted_sha512 hash"),
        ("$argon2id$v=19$pencil", "no argon2 hash"),
        ("$99$pencil", "no scheme"),
        ("{SCRAM-SHA-256}pencil", "no iterations"),
        ("{SCRAM-SHA-256}4096,pencil,a,b", "no iterations"),
        ("{SCRAM-SHA-256}x,cGVu,cGVu,cGVu", "no iterations"),
        ("{SCRAM-SHA-256}1,cGVu,cGVu,cGVu", "fewer than 1000"),
    ],
)
def test_what_is_in_no_scheme_is_told_without_being_shown(kept, why):
    with pytest.raises(ValueError, match=why) as told:
        passwords.check(kept)
    assert "pencil" not in str(told.value)
    if why != "no scheme" or kept.startswith(("{", "$")):
        assert not passwords.matches(kept, b"pencil")


@pytest.mark.parametrize(
    "kept",
    [
        "$argon2id$v=19$m=65536,t=3,p=4",
        "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNQr&p",
        "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGF2O",
    ],
    ids=["no salt", "padding", "length"],
)
def test_a_hash_that_is_cut_off_is_told_and_matches_nothing(kept):
    with pytest.raises(ValueError, match="is no argon2 hash, though it begins like one"):
        passwords.check(kept)
    assert not passwords.matches(kept, b"secret")
