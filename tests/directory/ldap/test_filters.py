import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.operation.search import compile_filter, parse_filter
from ldap3.utils.asn1 import encode

from mmp.directory.ldap.filters import FilterTemplate
from mmp.directory.names import ESCAPES, Names
from tests.directory.people import names

USUAL = "(|(uid=%U)(mail=%s)(mailAlternateAddress=%s))"
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def filled(text, found):
    template = FilterTemplate.parse(text)
    return template.encode(template.values(found))


def expected(text, found):
    """Return the filter as ldap3 writes it, with every octet of the values escaped (RFC 4515, 3)."""
    for letter, field in ESCAPES.items():
        escaped = "".join(f"\\{octet:02x}" for octet in getattr(found, field).encode())
        text = text.replace(f"%{letter}", escaped)
    return bytes(encode(compile_filter(parse_filter(text, None, False, False, None, False).elements[0])))


@pytest.mark.parametrize(
    "text",
    [
        USUAL,
        "(uid=%U)",
        "(uid=x%Uy)",
        "(mail=%U@%V)",
        "(mail=*%U*)",
        "(mail=%U*%V)",
        "(mail=a*%U*b*%V*c)",
        "(&(objectClass=inetMailUser)(!(mailUserStatus=deleted))(|(uid=%o)(mail=%s)))",
        "(uid>=%U)",
        "(uid<=%U)",
        "(uid~=%U)",
        "(cn:dn:2.4.6.8.10:=%U)",
        "(cn:=%U)",
        "(:caseExactMatch:=%U)",
        "(&(uid=%U)(allowedFrom=%C)(allowedTo=%S))",
        "(cn=\\25U \\2a %U \\c3\\a9 \u00e9)",
        "(mail=*)",
        "(uid=alice)",
        " ( & ( uid = %U ) ( cn = x ) ) ",
    ],
)
def test_a_filter_filled_in_is_the_escaped_filter_as_ldap3_writes_it(text):
    found = names("Al*ce(\\2a)@ex\u00e4mple.com")
    assert filled(text, found) == expected(text, found)


@given(TEXT.filter(bool), TEXT.filter(bool), TEXT.filter(bool), TEXT.filter(bool))
def test_no_value_comes_to_mean_anything_but_itself(full, typed, user, domain):
    found = Names(full, typed, user, domain, "192.0.2.1", "198.51.100.1")
    text = "(&(|(uid=%U)(mail=%s)(mail=x%o*%V))(cn:=%s))"
    assert filled(text, found) == expected(text, found)


@pytest.mark.parametrize(
    "value",
    [
        "*",
        "(",
        ")",
        "\\",
        "\0",
        "\0U",
        "\\2a",
        "*)(uid=*",
        "*))(|(uid=*",
        "alice)(|(mailHost=*",
        "%s",
        "%U%V",
        "\u00e9",
        "a" * 65536,
        "*" * 65536,
    ],
)
def test_the_signs_of_a_filter_in_a_value_are_part_of_the_value(value):
    found = Names(value, value, value, value, "", "")
    written = filled("(uid=%U)", found)
    assert written.endswith(value.encode())
    assert written == expected("(uid=%U)", found)


def test_the_values_are_those_that_the_filter_asks_for_each_once():
    assert FilterTemplate.parse(USUAL).values(names("alice@example.com")) == ("alice", "alice@example.com")
    assert FilterTemplate.parse("(uid=%U)").values(names("alice@example.com")) == ("alice",)
    assert FilterTemplate.parse("(uid=alice)").values(names()) == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "RFC 4515"),
        ("uid=%U", "RFC 4515"),
        ("(uid=%U", "RFC 4515"),
        ("(uid=%U))", "RFC 4515"),
        ("(uid=%U)(mail=%s)", "RFC 4515"),
        ("(&(uid=%U)))((mail=%s)", "no attribute's name behind the parenthesis at character 13"),
        ("(&(uid=%U)))(|(mail=%s)(a=b)", "RFC 4515"),
        ("(&)", "RFC 4515"),
        ("(!(a=b)(c=d))", "RFC 4515"),
        ("((uid=%U))", "no attribute's name behind the parenthesis at character 1"),
        ("(=%U)", "no attribute's name"),
        ("(%U=x)", "no attribute's name"),
        ("(ui%U=x)", "no attribute's name"),
        ("(|(a=b)(%U:dn:=x))", "no attribute's name behind the parenthesis at character 8"),
        ("(uid)", "no attribute's name"),
        ("(uid=%X)", 'a "%X" that is none of %s, %o, %U, %V, %C, %S'),
        ("(uid=100%)", r'a "%\)"'),
        ("(uid=%%)", '"%%"'),
        ("(uid=%U\\)", "backslash without two hexadecimal digits at character 8"),
        ("(uid=\\2%U)", "backslash"),
        ("(uid=\\xx)", "backslash"),
        ("(uid=\\00U)", "NUL"),
        ("(uid=\0U)", "NUL"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_told(text, why):
    with pytest.raises(ValueError, match=why):
        FilterTemplate.parse(text)


@given(st.text(st.sampled_from("()&|!=~<>:*\\%sUV0a ;")))
def test_any_text_is_a_filter_or_a_mistake(text):
    try:
        template = FilterTemplate.parse(text)
    except ValueError:
        return
    assert template.encode(template.values(names())) == expected(text, names())
