"""What a directory's password policy says beside its answer to a bind.

By draft-behera-ldap-password-policy-10, 6, and in two controls that are older (draft-vchu-ldap-pwd-policy-00).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from attrs import frozen

from mmp.directory.ldap.ber import CONTROLS, OCTET_STRING, SEQUENCE, content, element, number
from mmp.errors import RemoteProtocolError

_POLICY: Final = "1.3.6.1.4.1.42.2.27.8.5.1"
_EXPIRED: Final = "2.16.840.1.113730.3.4.4"
_EXPIRING: Final = "2.16.840.1.113730.3.4.5"

ASK: Final = element(CONTROLS, element(SEQUENCE, element(OCTET_STRING, _POLICY.encode())))
"""Stands behind a bind, and asks for what the policy says; servers that have none pass over it."""

_WARNING: Final = 0xA0
_ERROR: Final = 0x81
_SECONDS_LEFT: Final = 0x80
_LOGINS_LEFT: Final = 0x81

PASSWORD_EXPIRED: Final = 0
ACCOUNT_LOCKED: Final = 1
CHANGE_AFTER_RESET: Final = 2
_ERRORS: Final = {
    PASSWORD_EXPIRED: "the password has expired",
    ACCOUNT_LOCKED: "the account is locked",
    CHANGE_AFTER_RESET: "the password must be changed",
}
_DAY: Final = 86400


@frozen
class Policy:
    """What the policy says of a bind; ``spoke`` is False where the server has none, or keeps it to itself.

    ``seconds_left`` are those until the password expires, ``logins_left`` those that an expired one is still good for.
    """

    spoke: bool = False
    error: int | None = None
    seconds_left: int | None = None
    logins_left: int | None = None

    def __str__(self) -> str:
        """Return it for the log, empty if there is nothing to tell."""
        return "; ".join(self._remarks())

    def _remarks(self) -> Iterator[str]:
        if self.error is not None:
            yield _ERRORS.get(self.error, f"password policy error {self.error}")
        if self.seconds_left is not None:
            yield f"the password expires in {_duration(self.seconds_left)}"
        if self.logins_left is not None:
            yield f"the password has expired, grace logins left: {self.logins_left}"


SILENT: Final = Policy()


def read_policy(controls: Mapping[str, bytes]) -> Policy:
    """Return what these controls say, by name; RemoteProtocolError if one is not what it should be."""
    if (value := controls.get(_POLICY)) is not None:
        return _policy(value)
    if _EXPIRED in controls:  # beside a bind that succeeds it means that the password was reset
        return Policy(spoke=True, error=PASSWORD_EXPIRED)
    if (value := controls.get(_EXPIRING)) is not None:
        if not value.isdigit():
            raise RemoteProtocolError("seconds that are no number")
        return Policy(spoke=True, seconds_left=int(value[:10]))
    return SILENT


def _policy(value: bytes) -> Policy:
    if not value:
        return Policy(spoke=True)
    said: dict[str, int] = {}
    position, stop = content(value, 0, len(value), SEQUENCE)
    while position < stop:
        tag = value[position]
        start, position = content(value, position, stop, tag)
        if tag == _ERROR:
            said["error"] = number(value, start, position)
        elif tag == _WARNING:
            said |= _warning(value, start, position)
    return Policy(spoke=True, **said)


def _warning(value: bytes, start: int, stop: int) -> dict[str, int]:
    names = {_SECONDS_LEFT: "seconds_left", _LOGINS_LEFT: "logins_left"}
    if start == stop or value[start] not in names:
        raise RemoteProtocolError("a warning of no known kind")
    name = names[value[start]]
    start, stop = content(value, start, stop, value[start])
    return {name: number(value, start, stop)}


def _duration(seconds: int) -> str:
    return f"{seconds} s" if seconds < _DAY else f"{seconds // _DAY} d"
