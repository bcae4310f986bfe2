"""Stores that were taken out of service."""

import pytest

from mmp.errors import Refused
from mmp.model import Refusal
from mmp.stores.enabled import Enabled
from mmp.stores.routing import InTurn, MailHost


def test_without_any_nothing_changes():
    assert Enabled(MailHost(), set()).order("Store1") == ("Store1",)


def test_the_only_store_of_a_user_is_refused_in_any_spelling():
    with pytest.raises(Refused) as refused:
        Enabled(MailHost(), {"store1"}).order("Store1")
    assert refused.value.refusal is Refusal.BACKEND_UNAVAILABLE
    assert refused.value.reason == "store Store1: disabled"


def test_of_several_the_others_are_used():
    hosts = Enabled(InTurn(("a", "b", "c"), 30.0, lambda: 0.0), {"b"})
    for _ in range(6):
        assert "b" not in hosts.order("")


def test_a_failure_is_passed_on():
    hosts = Enabled(InTurn(("a", "b", "c"), 30.0, lambda: 0.0), set())
    hosts.failed("a")
    assert all(hosts.order("")[0] != "a" for _ in range(6))
