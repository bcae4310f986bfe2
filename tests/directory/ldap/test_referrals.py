"""Searches that go on elsewhere, and referrals that lead nowhere."""

import pytest

from mmp.directory.entry import Entry
from mmp.directory.ldap.link import Answer
from mmp.directory.ldap.referrals import MOST, Referring
from mmp.directory.ldap.requests import below, read
from mmp.directory.ldap.responses import Result
from mmp.errors import Refused
from mmp.model import Refusal
from tests.directory.ldap import oracle
from tests.directory.outcomes import refusal, run, started

WHOLE = below("dc=a", b"\x87\x02cn", ["mailHost"], 5.0)
ONE = read("dc=a", b"\x87\x02cn", ["mailHost"], 5.0)


class Server:
    """Gives one answer, and remembers what it was asked, as base and scope."""

    def __init__(self, *names, to=(), code=0, referral=(), failure=None):
        entries = [Entry(name, {}) for name in names]
        self.answer = Answer(Result(code, "", referral=referral), entries, references=[(url,) for url in to])
        self.failure = failure
        self.asked = []

    async def search(self, operation):
        ((_, _, asked),) = oracle.read(b"\x30" + bytes([len(operation) + 3]) + b"\x02\x01\x01" + operation)
        self.asked.append((str(asked["baseObject"]), int(asked["scope"])))
        if self.failure:
            raise self.failure
        return self.answer


def names(first, operation=WHOLE, **others):
    """Return what is found, and at which server."""
    answer = run(Referring(first, others).search(operation))
    return [(entry.name, entry.at) for entry in answer.entries]


def test_what_refers_to_nobody_is_answered_as_it_is():
    server = Server("cn=a", code=32)
    assert run(Referring(server, {}).search(WHOLE)) is server.answer


def test_entries_of_all_servers_are_found_two_at_most():
    b = Server("cn=b", to=["ldap://c"])
    assert names(Server("cn=a", to=["ldap://b"]), b=Server("cn=b")) == [("cn=a", ""), ("cn=b", "b")]
    assert names(Server(to=["ldap://b"]), b=b, c=Server("cn=c", "cn=d")) == [("cn=b", "b"), ("cn=c", "c")]
    assert names(Server("cn=a", "cn=b", to=["ldap://gone"])) == [("cn=a", ""), ("cn=b", "")]


@pytest.mark.parametrize(
    ("url", "operation", "asked"),
    [
        ("ldap://b", WHOLE, ("dc=a", 2)),
        ("LDAPS://B:636/", WHOLE, ("dc=a", 2)),
        ("ldap://b/dc=b,o=%22x%22", WHOLE, ('dc=b,o="x"', 2)),
        ("ldap://b/dc=b??sub", WHOLE, ("dc=b", 2)),
        ("ldap://b/dc=b??base", WHOLE, ("dc=b", 0)),
        ("ldap://b/dc=b?cn?one", WHOLE, ("dc=b", 1)),
        ("ldap://b/dc=b??sub", ONE, ("dc=b", 0)),
    ],
)
def test_a_referral_says_where_to_go_on_and_never_widens_a_search_for_one_entry(url, operation, asked):
    server = Server("cn=b")
    assert names(Server(code=10, referral=(url,)), operation, b=server) == [("cn=b", "b")]
    assert server.asked == [asked]


def test_a_port_chooses_where_several_servers_are_at_one_host():
    others = {"b": Server("cn=any"), "b:1389": Server("cn=exact")}
    assert names(Server(to=["ldap://b:1389"]), **others) == [("cn=exact", "b:1389")]
    assert names(Server(to=["ldap://b:2389"]), **others) == [("cn=any", "b")]


def test_alternatives_are_tried_until_one_answers():
    away = Refused(Refusal.DIRECTORY_UNAVAILABLE, "away")
    urls = ("http://b", "ldap://unlisted", "ldap://b", "ldap://c")
    assert names(Server(code=10, referral=urls), b=Server(failure=away), c=Server("cn=c")) == [("cn=c", "c")]


@pytest.mark.parametrize(
    "url",
    [
        "ldap://unlisted",
        "ldap://b??sub?(uid=admin)",
        "ldap://b/dc=b??sub?(uid=admin)",
        "ldap://b/dc=b??sub??!x-bind",
        "ldap://b/dc=b??whatever",
        "ldap://b:99999999/",
        "ldap:///dc=b",
        "ldapi://b",
        "http://b/",
        "",
        "\0",
    ],
)
def test_what_cannot_be_followed_is_an_outage_and_nobody_is_asked(url):
    server = Server("cn=b")
    for first in (Server("cn=a", to=[url]), Server(code=10, referral=(url,))):
        refused = refusal(started(Referring(first, {"b": server}).search(WHOLE)))
        assert refused.refusal is Refusal.DIRECTORY_UNAVAILABLE
        assert refused.reason.isprintable()
    assert server.asked == []


def test_servers_that_refer_to_each_other_are_left():
    server = Server(to=["ldap://b"])
    refused = refusal(started(Referring(server, {"b": server}).search(WHOLE)))
    assert refused.refusal is Refusal.DIRECTORY_UNAVAILABLE
    assert len(server.asked) == 2


def test_no_search_becomes_many():
    server = Server(code=32)
    many = Server(to=[f"ldap://b/dc={number}" for number in range(MOST + 1)])
    empty = Server()
    assert refusal(started(Referring(many, {"b": empty}).search(WHOLE))).refusal is Refusal.DIRECTORY_UNAVAILABLE
    assert len(empty.asked) == MOST
    assert refusal(started(Referring(many, {"b": server}).search(WHOLE))).refusal is Refusal.DIRECTORY_UNAVAILABLE
