import pytest

from mmp.directory.entry import AccountRules, Entry, canonical_name, is_host
from mmp.directory.replay import ReplayName
from mmp.errors import Refused
from mmp.model import Account, Refusal
from tests.directory.people import ALICE, names


def entry(**attributes):
    return Entry("cn=somebody", {name.lower(): values for name, values in attributes.items()})


def refused(rules, found, typed="alice@example.com"):
    with pytest.raises(Refused) as raised:
        rules.account(names(typed), found)
    return raised.value


def test_an_entry_becomes_an_account():
    assert AccountRules().account(names(), ALICE) == Account("alice@example.com", "alice", "store1.example.com")


def test_attributes_are_read_whatever_their_case():
    assert ALICE.get("mailHost") == ALICE.get("MAILHOST") == ("store1.example.com",)
    assert ALICE.get("mailUserStatus") == ()


def test_an_entry_does_not_show_its_values():
    assert "store1" not in repr(ALICE)


def test_the_first_attribute_that_has_a_value_names_the_store():
    rules = AccountRules(mail_host_attributes=("preferredMailHost", "mailHost"))
    assert rules.account(names(), entry(mailHost=("second",))).host == "second"
    both = entry(mailHost=("second",), preferredMailHost=("first",))
    assert rules.account(names(), both).host == "first"


def test_an_entry_without_a_store_is_no_fault_of_the_user():
    refusal = refused(AccountRules(), entry(uid=("alice",)))
    assert (refusal.refusal, refusal.reason) == (Refusal.BACKEND_UNAVAILABLE, "no mailHost")


def test_all_attributes_that_may_name_the_store_are_told_if_none_does():
    assert refused(AccountRules(("a", "b")), entry()).reason == "no a or b"


@pytest.mark.parametrize(
    "value",
    [
        "store1",
        "store1.example.com",
        "STORE-1.EXAMPLE.COM",
        "3com.example",
        "mail_store",
        "xn--bcher-kva.example",
        "192.0.2.1",
        "2001:db8::1",
        "::1",
        "a" * 63 + ".example",
    ],
)
def test_host_names_and_address_literals_are_hosts(value):
    assert is_host(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "store1 ",
        "store1\n",
        "store1\r\nXCLIENT",
        "store1\0",
        "sto\x01re",
        "store1:143",
        "[::1]",
        "fe80::1%eth0",
        "-store",
        "store-.example",
        "store..example",
        ".store",
        "store.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "1.2.3.4.5",
        "store1,store2",
        "st\u00f6re",
        "unix:/run/x",
        "user@store",
        "store/../x",
        "a" * 64,
        ".".join(["a" * 63] * 4),
        "\udcff",
    ],
)
def test_anything_else_is_no_host(value):
    assert not is_host(value)
    refusal = refused(AccountRules(), entry(mailHost=(value,)))
    assert refusal.refusal is Refusal.BACKEND_UNAVAILABLE
    assert refusal.reason.isprintable()


def test_a_very_long_mail_host_does_not_fill_the_log():
    assert len(refused(AccountRules(), entry(mailHost=("x " * 100_000,))).reason) < 400


def test_the_directory_names_the_user_so_that_limits_hold_for_every_alias():
    for typed in ("alice", "alice@somewhere.else", "al@example.com", " ALICE ", "\uff41lice"):
        assert canonical_name(names(typed), ALICE) == "alice@example.com"


def test_the_canonical_name_is_in_lower_case():
    assert canonical_name(names(), entry(mail=("Alice@Example.COM",))) == "alice@example.com"


def test_without_an_address_the_uid_names_the_user_and_then_the_entry():
    assert canonical_name(names(), entry(uid=("Alice",))) == "alice"
    assert canonical_name(names(), entry()) == "cn=somebody"


def test_a_name_that_cannot_be_printed_is_passed_over():
    assert canonical_name(names(), entry(mail=("a\r\nb",), uid=("alice",))) == "alice"
    assert canonical_name(names("Bob@example.com"), Entry("cn=a\nb", {})) == "bob@example.com"
    assert canonical_name(names("Bob@example.com"), Entry("", {"mail": ("",)})) == "bob@example.com"


@pytest.mark.parametrize(
    ("pattern", "replayed"),
    [
        ("%U", "alice"),
        ("%s", "alice@example.com"),
        ("%o", "alice+example.com"),
        ("%V", "example.com"),
        ("%U@%V", "alice@example.com"),
        ("%A[uid]", "a1"),
        ("%A[UID]@store", "a1@store"),
        ("u-%A[uid]-%U", "u-a1-alice"),
        ("%[uid]+%U", "a1+alice"),
        ("admin", "admin"),
    ],
)
def test_the_store_is_told_the_name_that_the_pattern_makes(pattern, replayed):
    replay = ReplayName.parse(pattern)
    typed = names("alice+example.com", separators="+")
    assert replay.render(typed, entry(uid=("a1", "second"))) == replayed


def test_an_attribute_for_the_name_that_is_missing_is_no_fault_of_the_user():
    rules = AccountRules(replay_user=ReplayName.parse("%A[employeeNumber]"))
    refusal = refused(rules, ALICE)
    assert refusal.refusal is Refusal.BACKEND_UNAVAILABLE
    assert "employeeNumber" in refusal.reason


def test_a_name_for_the_store_with_control_characters_is_refused():
    rules = AccountRules(replay_user=ReplayName.parse("%A[uid]"))
    found = entry(uid=("a\r\nA1 LOGOUT",), mailHost=("store1",))
    assert refused(rules, found).refusal is Refusal.BACKEND_UNAVAILABLE


@pytest.mark.parametrize("pattern", ["%", "%x", "100%", "%A", "%A[", "%A[]", "%A[a b]", "%C", "%%", "%A[1]"])
def test_a_pattern_with_an_unknown_escape_is_told(pattern):
    with pytest.raises(ValueError, match=r"none of %s, %o, %U, %V"):
        ReplayName.parse(pattern)


def test_every_attribute_that_is_read_is_asked_for_once():
    rules = AccountRules(("mailHost", "uid"), ReplayName.parse("%A[employeeNumber]%A[uid]"))
    assert rules.attributes == ("mailHost", "uid", "employeeNumber", "mail")


POOLED = AccountRules(pools={"mail": ("store1", "store2", "store3")})


def test_a_user_of_a_pool_has_always_the_same_host_of_it_by_whatever_name_they_log_in():
    found = entry(mail=("alice@example.com",), mailHost=("pool:mail",))
    hosts = {POOLED.account(names(typed), found).host for typed in ("alice", "ALICE@example.com", "al@example.com")}
    assert len(hosts) == 1


def test_users_are_spread_over_the_hosts_of_a_pool():
    hosts = {POOLED.account(names(), entry(mail=(f"{n}@x",), mailHost=("pool:mail",))).host for n in range(50)}
    assert hosts == {"store1", "store2", "store3"}


@pytest.mark.parametrize("value", ["pool:other", "pool:", "pool:mail\n", "POOL:mail"])
def test_a_pool_that_is_not_there_is_told(value):
    assert refused(POOLED, entry(mailHost=(value,))).refusal is Refusal.BACKEND_UNAVAILABLE
