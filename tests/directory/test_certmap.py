"""Rules from a certificate to what is searched for in the directory."""

import pytest
from cryptography import x509

from mmp.directory.certmap import CertificateMap, Query, canonical, parse_name
from mmp.errors import ConfigError
from tests.authority import Authority, subject

CA = Authority.make("Example CA")
ALICE = subject(DC=["com", "example"], O="Example, Inc.", OU="People", CN="Alice", UID="alice", E="alice@example.com")


def queries(text, name=ALICE, emails=(), issuer=CA):
    certificate = issuer.issue(name, emails=emails).leaf
    rules = CertificateMap.parse(text.encode()) if text else CertificateMap()
    rule = rules.rule(certificate)
    return None if rule is None else list(rule.queries(certificate))


def default(properties):
    return "certmap default default\n" + "".join(f"default:{each}\n" for each in properties)


def by(*pairs):
    return tuple((attribute, (value,)) for attribute, value in pairs)


MAIL = by(("mail", "alice@example.com"))


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        (["DNComps", "FilterComps e=mail"], Query("", MAIL)),
        (["DNComps", "FilterComps e"], Query("", MAIL)),
        (["DNComps", "FilterComps ou=uid"], Query("", by(("uid", "People")))),
        (["DNComps", "FilterComps e, uid"], Query("", (*MAIL, *by(("uid", "alice"))))),
        (["DNComps dc", "FilterComps uid"], Query("dc=example,dc=com", by(("uid", "alice")))),
        (["DNComps o,dc", "FilterComps uid"], Query(r"o=Example\, Inc.,dc=example,dc=com", by(("uid", "alice")))),
        (["DNComps o=ou", "FilterComps uid"], Query(r"ou=Example\, Inc.", by(("uid", "alice")))),
        (["DNComps l, dc", "FilterComps uid"], Query("dc=example,dc=com", by(("uid", "alice")))),
        (["DNComps cn dc"], Query("cn=Alice,dc=example,dc=com", (), alone=True)),
    ],
)
def test_base_and_filter_come_from_the_subject(properties, expected):
    assert queries(default(properties)) == [expected]


def test_without_dncomps_the_subject_is_the_entry():
    name = subject(DC="com", O="Example", UID="alice")
    assert queries(default([]), name) == [Query("uid=alice,O=Example,DC=com", (), alone=True)]
    assert queries(default(["FilterComps o"]), name) == [
        Query("uid=alice,O=Example,DC=com", by(("o", "Example")), alone=True)
    ]


@pytest.mark.parametrize("properties", [["DNComps", "FilterComps l"], ["DNComps l", "FilterComps uid"], ["DNComps l"]])
def test_a_certificate_that_does_not_say_what_the_rule_goes_by_is_nobodys(properties):
    assert queries(default(properties)) == []


def test_all_values_of_a_type_must_match():
    name = subject(OU=["People", "Berlin"], CN="Alice")
    assert queries(default(["DNComps", "FilterComps ou"]), name) == [Query("", by(("ou", "People"), ("ou", "Berlin")))]


def test_any_of_the_alternative_names_counts_where_the_subject_has_no_address():
    addresses = ["alice@example.com", "al@example.com"]
    assert queries("", subject(CN="Alice"), addresses) == [Query("", (("mail", tuple(addresses)),))]
    assert queries("", subject(E="alice@example.com"), addresses) == [Query("", MAIL)]
    assert queries("", subject(CN="Alice")) == []


def test_an_attribute_with_subjects_is_searched_first():
    name = subject(O="Example", UID="alice")
    found = queries(default(["DNComps", "FilterComps uid", "CmapLdapAttr certSubjectDN"]), name)
    assert found == [Query("", by(("certSubjectDN", "uid=alice,O=Example"))), Query("", by(("uid", "alice")))]


def test_what_a_name_could_say_of_its_own_is_escaped():
    name = subject(O='a,b+c"d\\e<f>g;h=i', CN="x")
    assert queries(default(["DNComps o", "FilterComps cn"]), name)[0].base == r"o=a\,b\+c\"d\\e\<f\>g\;h\=i"


TWO = """
# Old and new at once.
certmap old CN=Old CA
old:DNComps
old:FilterComps uid

certmap new cn = New CA
new:DNComps
new:FilterComps e=mail
new:verifycert on
"""


def test_each_issuer_has_its_own_rule_and_others_the_default_one_if_there_is_one():
    old, new = Authority.make("Old CA"), Authority.make("new  ca")
    assert queries(TWO, issuer=old) == [Query("", by(("uid", "alice")))]
    assert queries(TWO, issuer=new) == [Query("", MAIL)]
    assert queries(TWO) is None
    assert queries(TWO + default(["DNComps", "FilterComps cn"])) == [Query("", by(("cn", "Alice")))]


def test_the_entry_need_hold_the_certificate_only_where_that_is_on():
    rules = CertificateMap.parse(TWO.encode())
    assert {rule.verify for rule in rules.by_issuer.values()} == {True, False}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CN=Example CA,O=Example", "cn=example ca, o=example"),
        ("CN=Example  CA , O=Example", "CN=Example CA,O=Example"),
        (r"CN=A\, B,O=C", r"cn=a\, b , o=c"),
        ("OU=x+CN=y", "CN=y + OU=x"),
    ],
)
def test_names_are_compared_as_names_and_not_as_text(one, other):
    assert canonical(parse_name(one)) == canonical(parse_name(other))


def test_the_order_of_what_is_in_a_name_counts():
    assert canonical(parse_name("CN=a,O=b")) != canonical(parse_name("O=b,CN=a"))


def test_a_parsed_name_is_that_of_a_certificate():
    assert canonical(parse_name("cn=example ca")) == canonical(CA.certificate.subject)
    assert isinstance(parse_name("e=a@b.example,l=x"), x509.Name)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "has no certmap"),
        ("nonsense", 'line 1: is neither "certmap NAME ISSUER" nor "NAME:PROPERTY VALUE"'),
        ("certmap a not a name", "line 1: 'not a name' is not a distinguished name"),
        ("b:DNComps cn", "line 1: there is no certmap b above"),
        ("certmap a CN=x\ncertmap A CN=y", "line 2: A is there already"),
        ("certmap a CN=x\ncertmap b cn=X", "certmap b: its issuer has another certmap"),
        (
            "certmap a CN=x\na:Library /x.so",
            "line 2: library is none of DNComps, FilterComps, CmapLdapAttr and verifyc",
        ),
        ("certmap a CN=x\na:FilterComps shoe", "line 2: 'shoe' is none of c, cn, dc, e"),
        ("certmap a CN=x\na:FilterComps cn=a)(b", "line 2: 'a)(b' is no attribute's name"),
        ("certmap a CN=x\na:CmapLdapAttr *", "line 2: '*' is no attribute's name"),
        ("certmap a CN=x\na:verifycert maybe", "line 2: verifycert is on or off"),
        ("certmap a CN=x\na:DNComps", "certmap a: with an empty DNComps and no FilterComps every entry would match"),
    ],
)
def test_mistakes_in_a_file_are_told(text, mistake):
    with pytest.raises(ConfigError) as told:
        CertificateMap.parse(text.encode())
    assert told.value.mistakes[0].startswith(mistake)
