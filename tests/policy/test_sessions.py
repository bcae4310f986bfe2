"""Which rule speaks of an address, and whom it is counted with."""

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from mmp.policy.sessions import AddressRule, AddressRules, SessionLimits, household

NETWORKS = st.one_of(
    *(
        st.tuples(st.ip_addresses(v=version), st.integers(0, bits)).map(
            lambda pair: ip_network((pair[0], pair[1]), strict=False)
        )
        for version, bits in ((4, 32), (6, 128))
    )
)
RULES = st.lists(st.builds(AddressRule, NETWORKS, st.integers(0, 50)), max_size=6)


def octets(text):
    return ip_address(text).packed


def rules(*given):
    return AddressRules(AddressRule(ip_network(network), sessions, **more) for network, sessions, more in given)


@given(RULES, st.ip_addresses() | NETWORKS.map(lambda network: network.network_address))
def test_the_most_specific_rule_speaks_and_of_equals_the_first(listed, address):
    speaking = [rule for rule in listed if address in rule.network]
    claims = AddressRules(listed).claims(address.packed)
    chosen = max(speaking, key=lambda rule: rule.network.prefixlen, default=None)
    if chosen is None or not chosen.sessions:
        assert claims == ()
    else:
        (claim,) = claims
        assert (claim.limit, claim.most) == (chosen.limit, chosen.sessions)


def test_ipv6_counts_by_prefix_and_ipv4_by_address():
    both = rules(("0.0.0.0/0", 20, {}), ("::/0", 20, {}))
    assert both.claims(octets("2001:db8::1")) == both.claims(octets("2001:db8::ffff:1"))
    assert both.claims(octets("2001:db8::1")) != both.claims(octets("2001:db8:0:1::1"))
    assert both.claims(octets("192.0.2.1")) != both.claims(octets("192.0.2.2"))


def test_a_prefix_of_the_rules_own_counts_a_whole_network_together():
    wide = rules(("0.0.0.0/0", 20, {"prefix": 24}), ("::/0", 20, {"prefix": 48}))
    assert wide.claims(octets("192.0.2.1")) == wide.claims(octets("192.0.2.2"))
    assert wide.claims(octets("2001:db8::1")) == wide.claims(octets("2001:db8:0:1::1"))


def test_addresses_under_a_rule_of_their_own_do_not_count_toward_the_wider_one():
    own = rules(("2001:db8::/32", 20, {}), ("2001:db8::7/128", 5, {}))
    (one,), (other,) = own.claims(octets("2001:db8::7")), own.claims(octets("2001:db8::8"))
    assert one.limit != other.limit


def test_a_number_of_nought_is_no_limit():
    assert rules(("0.0.0.0/0", 20, {}), ("10.0.0.0/8", 0, {})).claims(octets("10.1.2.3")) == ()
    assert SessionLimits().at_the_door(octets("192.0.2.1")) == ()
    assert SessionLimits().of_account("alice", "store1") == ()


def test_a_client_without_an_address_counts_toward_the_whole_alone():
    limits = SessionLimits(sessions=9, per_address=rules(("0.0.0.0/0", 20, {})))
    assert [claim.limit for claim in limits.at_the_door(b"")] == ["sessions"]


def test_what_is_observed_is_marked_by_name():
    limits = SessionLimits(per_user=1, per_backend=2, observed=("per_user",))
    assert [(claim.limit, claim.observed) for claim in limits.of_account("alice", "store1")] == [
        ("per_user", True),
        ("per_backend", False),
    ]


def test_a_household_is_an_ipv4_address_or_an_ipv6_network():
    assert household(octets("192.0.2.1")) == octets("192.0.2.1")
    assert household(octets("2001:db8::1")) == household(octets("2001:db8::2")) != household(octets("2001:db8:0:1::1"))
