import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.directory.entry import Entry
from mmp.directory.ldap.directory import Replicas
from mmp.directory.ldap.domains import Reading, domain_name, entry_name
from mmp.directory.ldap.filters import FilterTemplate

ROOT = "o=internet"
READING = Reading(Replicas([]), FilterTemplate.parse("(uid=%U)"), ("mailHost",), 5.0)


def domain(name="one.test", base="ou=one", **attributes):
    entry = Entry("dc=one,dc=test", {key.lower(): (value,) for key, value in attributes.items()})
    return READING.domain(entry, name, base)


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (["one"], "dc=one,o=internet"),
        (["a", "b", "c"], "dc=a,dc=b,dc=c,o=internet"),
        (["a,dc=b"], r"dc=a\2Cdc\3Db,o=internet"),
        (['"#+;<> \\'], r"dc=\22\23\2B\3B\3C\3E\20\5C,o=internet"),
        (["\u00f6"], r"dc=\C3\B6,o=internet"),
    ],
)
def test_a_domain_has_its_place_in_the_tree(labels, name):
    assert entry_name(labels, ROOT) == name


@given(st.lists(st.text('abc,=+\\"#<>; *()%.\u00f6-', min_size=1), min_size=1, max_size=4))
def test_whatever_a_label_has_in_it_it_stays_one(labels):
    name = entry_name(labels, ROOT)
    assert name.count(",") == len(labels)
    assert name.count("=") == len(labels) + 1


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("dc=one,dc=test,o=internet", "one.test"),
        ("DC=One, dc=Test, O=Internet", "one.test"),
        ("dc=one,dc=test,o=elsewhere", ""),
        ("ou=one,dc=test,o=internet", ""),
        (r"dc=a\2Cb,dc=test,o=internet", ""),
        ("o=internet", ""),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_a_place_in_the_tree_is_a_domains(entry, name):
    assert domain_name(entry, ROOT) == name


def test_a_domain_without_anything_special_is_searched_as_usual():
    usual = domain()
    assert (usual.name, usual.scope, usual.replay_user, usual.verified_here, usual.fault) == (
        "one.test",
        ("ou=one", "", ()),
        None,
        None,
        "",
    )


@pytest.mark.parametrize(
    ("value", "here"), [("yes", True), ("YES", True), ("1", True), ("no", False), ("false", False)]
)
def test_a_domain_says_who_judges_passwords(value, here):
    assert domain(mailAccessProxyPreAuth=value).verified_here is here


def test_a_domains_own_attributes_are_asked_for_and_tell_its_users_from_others():
    special = domain(mailAccessProxyReplay="%[uid]@%V", inetDomainSearchFilter="mail=%s")
    assert special.scope == ("ou=one", "mail=%s", ("uid",))
    assert special.replay_user.attributes == ("uid",)


@pytest.mark.parametrize(
    ("attributes", "fault"),
    [
        ({"mailAccessProxyPreAuth": "perhaps"}, "mailAccessProxyPreAuth is neither yes nor no"),
        ({"mailAccessProxyReplay": "%q"}, 'mailAccessProxyReplay has a "%q" that is none of %s, %o, %U, %V'),
        ({"inetDomainSearchFilter": "(uid=%U"}, "inetDomainSearchFilter is not of the form that RFC 4515 describes"),
        ({"inetDomainSearchFilter": "(&" * 2000}, "inetDomainSearchFilter "),
        ({"inetCanonicalDomainName": "one\ntest"}, "its name has characters that cannot be printed"),
        ({"base": "ou=\udcff"}, "'utf-8' codec can't encode character"),
    ],
)
def test_an_entry_that_makes_no_sense_is_a_fault(attributes, fault):
    assert domain(**attributes).fault.startswith(fault)
