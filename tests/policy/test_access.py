"""The truth table of access rules, their grammar, and its inverse."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.policy.access import AccessRules, Clients, Rule, Services, Visitor
from mmp.policy.pattern import Named, Wildcard, Within

SECURITY = {"clear": (False, False), "starttls": (False, True), "implicit": (True, True)}


def visitor(service="imap", address="192.0.2.7", security="clear", host=None):
    implicit, encrypted = SECURITY[security]
    made = Visitor.make(service, address, implicit_tls=implicit, encrypted=encrypted)
    return Visitor(made.services, made.address, host)


def granted(rules, **who):
    return AccessRules.parse(rules).judge(visitor(**who)).granted


def test_without_rules_everybody_is_let_in():
    assert AccessRules().judge(visitor()).granted


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("+imap:*", True),
        ("+pop:*", False),  # only rules that allow: whoever they do not speak of is kept out
        ("-pop:*", True),  # only rules that deny: whoever they do not speak of is let in
        ("-imap:*", False),
        ("+imap:*$-imap:*", True),  # what allows is looked at first
        ("-imap:*$+imap:*", True),  # in whatever order they stand
        ("+pop:*$-imap:*", False),
        ("+pop:*$-pop:*", True),  # both kinds, and neither speaks of it
        ("+ALL:ALL", True),
        ("-ALL:ALL", False),
        ("+*:*", True),
        ("+ALL EXCEPT pop:*", True),
        ("+ALL EXCEPT imap:*", False),
        ("-ALL EXCEPT imap:*", True),
        ("+ALL EXCEPT ALL EXCEPT imap:*", True),  # all but (all but imap)
        ("+ALL EXCEPT ALL EXCEPT pop:*", False),
        ("+http,smime:*", False),
    ],
)
def test_services_decide(rules, expected):
    assert granted(rules) is expected


@pytest.mark.parametrize(
    ("clients", "expected"),
    [
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("192.0.2.0/255.255.255.0", True),
        ("192.0.2.0/24", True),
        ("192.0.2.", True),
        ("192.", True),
        ("10.", False),
        ("192.0.2.8, 192.0.2.7", True),
        ("192.0.2.8 192.0.2.7", True),
        ("192.0.2. EXCEPT 192.0.2.7", False),
        ("192.0.2. EXCEPT 192.0.2.0/29 EXCEPT 192.0.2.7", True),
        ("ALL EXCEPT 10.0.0.0/8", True),
        ("2001:db8::/32", False),
        ("mail.example.com", True),
        ("MAIL.Example.Com", True),
        (".example.com", True),
        (".com", True),
        ("example.com", False),
        (".ample.com", False),
        ("KNOWN", True),
        ("UNKNOWN", False),
        ("LOCAL", False),
        ("all", True),
    ],
)
def test_clients_decide(clients, expected):
    assert granted(f"+imap:{clients}", host="mail.example.com") is expected


@pytest.mark.parametrize(
    ("host", "of"),
    [("intern", {"LOCAL", "KNOWN"}), ("mail.example.com", {"KNOWN"}), ("", {"UNKNOWN"})],
)
def test_words_stand_for_hosts_by_what_is_known_of_their_names(host, of):
    assert {word for word in ("LOCAL", "KNOWN", "UNKNOWN") if granted(f"+imap:{word}", host=host)} == of


@pytest.mark.parametrize(
    "clients",
    [".example.com", "host", "LOCAL", "KNOWN", "UNKNOWN", "DNSSPOOFER", "ALL EXCEPT .example.com", "KNOWN EXCEPT 10."],
)
def test_a_rule_that_needs_a_name_which_is_not_known_lets_nobody_in_and_keeps_everybody_out(clients):
    assert not granted(f"+imap:{clients}")
    assert not granted(f"-imap:{clients}")


def test_a_name_that_is_not_known_does_not_matter_where_the_address_decides():
    assert granted("+imap:.example.com,192.0.2.7")
    assert granted("-imap:LOCAL EXCEPT 192.0.2.7")
    assert granted("-pop:LOCAL")
    verdict = AccessRules.parse("-imap:LOCAL").judge(visitor())
    assert verdict.why == "-imap:LOCAL (the host name is not known)"


@pytest.mark.parametrize(
    ("security", "expected"),
    [("clear", {"imap"}), ("implicit", {"imaps"}), ("starttls", {"imap", "imaps"})],
)
def test_a_service_has_another_name_in_tls_and_both_once_tls_was_started(security, expected):
    assert {name for name in ("imap", "imaps") if granted(f"+{name}:*", security=security)} == expected


@pytest.mark.parametrize(
    ("security", "address", "expected"),
    [
        ("clear", "192.0.2.7", False),
        ("starttls", "192.0.2.7", True),
        ("implicit", "192.0.2.7", True),
        ("clear", "10.0.0.1", True),
    ],
)
def test_users_can_be_kept_to_tls_but_for_one_address(security, address, expected):
    assert granted("+imaps,pops:*$+imap,pop:10.0.0.1", security=security, address=address) is expected


@pytest.mark.parametrize(
    ("service", "names"),
    [
        ("imap", "imap"),
        ("pop3", "pop"),
        ("pop3", "pop3"),
        ("submission", "smtp"),
        ("submission", "submission"),
        ("managesieve", "sieve"),
        ("managesieve", "managesieve"),
    ],
)
def test_every_service_has_its_names(service, names):
    assert granted(f"+{names}:*", service=service)
    assert granted(f"+{names}s:*", service=service, security="implicit")


def test_an_address_of_ipv4_in_ipv6_is_what_it_stands_for():
    assert granted("+imap:192.0.2.0/24", address="::ffff:192.0.2.7")
    assert granted("+imap:[2001:db8::]/32", address="2001:db8::7")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "$",
        "imap:*",
        "+imap",
        "+:*",
        "+imap:",
        "+imap:*$",
        "+imap:* EXCEPT",
        "+EXCEPT pop:*",
        "-imapp:*",
        "+imap:@netgroup",
        "+imap:user@host",
        "+imap:10.0.0.300",
        "+imap:10.0.0.1/8",
        "+imap:10.0.0.0/0.255.255.255",
        "+imap:10.0.0.0/255.0.255.0",
        "+imap:10.0.0.0/33",
        "+imap:127.1",
        "+imap:1.2.3.4.",
        "+imap:*.example.com",
        "+imap:exa mple:com",
        "+imap:a\0b",
        "+imap:*" + " EXCEPT *" * 1000,
    ],
)
def test_what_cannot_be_read_or_judged_is_no_rule(text):
    with pytest.raises(ValueError, match=r"\A(?:has|does) "):
        AccessRules.parse(text)


def networks(bits, least):
    """Return networks of a family; none so short that IPv6 would write an address of IPv4 into it."""
    sizes = st.integers(least, bits)
    numbers = st.integers(2 ** (bits - 1), 2**bits - 1)
    return st.builds(lambda number, size: ip_network((number >> (bits - size) << (bits - size), size)), numbers, sizes)


NETWORKS = st.one_of(networks(32, 0), networks(128, 1))
PATTERNS = st.one_of(
    st.sampled_from(Wildcard),
    NETWORKS.map(Within),
    st.sampled_from(["host", ".example.com", "mail.example.com", "a-b.c_d"]).map(Named),
)
NAMES = st.sampled_from(["ALL", "imap", "imaps", "pop", "pops", "smtp", "sieves", "http"])


def listings(kind, items):
    """Return lists of up to three parts, each but the first after EXCEPT."""
    words = st.lists(items, min_size=1, max_size=3).map(tuple)
    plain = words.map(kind)
    for _ in range(2):
        plain = st.one_of(plain, st.builds(kind, words, plain))
    return plain


RULES = st.builds(Rule, st.booleans(), listings(Services, NAMES), listings(Clients, PATTERNS))


@given(st.lists(RULES, min_size=1, max_size=4).map(tuple).map(AccessRules))
def test_what_is_written_reads_as_the_same_rules(rules):
    assert AccessRules.parse(str(rules)) == rules


@given(st.text(alphabet="+-$:,. aimp*EXCPTLOKNW0129/[]@"))
def test_anything_is_either_rules_or_a_mistake(text):
    try:
        rules = AccessRules.parse(text)
    except ValueError:
        return
    assert AccessRules.parse(str(rules)) == rules
