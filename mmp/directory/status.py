"""Whether the directory lets a user log in at all: the status of the domain and of the user."""

from __future__ import annotations

from typing import Final

from mmp.errors import Refused
from mmp.interfaces import Entry
from mmp.model import Refusal

DOMAIN_STATUS: Final = ("inetDomainStatus", "mailDomainStatus")
USER_STATUS: Final = ("inetUserStatus", "mailUserStatus")
"""Attributes, in the order in which they count."""

_FOR_ALL_SERVICES: Final = {"active": None, "inactive": Refusal.ACCOUNT_ON_HOLD, "deleted": Refusal.ACCOUNT_DISABLED}
_FOR_MAIL: Final = _FOR_ALL_SERVICES | {
    "overquota": None,
    "hold": Refusal.ACCOUNT_ON_HOLD,
    "defer": Refusal.ACCOUNT_ON_HOLD,
    "defer-submit": Refusal.ACCOUNT_ON_HOLD,
    "disabled": Refusal.ACCOUNT_DISABLED,
    "removed": Refusal.ACCOUNT_DISABLED,
}
"""What each value means for a login; None is no hindrance. Any other value is as good as inactive."""


def check_status(domain: Entry | None, user: Entry) -> None:
    """Raise Refused by the first status that does not let the user in; a missing one does."""
    if domain is not None:
        _check(domain, "domain", DOMAIN_STATUS)
    _check(user, "user", USER_STATUS)


def _check(entry: Entry, whose: str, attributes: tuple[str, str]) -> None:
    for attribute, meanings in zip(attributes, (_FOR_ALL_SERVICES, _FOR_MAIL), strict=True):
        for value in entry.get(attribute):
            refusal = meanings.get(value.strip().lower(), Refusal.ACCOUNT_ON_HOLD) if value else None
            if refusal is not None:
                raise Refused(refusal, f"{whose}'s {attribute} is {value!r:.100}")
