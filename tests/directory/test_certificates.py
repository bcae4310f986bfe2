"""A login by certificate: which entry it is for, and that nobody gets in as somebody else."""

import pytest
from attrs import evolve
from cryptography.hazmat.primitives.serialization import Encoding

from mmp.directory.certificates import ByCertificate
from mmp.directory.certmap import CertificateMap
from mmp.directory.entry import Entry
from mmp.directory.file import FileDirectory
from mmp.directory.locate import Locator
from mmp.directory.names import Naming
from mmp.directory.verify import Authority
from mmp.model import Administrator, Credentials, Refusal, Security
from mmp.wire.sasl import MECHANISMS
from tests.authority import Authority as CertificateAuthority
from tests.authority import subject
from tests.directory.outcomes import refusal, run, started
from tests.directory.people import ALICE, CLIENT, credentials
from tests.directory.test_locate import Answering
from tests.fakes import never_asked

CA = CertificateAuthority.make("Example CA")
ADMIN = Administrator("admin", b"secret")
USERS = FileDirectory.parse(
    b'[users."alice@example.com"]\nmailHost = "store1"\nuid = "alice"\ncn = "Same"\n'
    b'[users."bob@example.com"]\nmailHost = "store2"\ncn = "Same"\n'
)
MAIL = subject(E="alice@example.com")


class Matching:
    def __init__(self, *entries):
        self.entries = entries

    async def match(self, _query):
        return self.entries


def shown(security):
    return bool(security.certificate)


def authenticator(directory=USERS, matcher=None, rules=None, good=shown):
    locator = Locator(directory, Naming(), authority=Authority(administrator=ADMIN))
    return ByCertificate(locator, matcher or directory, good, rules or CertificateMap())


def client(name=MAIL, emails=(), der=None):
    shown = CA.issue(name, emails=emails).leaf.public_bytes(Encoding.DER) if der is None else der
    return evolve(CLIENT, security=Security("TLSv1.3", "any", 256, certificate=shown))


def external(response=b""):
    return MECHANISMS["EXTERNAL"](b"").next(response)


def located(authenticator, client, response=b""):
    return run(authenticator.locate(client, external(response), never_asked))


def refused(authenticator, client, response=b""):
    return refusal(started(authenticator.locate(client, external(response), never_asked)))


def rules(text):
    return CertificateMap.parse(text.encode())


def test_the_user_is_logged_in_at_the_store_by_the_administrator():
    account = located(authenticator(), client())
    assert (account.user, account.host, account.administrator) == ("alice", "store1", ADMIN)


def test_an_alternative_name_will_do():
    assert located(authenticator(), client(subject(CN="x"), ["BOB@example.com"])).host == "store2"


@pytest.mark.parametrize("name", [b"alice@example.com", b"Alice@Example.com"])
def test_the_client_may_say_its_own_name(name):
    assert located(authenticator(), client(), name).host == "store1"


@pytest.mark.parametrize("name", [b"bob@example.com", b"nobody@example.com", b"admin"])
def test_the_client_may_say_no_other_name(name):
    told = refused(authenticator(), client(), name)
    assert (told.refusal, told.reason) == (Refusal.NOT_AUTHORIZED, "the certificate is for somebody else")


def test_another_entry_with_the_same_name_in_it_is_somebody_else():
    """A filter may find by a login name what the certificate is not for."""
    other = Entry("uid=alice,dc=other", ALICE.attributes)
    asked = authenticator(Answering(other), Matching(ALICE))
    assert refused(asked, client()).refusal is Refusal.BAD_CREDENTIALS
    assert refused(asked, client(), b"alice").refusal is Refusal.NOT_AUTHORIZED


def test_several_entries_are_nobody():
    told = refused(authenticator(rules=rules("certmap default x\ndefault:DNComps\ndefault:FilterComps cn")), same())
    assert (told.refusal, told.reason) == (Refusal.BAD_CREDENTIALS, "several entries match the certificate")


def same():
    return client(subject(CN="Same"))


@pytest.mark.parametrize(
    ("who", "why"),
    [
        (client(subject(E="nobody@example.com")), "no entry matches the certificate"),
        (client(subject(CN="no address")), "no entry matches the certificate"),
        (client(der=b""), "no certificate that is good now"),
    ],
)
def test_a_certificate_that_is_for_nobody_is_refused(who, why):
    told = refused(authenticator(), who)
    assert (told.refusal, told.reason) == (Refusal.BAD_CREDENTIALS, why)


def test_a_certificate_of_an_issuer_without_a_rule_is_refused():
    only = rules("certmap other CN=Other CA\nother:DNComps\nother:FilterComps e=mail")
    assert refused(authenticator(rules=only), client()).reason == "no rule for certificates of this issuer"


def test_the_entry_has_to_hold_the_certificate_where_the_rule_says_so():
    who = client()
    strict = rules("certmap default x\ndefault:DNComps\ndefault:FilterComps e=mail\ndefault:verifycert on")
    kept = {"usercertificate;binary": (who.security.certificate.decode("utf-8", "surrogateescape"),)}
    holding = Entry(ALICE.name, dict(ALICE.attributes) | kept)
    assert located(authenticator(Answering(ALICE), Matching(holding), strict), who).user == "alice@example.com"
    told = refused(authenticator(Answering(ALICE), Matching(ALICE), strict), who)
    assert told.reason == "the certificate is not the one in the entry"


def test_a_certificate_that_was_good_in_the_handshake_has_to_be_good_still():
    told = refused(authenticator(good=lambda _: False), client())
    assert (told.refusal, told.reason) == (Refusal.BAD_CREDENTIALS, "no certificate that is good now")


def test_other_mechanisms_are_as_they_were():
    assert run(authenticator().locate(CLIENT, credentials(), never_asked)).host == "store1"


def test_without_rules_about_certificates_external_lets_nobody_in():
    locator = Locator(USERS, authority=Authority(administrator=ADMIN))
    told = refusal(started(locator.locate(client(), external(b"alice@example.com"), never_asked)))
    assert told.refusal is Refusal.BAD_CREDENTIALS


def test_a_password_is_nothing_that_a_certificate_stands_for():
    named = Credentials("PLAIN", "alice@example.com", b"", "")
    assert run(authenticator().locate(client(), named, never_asked)).administrator is None
