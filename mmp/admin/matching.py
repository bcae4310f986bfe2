"""Which sessions an operator means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network

from mmp.policy.networks import unmapped
from mmp.session.record import Record

Matches = Callable[[Record, str], bool]
"""Whether a session is meant, by its record and its phase."""


def matching(wanted: Mapping[str, str]) -> Matches:
    """Return a function that tells whether a session has all of these properties; ValueError if one is no network.

    ``target`` is a user, an address, a network or a session: whatever of these it can be.
    """
    tests = [_TESTS[name](value) for name, value in wanted.items()]
    return lambda record, phase: all(test(record, phase) for test in tests)


def _is_user(name: str) -> Matches:
    name = name.casefold()
    return lambda record, _: name in (record.user.casefold(), record.typed.casefold())


def _is_from(network: str) -> Matches:
    within = unmapped(ip_network(network, strict=False))
    return lambda record, _: ip_address(record.client.address.host) in within


def _is_target(target: str) -> Matches:
    try:
        return _is_from(target)
    except ValueError:
        is_user = _is_user(target)
        return lambda record, phase: record.client.session == target or is_user(record, phase)


_TESTS: Mapping[str, Callable[[str], Matches]] = {
    "target": _is_target,
    "user": _is_user,
    "address": _is_from,
    "session": lambda session: lambda record, _: record.client.session == session,
    "service": lambda service: lambda record, _: record.client.service.value == service,
    "backend": lambda backend: lambda record, _: record.backend.casefold() == backend.casefold(),
    "phase": lambda wanted: lambda _, phase: phase == wanted,
}
