"""Which parts a configuration makes: those that count and slow down, or those that cost nothing."""

from ipaddress import ip_network

import pytest
from twisted.internet.task import Clock

from mmp.admission import Admission, rules
from mmp.config.limits import AddressLimit, Limits, Throttle
from mmp.config.schema import Config, Listener
from mmp.net.reverse import HostNames
from mmp.net.running import Running
from mmp.policy.admission import NoAttempt, NoThrottle, Unlimited
from mmp.shared.desk import Desk
from mmp.shared.local import Home
from tests import fakes
from tests.directory.outcomes import run
from tests.shared.desks import Deadlines, client, credentials

NOTHING = Config(limits=Limits(per_address=()), throttle=Throttle(penalty=0.0))


def admission(config):
    clock = Clock()
    desk = Desk(clock, lambda *_: None, lambda *_: None, fakes.Log(), Home(rules(config), clock.seconds))
    return Admission(config, desk, clock, fakes.Log(), HostNames(clock))


def asks(config):
    """Tell whether the home is asked about connections."""
    outcomes = []
    Running(admission(config).door(Listener()).admit(client(), lambda: False), outcomes.append).go_on()
    return not outcomes


def test_where_nothing_is_limited_nothing_is_asked():
    parts = admission(NOTHING)
    assert not asks(NOTHING)
    assert isinstance(parts.limits(), Unlimited)
    assert isinstance(parts.throttle(Listener(), Deadlines()), NoThrottle)


@pytest.mark.parametrize(
    "limits", [Limits(), Limits(per_address=(), sessions=1), Limits(per_address=(), connections_per_minute=1)]
)
def test_each_limit_on_connections_sets_somebody_at_the_door(limits):
    assert asks(Config(limits=limits))


def test_networks_that_may_have_any_number_need_nobody_at_the_door():
    unlimited = AddressLimit(network=ip_network("10.0.0.0/8"), sessions=0)
    assert not asks(Config(limits=Limits(per_address=(unlimited,))))


@pytest.mark.parametrize("limits", [Limits(per_user=1), Limits(per_backend=1)])
def test_each_limit_on_accounts_is_asked_for(limits):
    assert not isinstance(admission(Config(limits=limits)).limits(), Unlimited)


def test_logins_per_minute_are_counted_where_nobody_is_slowed_down():
    config = Config(limits=Limits(logins_per_minute=1), throttle=Throttle(penalty=0.0))
    assert not isinstance(admission(config).throttle(Listener(), Deadlines()), NoThrottle)


@pytest.mark.parametrize("address", ["192.0.2.1", "198.51.100.1", "::ffff:192.0.2.1"])
def test_exempt_networks_and_load_balancers_are_never_held_back(address):
    config = Config(throttle=Throttle(exempt=(ip_network("192.0.2.0/24"),)))
    listener = Listener(proxy_protocol_from=(ip_network("198.51.100.0/24"),))
    throttle = admission(config).throttle(listener, Deadlines())
    assert isinstance(run(throttle.hold(client(address), credentials())), NoAttempt)
    outcomes = []
    Running(throttle.hold(client("203.0.113.1"), credentials()), outcomes.append).go_on()
    assert not outcomes


def test_a_mode_or_a_name_makes_a_limit_observed():
    limits = Limits(
        observe=("per_user",),
        per_user=1,
        per_address=(AddressLimit(sessions=5, mode="observe"), AddressLimit(network=ip_network("::/0"), sessions=5)),
    )
    sessions = rules(Config(limits=limits, throttle=Throttle(mode="observe"))).sessions
    (four,), (six,) = sessions.at_the_door(bytes(4)), sessions.at_the_door(bytes(16))
    assert (four.observed, six.observed) == (True, False)
    assert sessions.of_account("alice", "store1")[0].observed


def test_by_default_each_address_has_twenty_sessions():
    sessions = rules(Config()).sessions
    assert [claim.most for octets in (bytes(4), bytes(16)) for claim in sessions.at_the_door(octets)] == [20, 20]
