import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3 import DEREF_NEVER, SUBTREE
from ldap3.operation.search import search_operation
from ldap3.utils.asn1 import encode

from mmp.directory.ldap.filters import FilterTemplate
from mmp.directory.ldap.requests import START_TLS, UNBIND, External, Search, Simple, abandon, message
from tests.directory.ldap.oracle import read
from tests.directory.people import names

ATTRIBUTES = ("mailHost", "mail", "uid")


def test_a_search_is_the_one_that_ldap3_writes():
    search = Search.prepare("ou=p\u00e9ople,dc=example,dc=com", FilterTemplate.parse("(uid=%U)"), ATTRIBUTES, 5.0)
    expected = search_operation(
        "ou=p\u00e9ople,dc=example,dc=com",
        "(uid=alice)",
        SUBTREE,
        DEREF_NEVER,
        ATTRIBUTES,
        size_limit=2,
        time_limit=5,
        types_only=False,
        auto_escape=False,
        auto_encode=False,
    )
    assert search.operation(names("alice@example.com")) == bytes(encode(expected))


@pytest.mark.parametrize(("seconds", "limit"), [(0.001, 1), (1.0, 1), (2.5, 3), (300.0, 300)])
def test_a_server_has_no_less_time_than_we_wait_and_never_without_limit(seconds, limit):
    search = Search.prepare("", FilterTemplate.parse("(uid=%U)"), ATTRIBUTES, seconds)
    ((_, _, operation),) = read(message(1, search.operation(names())))
    assert int(operation["timeLimit"]) == limit


@given(st.integers(1, 2**31 - 1))
def test_messages_have_their_numbers(number):
    assert [(number, "unbindRequest")] == [(number, name) for number, name, _ in read(message(number, UNBIND))]
    ((_, name, abandoned),) = read(message(1, abandon(number)))
    assert (name, int(abandoned)) == ("abandonRequest", number)


def test_starting_tls_is_the_extended_operation_of_that_number():
    ((_, name, operation),) = read(message(1, START_TLS))
    assert (name, str(operation["requestName"])) == ("extendedReq", "1.3.6.1.4.1.1466.20037")


def test_a_bind_has_name_and_password_as_they_are():
    ((_, name, operation),) = read(message(1, Simple("cn=proxy,o=\u00e9", b"p\xff \0word").operation()))
    assert (name, int(operation["version"]), str(operation["name"])) == ("bindRequest", 3, "cn=proxy,o=\u00e9")
    assert bytes(operation["authentication"]["simple"]) == b"p\xff \0word"


def test_a_password_is_not_shown():
    assert "secret" not in repr(Simple("cn=proxy", b"secret"))


@pytest.mark.parametrize(("dn", "password"), [("cn=proxy", b""), ("", b"secret"), ("", b"")])
def test_a_bind_that_would_prove_nothing_is_not_made(dn, password):
    with pytest.raises(ValueError, match="needs a name and a password"):
        Simple(dn, password)


def test_a_bind_by_certificate_says_an_empty_name_right_away():
    """Without that response the server would ask for one (RFC 4513, 5.2.1.2)."""
    assert External().operation() == bytes.fromhex("6013 020103 0400 a30c 0408") + b"EXTERNAL" + b"\x04\0"
