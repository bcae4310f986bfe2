import pytest

from mmp.directory.file import FileDirectory
from mmp.directory.locate import Locator
from mmp.directory.names import Naming
from mmp.errors import ConfigError
from tests.directory.outcomes import run
from tests.directory.people import CLIENT, credentials, names
from tests.fakes import never_asked

USERS = b"""
[users."alice@example.com"]
mailHost = "store1"
password = "{PLAIN}secret"
mailAlternateAddress = ["al@example.com", "a@example.com"]

[users.bob]
mailHost = "store2"

[users."Carol@Example.com"]
"""


def found(typed, **naming):
    return run(FileDirectory.parse(USERS).find(names(typed, **naming)))


def mistakes(text):
    with pytest.raises(ConfigError) as raised:
        FileDirectory.parse(text)
    return raised.value.mistakes


def test_a_user_is_found_by_the_full_name():
    (alice,) = found("alice@example.com")
    assert alice.get("mailHost") == ("store1",)
    assert alice.get("mailalternateaddress") == ("al@example.com", "a@example.com")


def test_case_does_not_matter():
    assert found("ALICE@example.COM")
    assert found("carol@example.com")


def test_the_default_domain_completes_a_bare_name():
    assert found("alice", default_domain="example.com")
    assert not found("alice")


def test_a_table_without_a_domain_is_for_the_name_typed_so():
    assert found("bob")
    assert found("bob", default_domain="example.com")
    assert not found("bob@example.com")


def test_nobody_else_is_found():
    assert not found("al@example.com")
    assert not found("mailHost")


def test_equal_keys_have_equal_answers():
    directory = FileDirectory.parse(USERS)
    assert directory.key(names("ALICE@example.com")) == directory.key(names("alice@example.com"))
    with_domain = directory.key(names("bob@example.com"))
    assert with_domain != directory.key(names("bob", default_domain="example.com"))


def test_no_password_is_shown():
    directory = FileDirectory.parse(USERS)
    assert "secret" not in repr(directory) + repr(run(directory.find(names())))


def test_a_login_gets_from_the_file_to_an_account():
    locator = Locator(FileDirectory.parse(USERS), Naming(default_domain="example.com"))
    account = run(locator.locate(CLIENT, credentials("Alice"), never_asked))
    assert (account.user, account.replay_user, account.host) == ("alice@example.com", "Alice", "store1")


def test_every_mistake_is_told_with_its_path():
    text = b"""
other = 1
[users."a@example.com"]
mailHost = 1
uid = ["a", 2]
MAILHOST = "store"
[users."A@example.com"]
[users]
b = "store"
"""
    assert mistakes(text) == (
        "other: unknown key; known here is users",
        'users."a@example.com".mailHost: must be a string or a list of strings',
        'users."a@example.com".uid: must be a string or a list of strings',
        'users."a@example.com".MAILHOST: the same attribute as another but for its case',
        'users."A@example.com": the same user as another but for its case',
        "users.b: must be a table",
    )


@pytest.mark.parametrize("text", [b"\xff", b"[users", b"users = 1", b"[[users]]"])
def test_what_is_no_table_of_users_is_told(text):
    assert len(mistakes(text)) == 1


def test_a_password_in_no_scheme_is_a_mistake_that_does_not_show_it():
    text = b'[users.a]\npassword = ["{PLAIN}one", "secret"]\n[users.b]\nPassword = "{SSHA512}secret"'
    assert mistakes(text) == (
        'users.a.password: begins with no scheme that we know, such as "$argon2id$", "{SSHA512}", "$6$" or "{PLAIN}"',
        "users.b.Password: is no ldap_salted_sha512 hash, though it begins like one",
    )


def test_the_decoy_is_a_password_of_somebody():
    assert FileDirectory.parse(USERS).decoy == "{PLAIN}secret"
    assert FileDirectory.parse(b"[users.a]").decoy == ""


def test_what_is_nested_too_deeply_is_a_mistake():
    assert mistakes(b"users = " + b"[" * 100_000) == ("is nested too deeply",)


@pytest.mark.parametrize("value", ["5", "[5]", "{ a = 1 }", "1979-05-27"])
def test_a_password_that_is_no_string_is_a_mistake(value):
    assert mistakes(f"[users.a]\npassword = {value}".encode()) == (
        "users.a.password: must be a string or a list of strings",
    )
