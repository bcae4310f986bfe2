import pytest
from attrs import evolve

from mmp.directory.access import AccessByEntry
from mmp.directory.entry import Entry
from mmp.errors import Refused
from mmp.model import Refusal, Security
from tests.directory.people import CLIENT
from tests.fakes import Log


def user(*rules, name="uid=alice", attribute="mailallowedserviceaccess"):
    return Entry(name, {attribute: rules})


def domain(*rules):
    return user(*rules, name="dc=example", attribute="maildomainallowedserviceaccess")


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def access(log):
    return AccessByEntry("mailAllowedServiceAccess", log, implicit_tls=False)


def refused(access, of_domain, of_user, client=CLIENT):
    try:
        access.check(client, of_domain, of_user)
    except Refused as refusal:
        return {Refusal.NOT_AUTHORIZED: refusal.reason}[refusal.refusal]
    return None


def test_without_rules_everybody_is_let_in(access):
    assert refused(access, None, Entry("uid=alice", {})) is None
    assert refused(access, Entry("dc=example", {}), Entry("uid=alice", {})) is None


@pytest.mark.parametrize("rules", ["+imap:*", "-imap:*"])
@pytest.mark.parametrize("of_domain", ["+imap:*", "-imap:*"])
def test_the_rules_of_domain_and_user_must_both_let_in(access, of_domain, rules):
    let_in = refused(access, domain(of_domain), user(rules)) is None
    assert let_in is (of_domain[0] == rules[0] == "+")


def test_the_rule_that_decided_is_told(access):
    assert refused(access, None, user("+pop:*", "-imap:192.0.2.")) == "mailAllowedServiceAccess: -imap:192.0.2.0/24"
    assert refused(access, domain("+pop:*"), user()) == "mailDomainAllowedServiceAccess: none of +pop:ALL"


def test_several_values_are_rules_in_force_together(access):
    assert refused(access, None, user("-ALL:*", "+imap:192.0.2.7")) is None


def test_rules_can_be_in_another_attribute(log):
    access = AccessByEntry("allowedServices", log, implicit_tls=False)
    assert refused(access, None, user("-ALL:*")) is None
    assert refused(access, None, user("-ALL:*", attribute="allowedservices"))


def test_tls_counts_by_how_it_began(access, log):
    implicit = AccessByEntry("mailAllowedServiceAccess", log, implicit_tls=True)
    secured = evolve(CLIENT, security=Security("TLSv1.3", "any", 256))
    only_tls = user("+imaps:*")
    assert refused(access, None, only_tls)
    assert refused(access, None, only_tls, secured) is None
    assert refused(implicit, None, only_tls, secured) is None
    assert refused(implicit, None, user("+imap:*"), secured)


def test_rules_that_cannot_be_read_let_nobody_in_and_are_told_once_for_each_entry(access, log):
    for _ in range(3):
        assert refused(access, None, user("+imap:*$nonsense"))
    assert refused(access, None, user("+imap:*$nonsense", name="uid=bob"))
    assert [facts["entry"] for facts in log.named("rules")] == ["uid=alice", "uid=bob"]
    assert log.named("rules")[0]["rules"] == "+imap:*$nonsense"


def test_rules_that_were_changed_and_still_cannot_be_read_are_told_again(access, log):
    refused(access, None, user("nonsense"))
    refused(access, None, user("more nonsense"))
    assert len(log.events) == 2


def test_what_is_remembered_of_rules_is_bounded(access):
    for number in range(1100):
        refused(access, None, user(f"+imap:10.0.{number // 250}.{number % 250}"))
        refused(access, None, user("nonsense", name=f"uid={number}"))
    assert len(access._parsed) == len(access._told) == 1000
