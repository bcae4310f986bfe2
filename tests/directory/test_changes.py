import json

import pytest
from twisted.internet.task import Clock

from mmp.directory.changes import MOMENT, MOST, PIECE, REST, Changes, comparable, pack, unpack


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    return []


@pytest.fixture
def changes(clock, told):
    return Changes(clock, told.append)


def test_what_changes_at_about_the_same_time_is_told_together(changes, clock, told):
    for name in ("uid=alice,dc=a", "uid=bob,dc=a", "UID=Alice, DC=a"):
        changes.entry(name)
    assert told == []
    clock.advance(MOMENT)
    assert told == [{"uid=alice,dc=a", "uid=bob,dc=a"}]
    clock.advance(60)
    assert len(told) == 1
    assert not clock.getDelayedCalls()


def test_more_than_can_be_remembered_is_told_as_everything(changes, clock, told):
    for number in range(100 * MOST):
        changes.entry(f"uid=user{number},dc=a")
        assert len(changes._names) <= MOST
    clock.advance(MOMENT)
    assert told == [None]


def test_everything_is_not_told_more_often_than_it_can_be_looked_at(changes, clock, told):
    changes.everything()
    clock.advance(MOMENT)
    changes.everything()
    clock.advance(MOMENT)
    changes.entry("uid=alice,dc=a")
    assert told == [None]
    clock.advance(REST)
    assert told == [None, None]


def test_an_entry_is_told_in_its_time_also_when_everything_was_a_moment_ago(changes, clock, told):
    changes.everything()
    clock.advance(MOMENT)
    changes.entry("uid=alice,dc=a")
    clock.advance(MOMENT)
    assert told == [None, {"uid=alice,dc=a"}]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("uid=alice,ou=People,dc=example,dc=com", "UID=Alice, OU=people , dc = example,DC=com"),
        ("cn=a+sn=b,dc=c", "CN=A + SN=B, DC=C"),
        ("cn=Alice Adams,dc=c", "cn=alice adams,dc=C"),
    ],
)
def test_names_of_one_entry_compare_equal_however_they_are_spelled(one, other):
    assert comparable(one) == comparable(other)


def test_names_of_different_entries_do_not():
    assert comparable("cn=alice adams,dc=c") != comparable("cn=aliceadams,dc=c")


@pytest.mark.parametrize("changed", [None, set(), {"uid=alice,dc=a"}, {'uid=\u00f6\udcff\n",dc=a'}])
def test_what_is_packed_is_what_is_unpacked(changed):
    assert [unpack(message) for message in pack(changed)] == ([changed] if changed != set() else [])


def test_names_go_into_as_many_messages_as_it_takes():
    names = {f"uid=user{number},{'ou=some,' * 20}dc=a" for number in range(1000)}
    messages = list(pack(names))
    assert all(len(message) <= PIECE + 2 for message in messages)
    assert set().union(*map(unpack, messages)) == names


def test_a_name_too_long_for_a_message_is_told_as_everything():
    assert [json.loads(message) for message in pack({"uid=alice", "x" * PIECE})][-1] is None
