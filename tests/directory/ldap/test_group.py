"""Membership in a group, as a directory server answers."""

import pytest
from ldap3 import BASE, DEREF_NEVER
from ldap3.operation.search import search_operation
from ldap3.utils.asn1 import encode
from twisted.internet.task import Clock

from mmp.directory.entry import Entry
from mmp.directory.ldap.directory import Replicas
from mmp.directory.ldap.group import LDAPGroup
from mmp.directory.ldap.replica import LDAPURL, Opening, Replica
from mmp.directory.ldap.requests import message
from mmp.model import Refusal
from tests.directory.ldap import oracle
from tests.directory.ldap.fakes import Connecting, Noted
from tests.directory.outcomes import finished, refusal, started

GROUP = "cn=admins,dc=example,dc=com"
BOB = Entry("uid=bob (the *),dc=example,dc=com", {})


def asked(connector):
    replica = Replica(Opening(LDAPURL.parse("ldap://ldap1"), connector, Clock(), 5.0), Noted())
    return started(LDAPGroup(GROUP, 5.0, Replicas([replica])).has(BOB))


def answered(*entries, code=0):
    connector = Connecting()
    asking = asked(connector)
    found = [oracle.entry(1, name, {}) for name in entries]
    connector.wire.answer(*found, oracle.done(1, code))
    return asking


def test_the_groups_own_entry_is_asked_for_whether_it_lists_the_member_whatever_is_in_the_name():
    connector = Connecting()
    asked(connector)
    expected = search_operation(
        GROUP,
        f"(|(member={escaped(BOB.name)})(uniqueMember={escaped(BOB.name)}))",
        BASE,
        DEREF_NEVER,
        ["1.1"],
        size_limit=2,
        time_limit=5,
        types_only=False,
        auto_escape=False,
        auto_encode=False,
    )
    assert connector.wire.unread == message(1, bytes(encode(expected)))


def escaped(value):
    return value.replace("(", r"\28").replace(")", r"\29").replace("*", r"\2a")


def test_a_group_that_is_found_so_has_the_member():
    assert finished(answered(GROUP)) is True


@pytest.mark.parametrize("code", [0, 32], ids=["not listed", "no such group"])
def test_one_that_is_not_found_has_not(code):
    assert finished(answered(code=code)) is False


@pytest.mark.parametrize("code", [1, 4, 10, 34, 50, 80])
def test_any_other_answer_is_no_answer(code):
    assert refusal(answered(code=code)).refusal is Refusal.DIRECTORY_UNAVAILABLE


def test_a_server_that_is_away_makes_nobody_a_member():
    away = asked(Connecting(failure=ConnectionRefusedError("refused")))
    assert refusal(away).refusal is Refusal.DIRECTORY_UNAVAILABLE
