from datetime import UTC, datetime
from typing import get_args

import pytest

from mmp.config.directory import StateAttribute
from mmp.directory.entry import Entry
from mmp.directory.state import ATTRIBUTES, AccountState, read_time
from mmp.errors import Refused
from mmp.model import Refusal

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
LOCKED, EXPIRED, RESET = Refusal.ACCOUNT_LOCKED, Refusal.PASSWORD_EXPIRED, Refusal.PASSWORD_MUST_CHANGE


def outcome(name, value, attributes=ATTRIBUTES, *, by_password=True):
    """Return why somebody of whom the directory says this is refused, None if that is no hindrance."""
    entry = Entry("entry", {name.lower(): (value,)})
    try:
        AccountState(attributes, lambda: NOW).check(entry, by_password=by_password)
    except Refused as refused:
        return refused.refusal
    return None


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("nsAccountLock", "true", LOCKED),
        ("nsAccountLock", "TRUE", LOCKED),
        ("nsAccountLock", "false", None),
        ("nsAccountLock", "nonsense", LOCKED),
        ("pwdAccountLockedTime", "000001010000Z", LOCKED),
        ("pwdAccountLockedTime", "20261124115900Z", None),
        ("pwdAccountLockedTime", "20261124120001Z", LOCKED),
        ("pwdAccountLockedTime", "nonsense", LOCKED),
        ("accountUnlockTime", "19700101000000Z", LOCKED),
        ("accountUnlockTime", "20261124120001Z", LOCKED),
        ("accountUnlockTime", "20261124115959Z", None),
        ("accountUnlockTime", "", LOCKED),
        ("pwdReset", "TRUE", RESET),
        ("pwdReset", "FALSE", None),
        ("passwordExpirationTime", "19700101000000Z", RESET),
        ("passwordExpirationTime", "20261124115959Z", EXPIRED),
        ("passwordExpirationTime", "20261124120000Z", EXPIRED),
        ("passwordExpirationTime", "20261124120001Z", None),
        ("passwordExpirationTime", "20380119031407Z", None),
        ("passwordExpirationTime", "20261124", RESET),
        ("description", "locked", None),
    ],
)
def test_a_directory_says_in_these_ways_what_hinders_an_account(name, value, refusal):
    assert outcome(name, value) is refusal
    assert outcome(name, value, attributes=()) is None


def test_how_old_a_password_is_hinders_only_who_uses_it():
    assert outcome("passwordExpirationTime", "19700101000000Z", by_password=False) is None
    assert outcome("pwdReset", "TRUE", by_password=False) is None
    assert outcome("nsAccountLock", "true", by_password=False) is LOCKED


def test_an_entry_that_says_nothing_of_it_is_no_hindrance():
    assert AccountState().check(Entry("entry", {}), by_password=True) == []


def test_the_attributes_that_may_be_configured_are_those_that_are_understood():
    assert set(get_args(StateAttribute)) == set(ATTRIBUTES)


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("20261124120000Z", NOW),
        ("2026112412Z", NOW),
        ("202611241200Z", NOW),
        ("20261124120000.25Z", NOW),
        ("20261124120000,25Z", NOW),
        ("20261124130000+0100", NOW),
        ("20261124083000-0330", NOW),
        ("2026112413+01", NOW),
    ],
)
def test_a_time_may_be_written_in_these_ways(value, time):
    assert read_time(value) == time


@pytest.mark.parametrize(
    "value", ["", "20261124", "20261124120000", "20261324120000Z", "2026112412000Z", "\u0661" * 14 + "Z"]
)
def test_anything_else_is_no_time(value):
    with pytest.raises(ValueError, match=r"."):
        read_time(value)
