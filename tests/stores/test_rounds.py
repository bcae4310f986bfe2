"""Which logins count as rounds of one, and when there are too many."""

from contextlib import ExitStack

import pytest
from attrs import evolve

from mmp.errors import Refused
from mmp.model import Client, Endpoint, Refusal, Service
from mmp.stores.rounds import MOST, Rounds

US = Endpoint("192.0.2.1", 587)
STORE = "192.0.2.9"
CLIENT = Client("s1", Service.SUBMISSION, Endpoint("203.0.113.7", 51234), US)


def back(number):
    """Return the client of a round: the store that we have sent the one before to."""
    return evolve(CLIENT, session=f"s{number}", address=Endpoint(STORE, 40000 + number))


def introduced(number):
    """Return the client of a round as the other proxy's header tells of it."""
    return evolve(CLIENT, session=f"s{number}")


def elsewhere(number):
    """Return one of many clients of a user."""
    return evolve(CLIENT, address=Endpoint("203.0.113.7", 40000 + number))


def beside(number):
    """Return one of many clients on the host where the store is, and we are."""
    return evolve(CLIENT, address=Endpoint(STORE, 40000 + number), local=Endpoint(STORE, 587))


@pytest.mark.parametrize("round_", [back, introduced])
def test_a_login_that_comes_back_again_and_again_is_refused_in_the_end(round_):
    rounds = Rounds()
    with ExitStack() as held:
        for number in range(MOST):
            held.enter_context(rounds.one_more(round_(number), "alice", STORE))
        with pytest.raises(Refused, match="loop") as refused, rounds.one_more(round_(MOST), "alice", STORE):
            pass
        assert refused.value.refusal is Refusal.INTERNAL
        with rounds.one_more(round_(MOST), "bob", STORE):
            pass
    assert not rounds._under_way
    with rounds.one_more(round_(0), "alice", STORE):
        pass


@pytest.mark.parametrize("client", [elsewhere, beside])
def test_any_number_of_a_users_clients_may_log_in_at_a_time(client):
    rounds = Rounds()
    with ExitStack() as held:
        for number in range(10 * MOST):
            held.enter_context(rounds.one_more(client(number), "alice", STORE))
    assert not rounds._under_way
