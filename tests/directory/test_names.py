import ssl

import pytest
from attrs import evolve

from mmp.directory.names import ESCAPES, Naming, field_of, reader_of
from mmp.errors import Refused
from mmp.model import Endpoint, Refusal, Security
from tests.directory.people import CLIENT, names
from tests.net.turning import AUTHORITY


def test_a_name_is_split_at_the_at_sign():
    found = names("alice@example.com")
    assert (found.user, found.domain, found.full, found.typed) == (
        "alice",
        "example.com",
        "alice@example.com",
        "alice@example.com",
    )


def test_the_last_separator_ends_the_user():
    assert names("a@b@example.com").user == "a@b"


def test_any_of_the_separators_ends_the_user_and_the_full_name_has_an_at_sign():
    found = names("hugo+yoyo.example", separators="@+%")
    assert (found.user, found.domain) == ("hugo", "yoyo.example")
    assert (found.full, found.typed) == ("hugo@yoyo.example", "hugo+yoyo.example")


def test_the_last_separator_counts_whichever_it_is():
    assert names("a+b@example.com", separators="+@").user == "a+b"
    assert names("a@b+example.com", separators="+@").user == "a@b"


def test_a_bare_name_has_the_default_domain():
    found = names("alice", default_domain="example.com")
    assert (found.full, found.domain, found.typed) == ("alice@example.com", "example.com", "alice")


def test_a_bare_name_without_a_default_domain_has_none():
    found = names("alice")
    assert (found.full, found.domain) == ("alice", "")


def test_the_address_reached_may_have_a_default_domain_of_its_own():
    by_address = {"default_domain": "example.com", "default_domains": {"198.51.100.1": "one.example"}}
    assert names("alice", **by_address).full == "alice@one.example"
    assert names("alice@two.example", **by_address).full == "alice@two.example"
    elsewhere = evolve(CLIENT, local=Endpoint("198.51.100.2", 143))
    assert Naming(**by_address).names(elsewhere, "alice").full == "alice@example.com"


def test_the_clients_certificate_is_known_by_its_name():
    assert names().certificate_name == ""
    pem = AUTHORITY.issue(("alice.example.com",), days=1).certificate
    shown = evolve(CLIENT, security=Security("TLSv1.3", "any", 256, certificate=ssl.PEM_cert_to_DER_cert(pem.decode())))
    assert Naming().names(shown, "alice").certificate_name == "CN=alice.example.com"


def test_case_is_kept_for_the_store():
    assert names("Alice@Example.COM").full == "Alice@Example.COM"


def test_the_addresses_of_both_ends_are_there():
    assert (names().client_address, names().our_address) == ("192.0.2.7", "198.51.100.1")


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "@",
        "@example.com",
        "alice@",
        "ali\0ce",
        "alice\r\nA1 LOGOUT",
        "ali\tce",
        "alice\x7f",
        "alice\x85",
        "ali\u202ece",
        "alice\u2028",
        "\u05d0lice",
        "\ufdfa" * 100,
        "alice\udcff",
        "a" * 513,
        "a" * 65536,
    ],
)
def test_a_name_that_can_be_nobodys_is_refused_as_an_unknown_users(typed):
    with pytest.raises(Refused) as refused:
        names(typed)
    assert refused.value.refusal is Refusal.BAD_CREDENTIALS


@pytest.mark.parametrize(
    "typed", ["j\u00f6rg", "\u5f20\u4f1f@\u4f8b\u5b50.cn", "o'neill", "a b", "*", "a)(uid=*", "\\2a"]
)
def test_every_printable_name_is_let_through(typed):
    assert names(typed).typed == typed


@pytest.mark.parametrize("typed", ["ali\u200bce", "\uff41lice", "al\u00adice"])
def test_ways_to_write_the_same_name_are_one_name(typed):
    assert names(typed + "@example.com").full == "alice@example.com"


def test_a_separator_that_comes_of_another_character_separates():
    assert names("alice\uff20example.com").domain == "example.com"


def test_a_name_from_right_to_left_is_let_through():
    assert names("\u05d0\u05dc").user == "\u05d0\u05dc"


def test_an_unknown_letter_is_told_with_those_known():
    with pytest.raises(ValueError, match=r'"%X" that is none of %s, %o, %U, %V, %C, %S, %D'):
        field_of("X")


@pytest.mark.parametrize("count", range(len(ESCAPES) + 1))
def test_any_number_of_fields_is_read_as_a_tuple(count):
    fields = list(ESCAPES.values())[:count]
    assert reader_of(fields)(names()) == tuple(getattr(names(), field) for field in fields)
