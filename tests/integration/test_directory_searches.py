"""What a directory server is asked, as it has read it: never anything else for a name made to mislead, never twice."""

import re

import pytest
from ldap3.utils.dn import parse_dn

from mmp.model import Account, Refusal
from tests import fakes
from tests.integration import domains
from tests.integration.domains import Asking, listener, uncertified
from tests.integration.slapd import slapd
from tests.net.turning import Turning

UNKNOWN = Refusal.BAD_CREDENTIALS
MISLEADING = [
    "*",
    "a*",
    "(",
    ")",
    "\\",
    "\\2a",
    "*)(uid=*",
    "*)(|(uid=*",
    "alice)(&",
    "alice))(|(uid=*",
    "a=b",
    "a,dc=one",
    "a+b",
    '"a"',
    "#a",
    "<a>;",
    "%s%U",
    "\u05d0\u05dc",
    "\uff08uid=\uff0a\uff09",
]
"""Names that mean something to somebody, none of which is anybody's."""
UNREADABLE = [
    "a\0b",
    "a\nb",
    b"\xc0\xaa".decode("utf-8", "surrogateescape"),  # an asterisk, written longer than it may be
    b"\xe0\x80\xaa".decode("utf-8", "surrogateescape"),
    "al\u202eeci",
    "\u05d0lice",
    "a" * 65536,
]


@pytest.fixture
def server(ports):
    with slapd(ports, domains.PEOPLE + domains.TREE + domains.ORGANISATIONS, level="stats") as running:
        yield running


@pytest.fixture
def asking(server):
    turning = Turning()
    yield Asking(turning, server, fakes.Log())
    turning.close()


def shape(text):
    """Return a filter without its values; ``?`` says that the server knows no value like that."""
    return re.sub(r"=[^()]*\)", "=)", text).replace("?", "")


@pytest.mark.parametrize("schema", ["flat", "1", "2"])
def test_no_users_name_changes_the_filter(asking, schema):
    locator = asking.locator(schema=schema)
    known = {"flat": "one.test", "1": "one.test", "2": "first.test"}[schema]
    asking.outcome(locator, f"nobody@{known}")
    _, usual = asking.server.searches()[-1]
    for name in MISLEADING:
        assert asking.outcome(locator, f"{name}@{known}") is UNKNOWN, name
        assert shape(asking.server.searches()[-1][1]) == shape(usual), name


def test_no_domains_name_changes_the_filter_of_organisations(asking):
    locator = asking.locator(schema="2")
    asking.outcome(locator, "alice@none.test")
    _, usual = asking.server.searches()[-1]
    for name in MISLEADING:
        assert asking.outcome(locator, f"alice@{name}") is UNKNOWN, name
        assert shape(asking.server.searches()[-1][1]) == shape(usual), name


def test_no_domains_name_leads_elsewhere_than_to_its_own_place_in_the_tree(asking):
    locator = asking.locator(schema="1")
    for name in MISLEADING:
        asked = len(asking.server.searches())
        assert asking.outcome(locator, f"alice@{name}.test") is UNKNOWN, name
        for base, _ in asking.server.searches()[asked:]:  # the server itself turns down what is no ASCII
            (kind, _, _), *rest = parse_dn(base)
            assert (kind, ",".join(f"{key}={value}" for key, value, _ in rest)) == ("dc", f"dc=test,{domains.ROOT}")


@pytest.mark.parametrize("schema", ["flat", "1", "2"])
def test_what_cannot_be_read_is_not_asked_for(asking, schema):
    locator = asking.locator(schema=schema)
    for name in UNREADABLE:
        assert asking.outcome(locator, f"{name}@one.test") is UNKNOWN
        assert asking.outcome(locator, f"alice@{name}") is UNKNOWN
    assert not asking.server.searches()


def test_listeners_whose_servers_are_reached_alike_share_a_connection(asking):
    parts = asking.parts()
    for options in ({"filter": "(uid=%U)"}, {"filter": "(mail=%s)"}, {"schema": "1"}, {"schema": "2"}):
        locator = parts.locator(listener(asking.server, **options))
        assert asking.outcome(locator, "nobody@none.test") is UNKNOWN
    assert len(asking.turning.reactor.getReaders()) <= 2  # the connection, and the reactor's own waker


@pytest.mark.parametrize(("schema", "name"), [("1", "one.test"), ("2", "first.test")])
def test_a_domain_is_asked_for_once_by_all_who_are_in_it(asking, schema, name):
    locator = asking.locator(schema=schema, cache_size=100)
    for _ in range(2):
        found = asking.outcomes(locator, [f"user{number}@{name}" for number in range(50)])
        assert found == [UNKNOWN] * 50
    assert len(asking.server.searches()) == 1 + 50


def test_that_there_is_no_such_domain_is_remembered(asking):
    locator = asking.locator(schema="1", cache_size=100)
    assert asking.outcomes(locator, ["alice@none.test", "bob@none.test"]) == [UNKNOWN] * 2
    assert asking.outcome(locator, "carol@none.test") is UNKNOWN
    assert len(asking.server.searches()) == 1


def test_a_user_of_one_domain_is_never_taken_for_one_of_another(asking):
    locator = asking.locator(schema="2", cache_size=100, filter="(uid=%U)")
    for _ in range(2):
        assert asking.outcome(locator, "alice@first.test").host == "one.store"
        assert asking.outcome(locator, "alice@fifth.test").host == "two.store"
        assert asking.outcome(locator, "alice@second.test") is UNKNOWN


def test_a_domains_own_filter_and_attributes_are_what_its_users_are_remembered_by(asking):
    locator = asking.locator(schema="1", cache_size=100, filter="(uid=%U)")
    for _ in range(2):
        assert asking.outcome(locator, "bob@one.test").host == "one.store"
        assert asking.outcome(locator, "alice@one.test").host == "one.store"
        assert asking.outcome(locator, "alice@filtered.test") is UNKNOWN
        assert asking.outcome(locator, "bob@replay.test").replay_user == "bob+twin@one.test#replay.test"


def test_who_was_there_before_logs_in_while_the_directory_is_away(asking):
    locator = asking.locator(schema="1", cache_size=100, cache_ttl=0.0)
    assert asking.outcome(locator, "alice@alias.test").host == "one.store"
    asking.server.stop()
    for _ in range(3):
        assert isinstance(asking.outcome(locator, "alice@alias.test"), Account)
        assert asking.outcome(locator, "bob@alias.test") is Refusal.DIRECTORY_UNAVAILABLE
        assert asking.outcome(locator, "alice@two.test") is Refusal.DIRECTORY_UNAVAILABLE
    asking.server.start()
    asking.turning.until(lambda: isinstance(asking.outcome(locator, "alice@two.test"), Account))


def test_who_is_flushed_is_asked_for_anew_and_so_is_the_domain(asking):
    parts = asking.parts()
    locator = parts.authenticator(listener(asking.server, schema="1", cache_size=100), uncertified)
    for _ in range(2):
        asking.outcome(locator, "alice@alias.test")
    once = len(asking.server.searches())
    assert parts.forget("alice@one.test") == 1
    asking.outcome(locator, "alice@alias.test")
    assert len(asking.server.searches()) == 2 * once
