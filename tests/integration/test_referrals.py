"""Users in a real directory of which a part is on another server."""

import pytest

from mmp.model import Refusal
from tests import fakes
from tests.integration import domains
from tests.integration.domains import Asking
from tests.integration.slapd import BASE, slapd
from tests.net.turning import Turning

UNKNOWN, UNAVAILABLE = Refusal.BAD_CREDENTIALS, Refusal.DIRECTORY_UNAVAILABLE
RIGHT = domains.PASSWORD.encode()


@pytest.fixture(scope="module")
def there(ports):
    """The server that has some of the users."""
    with slapd(ports, domains.unit("there") + domains.person("dave", "there"), level="stats") as running:
        yield running


@pytest.fixture(scope="module")
def here(ports, there):
    """The one that is asked, and refers to the other."""
    reference = domains.entry(
        f"ou=there,{BASE}",
        "objectClass: referral",
        "objectClass: extensibleObject",
        "ou: there",
        f"ref: {there.url}/ou=there,{BASE}",
    )
    with slapd(ports, domains.unit("here") + domains.person("alice", "here") + reference) as running:
        yield running


@pytest.fixture
def asking(here):
    turning = Turning()
    yield Asking(turning, here, fakes.Log())
    turning.close()


@pytest.mark.parametrize("verify", ["backend", "directory"])
def test_users_of_both_are_found_and_judged_where_they_are(asking, there, verify):
    locator = asking.locator(referrals=True, referral_urls=(there.url,), login={"verify": verify})
    for user, host in (("alice", "here.store"), ("dave", "there.store")):
        assert asking.outcome(locator, user, secret=RIGHT).host == host
        if verify == "directory":
            assert asking.outcome(locator, user, secret=b"wrong") is UNKNOWN
    assert asking.outcome(locator, "nobody", secret=RIGHT) is UNKNOWN


def test_what_is_below_the_reference_is_found_from_there(asking, there):
    locator = asking.locator(referrals=True, referral_urls=(there.url,), base=f"ou=there,{BASE}")
    assert asking.outcome(locator, "dave").host == "there.store"


def test_without_being_asked_nobody_follows(asking, there):
    before = len(there.searches())
    assert asking.outcome(asking.locator(), "dave") is UNKNOWN
    assert asking.outcome(asking.locator(base=f"ou=there,{BASE}"), "dave") is UNAVAILABLE
    assert len(there.searches()) == before


def test_a_server_that_is_not_listed_is_not_asked_and_its_users_are_not_unknown(asking, there):
    before = len(there.searches())
    assert asking.outcome(asking.locator(referrals=True), "dave") is UNAVAILABLE
    assert len(there.searches()) == before
