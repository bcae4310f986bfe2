"""What is forgotten of a user."""

from mmp.directory.domains import Domain
from mmp.directory.entry import Entry
from mmp.directory.flush import concerns, concerns_domain

ALICE = Entry("uid=alice,dc=example", {"mail": ("Alice@example.com",), "uid": ("alice",)})
BOB = Entry("uid=bob,dc=example", {"uid": ("bob",)})


def test_it_is_what_was_asked_for_by_that_name():
    assert concerns("al@example.com")(("al", ("AL@example.com",)), [])
    assert not concerns("al@example.com")(("al", 7), [BOB])


def test_it_is_what_has_somebody_of_that_name_in_it():
    assert concerns("alice@EXAMPLE.com")("alias", [BOB, ALICE])
    assert concerns("bob")("alias", [BOB])
    assert concerns("uid=bob,dc=example")("alias", [BOB])


def test_a_domain_is_concerned_by_the_name_it_was_asked_for_and_by_its_own():
    domain = Domain("one.example", ALICE, users=None)
    assert concerns_domain("alice@Alias.example")("alias.example", [])
    assert concerns_domain("alice@one.example")("alias.example", [domain])
    assert not concerns_domain("alice@two.example")("alias.example", [domain])
