"""Domains, statuses and access rules in a real OpenLDAP server, found and judged as a worker does."""

import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mmp.config.clients import DefaultDomain
from mmp.model import Endpoint, Refusal, Security, TLSMode
from tests import fakes
from tests.authority import Authority
from tests.integration import domains
from tests.integration.domains import (
    CLIENT,
    DOMAIN_STATUSES,
    USER_STATUSES,
    Asking,
    domain_with,
    user_with,
)
from tests.integration.slapd import BASE, slapd
from tests.net.turning import Turning

SECURED = evolve(CLIENT, security=Security("TLSv1.3", "any", 256))
UNKNOWN, UNAVAILABLE = Refusal.BAD_CREDENTIALS, Refusal.DIRECTORY_UNAVAILABLE
HOLD, CLOSED, DENIED = Refusal.ACCOUNT_ON_HOLD, Refusal.ACCOUNT_DISABLED, Refusal.NOT_AUTHORIZED


@pytest.fixture(scope="module")
def server(ports):
    """A server that everybody may read."""
    rules = "".join(
        domains.person(name, "rules", *(f"mailAllowedServiceAccess: {value}" for value in values))
        for name, values in RULES.items()
    )
    renamed = domains.person("renamed", "rules", "mailAllowedServiceAccess: -ALL:*", "description: +imap:*")
    entries = domains.PEOPLE + rules + renamed + domains.TREE + domains.ORGANISATIONS
    with slapd(ports, entries, level="stats") as running:
        yield running


@pytest.fixture
def asking(server):
    turning = Turning()
    yield Asking(turning, server, fakes.Log())
    turning.close()


# 3.1: from the login name to the entry. Each row: its number, who logs in, the settings, and what comes of it.

PLUS = {"domain_separators": "@+"}
FULL = {"replay_user": "%s"}
PINNED = "(&(uid=%U)(description={})(description={}))"
NAMES = [
    ("3.1.1 the last separator ends the user", "alice+x@one.test", {"login": PLUS}, UNKNOWN),
    ("3.1.1 any of a set separates", "alice+one.test", {"login": PLUS | FULL}, ("one.store", "alice@one.test")),
    ("3.1.1 what is not in the set does not", "alice+one.test", {}, UNKNOWN),
    ("3.1.1 a bare name has the default domain", "alice", {"login": {"default_domain": "two.test"}}, "two.store"),
    ("3.1.1 a bare name without one is unknown", "alice", {}, UNKNOWN),
    (
        "3.1.1 a bare name has the default domain of the address that it has come to",
        "alice",
        {
            "login": {
                "default_domain": "one.test",
                "default_domains": (
                    DefaultDomain(address="198.51.100.2", domain="none.test"),
                    DefaultDomain(address="198.51.100.1", domain="two.test"),
                ),
            }
        },
        "two.store",
    ),
    ("3.1.2 a domain in the tree", "alice@one.test", {}, "one.store"),
    ("3.1.2 whatever its case", "alice@One.TEST", {}, "one.store"),
    ("3.1.2 another domain has other users", "alice@two.test", {}, "two.store"),
    ("3.1.2 an alias leads to its domain", "alice@alias.test", {}, "one.store"),
    ("3.1.2 an alias of an alias leads nowhere", "alice@hop.test", {}, UNKNOWN),
    ("3.1.2 an alias of nothing", "alice@nowhere.test", {}, UNKNOWN),
    ("3.1.2 a domain without a base", "alice@empty.test", {}, UNKNOWN),
    ("3.1.2 an entry that is no domain", "alice@other.test", {}, UNKNOWN),
    ("3.1.2 no entry", "alice@none.test", {}, UNKNOWN),
    ("3.1.2 an empty label", "alice@one..test", {}, UNKNOWN),
    ("3.1.2 no name of a domain", "alice@jörg,dc=one.test", {}, UNKNOWN),
    ("3.1.2 a base that is not there", "alice@baseless.test", {}, UNAVAILABLE),
    ("3.1.2 the preferred domain of an organisation", "alice@first.test", {"schema": "2"}, "one.store"),
    ("3.1.2 its other domain", "alice@first.alias.test", {"schema": "2"}, "one.store"),
    ("3.1.2 without a base users are below it", "dave@second.test", {"schema": "2"}, "second.store"),
    ("3.1.2 and nowhere else", "alice@second.test", {"schema": "2"}, UNKNOWN),
    ("3.1.2 a domain of two organisations", "dave@shared.test", {"schema": "2"}, UNKNOWN),
    ("3.1.2 a domain of none", "alice@one.test", {"schema": "2"}, UNKNOWN),
    ("3.1.2 flat has no domains", "alice@whatever.test", {"schema": "flat", "base": f"ou=one,{BASE}"}, "one.store"),
    ("3.1.3 the tree's name", "alice@ALIAS.test", {"login": FULL}, ("one.store", "alice@one.test")),
    ("3.1.3 the canonical name", "alice@canonical.test", {"login": FULL}, ("one.store", "alice@one.test")),
    (
        "3.1.3 the canonical name is searched by",
        "alice@canonical.test",
        {"filter": "(mail=%U@%V)"},
        "one.store",
    ),
    (
        "3.1.3 the organisation's name",
        "alice@first.alias.test",
        {"schema": "2", "login": FULL},
        ("one.store", "alice@first.test"),
    ),
    ("3.1.3 its canonical name", "alice@fourth.test", {"schema": "2", "login": FULL}, ("one.store", "alice@one.test")),
    ("3.1.3 the name as typed", "alice@fifth.test", {"schema": "2", "login": FULL}, ("two.store", "alice@fifth.test")),
    ("3.1.4 the domain's filter", "bob@filtered.test", {}, "one.store"),
    ("3.1.4 it beats the configured one", "alice@filtered.test", {}, UNKNOWN),
    ("3.1.4 without parentheses", "alice@two.test", {"filter": "(uid=nobody)"}, "two.store"),
    ("3.1.4 one that cannot be read", "alice@misfiltered.test", {}, UNAVAILABLE),
    ("3.1.4 no match", "nobody@one.test", {}, UNKNOWN),
    ("3.1.4 several matches", "twin@one.test", {}, UNKNOWN),
    ("3.1.4 the client's address", "alice@one.test", {"filter": "(&(uid=%U)(!(uid=%C)))"}, "one.store"),
    ("3.1.4 the client's address and ours", "pinned@one.test", {"filter": PINNED.format("%C", "%S")}, "one.store"),
    ("3.1.4 another one of ours", "pinned@one.test", {"filter": PINNED.format("%C", "%V")}, UNKNOWN),
    ("3.1.4 as typed", "alice@one.test", {"filter": "(mail=%o)"}, "one.store"),
    ("3.1.5 the first host", "alice@one.test", {"mail_host_attributes": ("mailHost", "host")}, "one.store"),
    ("3.1.5 the next host", "homeless@one.test", {"mail_host_attributes": ("mailHost", "host")}, "second.store"),
    ("3.1.5 no host", "lost@one.test", {}, Refusal.BACKEND_UNAVAILABLE),
    ("3.1.5 no name of a host", "eve@one.test", {}, Refusal.BACKEND_UNAVAILABLE),
]


@pytest.mark.parametrize(("user", "options", "expected"), [row[1:] for row in NAMES], ids=[row[0] for row in NAMES])
def test_a_login_name_leads_to_an_entry(asking, user, options, expected):
    told = asking.told(user, **options)
    assert (told[0] if isinstance(expected, str) else told) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [(domains.SUBJECT, "one.store"), ("CN=another", UNKNOWN)], ids=["its own", "another"]
)
def test_3_1_4_the_filter_may_have_the_subject_of_a_certificate(asking, name, expected):
    der = Authority.make("CA").issue(x509.Name.from_rfc4514_string(name)).leaf.public_bytes(Encoding.DER)
    client = evolve(CLIENT, security=evolve(SECURED.security, certificate=der))
    told = asking.told("pinned@one.test", filter="(&(uid=%U)(description=%D))", client=client)
    assert (told[0] if isinstance(expected, str) else told) == expected


# 3.2: attributes with a meaning of their own.

OVERRIDES = [
    ("3.2 mailAccessProxyReplay", "bob@replay.test", {}, ("one.store", "bob+twin@one.test#replay.test")),
    ("3.2 mailAccessProxyReplay that cannot be read", "bob@misreplay.test", {}, UNAVAILABLE),
    ("3.2 mailAccessProxyPreAuth that is neither", "alice@perhaps.test", {}, UNAVAILABLE),
    ("3.2 uid", "alice@one.test", {"filter": "(uid=%U)"}, ("one.store", "alice")),
    ("3.2 mail by the filter", "alice@one.test", {"filter": "(mail=%s)"}, "one.store"),
    ("3.2 mailEquivalentAddress by the filter", "same@one.test", {"filter": "(mailEquivalentAddress=%s)"}, "one.store"),
    ("3.2 mailEquivalentAddress not without", "same@one.test", {}, UNKNOWN),
    ("3.2 mailMessageStore is the store's own", "stored@one.test", {}, ("one.store", "stored")),
    ("3.2 preferredMailHost is for new users", "lost@preferring.test", {}, Refusal.BACKEND_UNAVAILABLE),
    ("3.2 domainUidSeparator is not read", "alice+one@preferring.test", {}, UNKNOWN),
    ("3.2 mailAlternateAddress by the filter", "bobby@one.test", {"filter": "(mailAlternateAddress=%s)"}, "one.store"),
    ("3.2 mailAlternateAddress not without", "bobby@one.test", {}, UNKNOWN),
]


@pytest.mark.parametrize(
    ("user", "options", "expected"), [row[1:] for row in OVERRIDES], ids=[row[0] for row in OVERRIDES]
)
def test_attributes_have_their_meaning(asking, user, options, expected):
    told = asking.told(user, **options)
    assert (told[0] if isinstance(expected, str) else told) == expected


@pytest.mark.parametrize("verify", ["backend", "directory"])
@pytest.mark.parametrize(("domain", "here"), [("here.test", True), ("there.test", False), ("one.test", None)])
def test_3_2_mail_access_proxy_pre_auth_says_who_judges_passwords(asking, domain, here, verify):
    locator = asking.locator(schema="1", login={"verify": verify})
    judged = here if here is not None else verify == "directory"
    right, wrong = domains.PASSWORD.encode(), b"another"
    assert asking.outcome(locator, f"alice@{domain}", secret=right).host == "one.store"
    found = asking.outcome(locator, f"alice@{domain}", secret=wrong)
    assert found is UNKNOWN if judged else found.host == "one.store"


# 3.3: statuses.

REFUSED = {
    **dict.fromkeys(("hold", "defer", "defer-submit", "inactive", "nonsense"), HOLD),
    **dict.fromkeys(("disabled", "deleted", "removed"), CLOSED),
}


@pytest.mark.parametrize(("attribute", "value"), USER_STATUSES, ids=[f"3.3 {'='.join(each)}" for each in USER_STATUSES])
def test_the_status_of_a_user_decides(asking, attribute, value):
    told = asking.told(f"{user_with(attribute, value)}@statuses.test")
    assert told == REFUSED.get(value, ("statuses.store", user_with(attribute, value)))


@pytest.mark.parametrize(
    ("attribute", "value"), DOMAIN_STATUSES, ids=[f"3.3 {'='.join(each)}" for each in DOMAIN_STATUSES]
)
def test_the_status_of_a_domain_decides(asking, attribute, value):
    told = asking.told(f"alice@{domain_with(attribute, value)}")
    assert told == REFUSED.get(value, ("one.store", "alice"))


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("both@statuses.test", HOLD),
        ("closed@statuses.test", CLOSED),
        ("both@closed.test", CLOSED),
        ("misplaced@statuses.test", HOLD),
    ],
    ids=[
        "3.3 inet before mail",
        "3.3 active leaves it to the next",
        "3.3 the domain before the user",
        "3.3 a value of mail statuses alone is no value of the others",
    ],
)
def test_the_first_status_that_is_a_hindrance_decides(asking, user, expected):
    assert asking.told(user) is expected


def test_no_status_is_told_to_somebody_with_a_wrong_password_where_we_judge_it(asking):
    locator = asking.locator(schema="1", login={"verify": "directory"})
    for user in ("closed@statuses.test", "alice@one.test", "nobody@one.test", "alice@none.test"):
        assert asking.outcome(locator, user, secret=b"wrong") is UNKNOWN
    assert asking.outcome(locator, "closed@statuses.test", secret=domains.PASSWORD.encode()) is CLOSED


# 3.4: access rules.

RULES = {
    "free": (),
    "imap": ("+imap:*",),
    "tls": ("+imaps,pops:*$+imap,pop:192.0.2.99",),
    "pop": ("+pop:*",),
    "nopop": ("-pop:*",),
    "near": ("+imap:192.0.2.0/255.255.255.0 EXCEPT 192.0.2.128/25 EXCEPT 192.0.2.200",),
    "two": ("+imap:10.0.0.0/8", "-ALL:*"),
    "named": ("+imap:.example.com",),
    "unnamed": ("-imap:.example.com",),
    "netgroup": ("+imap:@staff",),
    "all": ("+ALL:ALL",),
    "stars": ("+*:*",),
    "butimap": ("+ALL EXCEPT imap,pop:*",),
    "butbut": ("+ALL EXCEPT imap EXCEPT imap:*",),
    "dotted": ("+imap:192.0.2.",),
    "undotted": ("+imap:192.0.3.",),
    "both": ("+imap:192.0.2.7$-ALL:*",),
    "neither": ("+pop:*$-imap:10.0.0.0/8",),
    "local": ("+imap:LOCAL",),
    "known": ("+imap:KNOWN",),
    "unknown": ("-imap:UNKNOWN",),
    "spoofer": ("-imap:DNSSPOOFER",),
    "ident": ("+imap:alice@192.0.2.7",),
    "malformed": ("imap *", "+imap:*"),
    "web": ("+http,smime:*",),
}
IMPLICIT, STARTTLS = TLSMode.IMPLICIT, TLSMode.STARTTLS
ACCESS = [
    ("no rules let in", "free@rules.test", CLIENT, TLSMode.NONE, True),
    ("a rule for the service lets in", "imap@rules.test", CLIENT, TLSMode.NONE, True),
    ("a rule for another keeps out", "pop@rules.test", CLIENT, TLSMode.NONE, False),
    ("a rule against another lets in", "nopop@rules.test", CLIENT, TLSMode.NONE, True),
    ("a rule for imap is none for imaps", "imap@rules.test", SECURED, IMPLICIT, False),
    ("STARTTLS goes by both names", "imap@rules.test", SECURED, STARTTLS, True),
    ("a user of TLS without it", "tls@rules.test", CLIENT, STARTTLS, False),
    ("a user of TLS with STARTTLS", "tls@rules.test", SECURED, STARTTLS, True),
    ("a user of TLS", "tls@rules.test", SECURED, IMPLICIT, True),
    ("within the network", "near@rules.test", CLIENT, TLSMode.NONE, True),
    ("but for", "near@rules.test", evolve(CLIENT, address=Endpoint("192.0.2.129", 1)), TLSMode.NONE, False),
    ("but for but for", "near@rules.test", evolve(CLIENT, address=Endpoint("192.0.2.200", 1)), TLSMode.NONE, True),
    ("two values count together", "two@rules.test", CLIENT, TLSMode.NONE, False),
    ("a name that is not known lets nobody in", "named@rules.test", CLIENT, TLSMode.NONE, False),
    ("and keeps everybody out", "unnamed@rules.test", CLIENT, TLSMode.NONE, False),
    ("what cannot be judged keeps out", "netgroup@rules.test", CLIENT, TLSMode.NONE, False),
    ("ALL", "all@rules.test", CLIENT, TLSMode.NONE, True),
    ("asterisks", "stars@rules.test", CLIENT, TLSMode.NONE, True),
    ("all services but this", "butimap@rules.test", CLIENT, TLSMode.NONE, False),
    ("all services but for but for", "butbut@rules.test", CLIENT, TLSMode.NONE, True),
    ("the beginning of an address", "dotted@rules.test", CLIENT, TLSMode.NONE, True),
    ("the beginning of another", "undotted@rules.test", CLIENT, TLSMode.NONE, False),
    ("what lets in counts before what keeps out", "both@rules.test", CLIENT, TLSMode.NONE, True),
    ("neither of both lets in", "neither@rules.test", CLIENT, TLSMode.NONE, True),
    ("LOCAL needs a name", "local@rules.test", CLIENT, TLSMode.NONE, False),
    ("KNOWN needs a name", "known@rules.test", CLIENT, TLSMode.NONE, False),
    ("UNKNOWN may be everybody", "unknown@rules.test", CLIENT, TLSMode.NONE, False),
    ("DNSSPOOFER may be everybody", "spoofer@rules.test", CLIENT, TLSMode.NONE, False),
    ("who somebody is on their host nobody asks", "ident@rules.test", CLIENT, TLSMode.NONE, False),
    ("one rule that cannot be read keeps out", "malformed@rules.test", CLIENT, TLSMode.NONE, False),
    ("services that we have not", "web@rules.test", CLIENT, TLSMode.NONE, False),
    ("domain and user let in", "imap@allowed.test", CLIENT, TLSMode.NONE, True),
    ("only the domain does", "pop@allowed.test", CLIENT, TLSMode.NONE, False),
    ("only the user does", "imap@denied.test", CLIENT, TLSMode.NONE, False),
    ("the domain's cannot be read", "free@garbled.test", CLIENT, TLSMode.NONE, False),
]


@pytest.mark.parametrize(
    ("user", "client", "tls", "let_in"), [row[1:] for row in ACCESS], ids=[f"3.4 {row[0]}" for row in ACCESS]
)
def test_access_rules_decide(asking, user, client, tls, let_in):
    told = asking.told(user, client=client, tls=tls)
    assert told == ("rules.store", user.partition("@")[0]) if let_in else told is DENIED


def test_3_4_rules_can_be_in_another_attribute(asking):
    assert asking.told("renamed@rules.test") is DENIED
    assert asking.told("renamed@rules.test", access_attribute="description") == ("rules.store", "renamed")


def test_rules_that_cannot_be_read_are_told_once(asking):
    locator = asking.locator(schema="1")
    for _ in range(3):
        assert asking.outcome(locator, "free@garbled.test") is DENIED
    (told,) = asking.log.named("rules")
    assert (told["entry"], told["attribute"]) == (
        f"dc=garbled,dc=test,{domains.ROOT}",
        "mailDomainAllowedServiceAccess",
    )
