from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.policy.rendezvous import host_of

USERS = [f"user{number}@example.com" for number in range(2000)]
HOSTS = ["store1", "store2", "store3"]


ORDERS = st.lists(st.text(min_size=1), min_size=1, unique_by=str.lower).flatmap(
    lambda hosts: st.tuples(st.just(hosts), st.permutations(hosts))
)


@given(st.text(), ORDERS)
def test_a_user_has_the_same_host_in_whatever_order_they_are(user, orders):
    given_first, given_later = orders
    assert host_of(user, given_first) == host_of(user, given_later)


def test_a_users_host_is_the_same_in_every_version():
    assert [host_of(user, HOSTS) for user in USERS[:6]] == ["store1", "store1", "store3", "store2", "store2", "store1"]


def test_hosts_have_equal_shares():
    shares = Counter(host_of(user, HOSTS) for user in USERS)
    assert all(len(USERS) / 3 * 0.9 < share < len(USERS) / 3 * 1.1 for share in shares.values())


@pytest.mark.parametrize("gone", HOSTS)
def test_when_a_host_goes_only_its_users_move_and_when_it_comes_only_to_it(gone):
    rest = [host for host in HOSTS if host != gone]
    for user in USERS:
        before, after = host_of(user, HOSTS), host_of(user, rest)
        assert before in (gone, after)


def test_the_case_of_a_host_moves_nobody():
    assert [host_of(user, ["STORE1", "Store2"]).lower() for user in USERS] == [
        host_of(user, ["store1", "store2"]) for user in USERS
    ]
