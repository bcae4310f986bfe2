"""A directory of ten thousand users in domains of both schemas, in which everybody is found in their own place."""

import random

import pytest

from mmp.model import Refusal
from tests import fakes
from tests.integration import domains
from tests.integration.domains import Asking
from tests.integration.slapd import BASE, slapd
from tests.net.turning import Turning

DOMAINS, USERS = 20, 500
NUMBERS = range(DOMAINS)
FULL = {"replay_user": "%s"}


def users(number):
    """Yield the entries of a domain's users; every name is that of somebody in each other domain, too."""
    yield domains.unit(f"d{number}")
    for each in range(USERS):
        yield domains.person(f"user{each}", f"d{number}", f"mail: u{each}@d{number}.test")


TREE = "".join(
    (
        domains.entry(domains.ROOT, "objectClass: organization", "o: internet"),
        domains.dc("test", classes=()),
        domains.dc("alias.test", classes=()),
        *(domains.dc(f"d{number}.test", domains.users_in(f"d{number}")) for number in NUMBERS),
        *(domains.alias(f"d{number}.alias.test", f"d{number}.test") for number in NUMBERS),
        *(
            domains.organisation(
                f"organisation{number}",
                f"sunPreferredDomain: d{number}.test",
                f"associatedDomain: d{number}.alias.test",
                domains.users_in(f"d{number}"),
            )
            for number in NUMBERS
        ),
    )
)


@pytest.fixture(scope="module")
def server(ports):
    entries = "".join(line for number in NUMBERS for line in users(number))
    with slapd(ports, entries + TREE) as running:
        yield running


@pytest.fixture
def asking(server):
    turning = Turning()
    yield Asking(turning, server, fakes.Log())
    turning.close()


@pytest.mark.parametrize("schema", ["1", "2"])
@pytest.mark.parametrize("cache_size", [0, 100, 10_000], ids=["no cache", "a small cache", "a cache"])
def test_every_user_is_found_in_their_own_domain_by_each_of_its_names(asking, schema, cache_size):
    sample = random.Random(7)  # noqa: S311 - any sample will do, if it is the same each time
    locator = asking.locator(schema=schema, cache_size=cache_size, login=FULL)
    wanted = [(sample.randrange(USERS), sample.choice(NUMBERS)) for _ in range(300)]
    names = [f"user{user}@d{number}{sample.choice(('', '.alias'))}.test" for user, number in wanted]
    found = [(account.host, account.replay_user) for account in asking.outcomes(locator, names)]
    assert found == [(f"d{number}.store", f"user{user}@d{number}.test") for user, number in wanted]
    strangers = [f"user{USERS}@d0.test", "user1@none.test", f"u1@d{DOMAINS}.test"]
    assert asking.outcomes(locator, strangers) == [Refusal.BAD_CREDENTIALS] * 3


def test_in_one_tree_for_all_an_address_is_exact_and_a_bare_name_is_ambiguous(asking):
    locator = asking.locator(base=BASE)
    assert asking.outcome(locator, "u499@d19.test").host == "d19.store"
    assert asking.outcome(locator, "user499") is Refusal.BAD_CREDENTIALS
