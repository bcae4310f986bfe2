"""Networks of IPv4 that are written as ones of IPv6 are what they stand for."""

from ipaddress import ip_network

import pytest

from mmp.config import spellings
from mmp.policy.access import AccessRules, Visitor
from mmp.policy.networks import unmapped


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:c000:207/128", "192.0.2.7/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("::fffe:0:0/95", "::fffe:0:0/95"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("192.0.2.0/24", "192.0.2.0/24"),
    ],
)
def test_a_mapped_network_is_one_of_ipv4(written, meant):
    assert unmapped(ip_network(written)) == ip_network(meant)
    assert spellings.network(written) == ip_network(meant)


@pytest.mark.parametrize("pattern", ["::ffff:192.0.2.0/120", "[::ffff:192.0.2.7]", "192.0.2.0/24"])
@pytest.mark.parametrize("address", ["192.0.2.7", "::ffff:192.0.2.7"])
def test_rules_speak_of_the_same_clients_however_both_are_written(pattern, address):
    visitor = Visitor.make("imap", address, implicit_tls=False, encrypted=False)
    assert not AccessRules.parse(f"-imap:{pattern}").judge(visitor).granted
