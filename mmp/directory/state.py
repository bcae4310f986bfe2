"""Whether an account is locked, or its password out of date, by the attributes in which directories keep that.

For whoever is judged by nobody who would know: a directory that is asked by a bind applies its password policy itself.
OpenLDAP's attributes are those of draft-behera-ldap-password-policy-10, 5.3; the others are Sun's and 389 Directory's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

from attrs import Factory, field, frozen

from mmp.errors import Refused
from mmp.interfaces import Entry
from mmp.model import Refusal

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FOR_GOOD: Final = "000001010000Z"
"""A lock that only an administrator ends."""

_generalized_time = re.compile(
    r"(\d{4})(\d\d)(\d\d)(\d\d)(?:(\d\d)(?:(\d\d))?)?(?:[.,]\d+)?(?:Z|([+-])(\d\d)(\d\d)?)", re.ASCII
).fullmatch
"""RFC 4517, 3.3.13."""


def _is_true(value: str, _now: datetime) -> bool:
    return value.strip().lower() != "false"


def _is_lock(value: str, now: datetime) -> bool:
    """Tell of pwdAccountLockedTime: since when. A lock that ends by itself ends when only the directory knows."""
    return value == _FOR_GOOD or read_time(value) > now


def _lasts(value: str, now: datetime) -> bool:
    """Tell of accountUnlockTime: until when, or the epoch for a lock that has no end."""
    until = read_time(value)
    return until == _EPOCH or until > now


def _was_reset(value: str, _now: datetime) -> bool:
    return read_time(value) == _EPOCH


def _is_past(value: str, now: datetime) -> bool:
    return read_time(value) <= now


_Test = Callable[[str, datetime], bool]
_LOCKS: Final[Mapping[str, tuple[tuple[_Test, Refusal], ...]]] = MappingProxyType(
    {
        "nsAccountLock": ((_is_true, Refusal.ACCOUNT_LOCKED),),
        "pwdAccountLockedTime": ((_is_lock, Refusal.ACCOUNT_LOCKED),),
        "accountUnlockTime": ((_lasts, Refusal.ACCOUNT_LOCKED),),
    }
)
_AGES: Final[Mapping[str, tuple[tuple[_Test, Refusal], ...]]] = MappingProxyType(
    {
        "pwdReset": ((_is_true, Refusal.PASSWORD_MUST_CHANGE),),
        "passwordExpirationTime": (
            (_was_reset, Refusal.PASSWORD_MUST_CHANGE),
            (_is_past, Refusal.PASSWORD_EXPIRED),
        ),
    }
)
ATTRIBUTES: Final = (*_LOCKS, *_AGES)
"""Every attribute that is understood here."""


@frozen
class AccountState:
    """Judges entries by some of the attributes; ``now`` is the time of day, with its zone."""

    attributes: tuple[str, ...] = ATTRIBUTES
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), repr=False)
    _lower: frozenset[str] = field(
        default=Factory(lambda self: frozenset(map(str.lower, self.attributes)), takes_self=True),
        init=False,
        repr=False,
        eq=False,
    )

    def check(self, entry: Entry, *, by_password: bool) -> list[str]:
        """Return what was looked at, or raise Refused; how old the password is matters if the login is by one."""
        if entry.lacks(self._lower):  # nearly all do, and 5 µs of a login are saved
            return []
        tests = {**_LOCKS, **_AGES} if by_password else _LOCKS
        return list(self._check(entry, {name: tests[name] for name in self.attributes if name in tests}))

    def _check(self, entry: Entry, tests: Mapping[str, tuple[tuple[_Test, Refusal], ...]]) -> Iterator[str]:
        now = self.now()
        for name, outcomes in tests.items():
            for value in entry.get(name):
                for holds, refusal in outcomes:
                    if _holds(holds, value, now):
                        raise Refused(refusal, f"user's {name} is {value!r:.100}")
                yield f"{name} {value}"


def _holds(test: _Test, value: str, now: datetime) -> bool:
    """Tell whether a test holds of a value; of one that makes no sense every one does."""
    try:
        return test(value, now)
    except (ValueError, OverflowError):
        return True


def read_time(value: str) -> datetime:
    """Return the time that a value of the syntax Generalized Time says; ValueError if it does not."""
    found = _generalized_time(value)
    if found is None:
        raise ValueError(f"{value!r:.100} is no time")
    year, month, day, hour, minute, second, sign, hours, minutes = (found[place] or "0" for place in range(1, 10))
    time = datetime(int(year), int(month), int(day), int(hour), int(minute), min(int(second), 59), tzinfo=UTC)
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return time + offset if sign == "-" else time - offset
