"""Who may use which service from where: rules like those of tcp_wrappers, read, written and judged.

A list ends in ``EXCEPT`` and another list if it leaves somebody out; ``a EXCEPT b EXCEPT c`` means ``a EXCEPT (b EXCEPT
c)``. A client's host name may be unknown, and then patterns that need it are neither met nor missed: they let nobody
in, and keep everybody out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from attrs import frozen

from mmp.policy.pattern import Pattern, address_of, parse_pattern

SERVICES: Final[Mapping[str, tuple[str, str]]] = {
    "imap": ("imap", "imaps"),
    "pop3": ("pop", "pops"),
    "submission": ("smtp", "smtps"),
    "managesieve": ("sieve", "sieves"),
}
"""What rules call each service in clear and in TLS."""

_OTHER_NAMES: Final[Mapping[str, str]] = {
    "pop3": "pop",
    "pop3s": "pops",
    "submission": "smtp",
    "submissions": "smtps",
    "managesieve": "sieve",
    "managesieves": "sieves",
}
_ELSEWHERE: Final = frozenset({"http", "https", "smime"})
"""Services that rules speak of and that are not ours."""
_KNOWN: Final = _ELSEWHERE | {name for names in SERVICES.values() for name in names}
_EVERYTHING: Final = frozenset({"ALL", "*"})
_SOMEBODY: Final = IPv4Address(0)
_DEEPEST: Final = 20
"""Lists in lists; nobody means more."""


@frozen
class Visitor:
    """Who asks for what: the service by all names that are right for it, the address, and the host name if known."""

    services: frozenset[str]
    address: IPv4Address | IPv6Address
    host: str | None = None

    @classmethod
    def make(cls, service: str, address: str, *, implicit_tls: bool, encrypted: bool) -> Visitor:
        """Describe a connection; one on which TLS was started later goes by the service's name in clear, too."""
        clear, secure = SERVICES[service]
        services = {secure} if implicit_tls else {clear, secure} if encrypted else {clear}
        return cls(frozenset(services), address_of(address))


@frozen
class Services:
    """Services by name."""

    names: tuple[str, ...]
    but: Services | None = None

    def match(self, visitor: Visitor) -> bool:
        """Tell whether one of them is asked for."""
        named = any(name == "ALL" or name in visitor.services for name in self.names)
        return named and not (self.but is not None and self.but.match(visitor))

    def __str__(self) -> str:
        return _written(self.names, self.but)


@frozen
class Clients:
    """Clients by address or host name."""

    patterns: tuple[Pattern, ...]
    but: Clients | None = None

    @property
    def by_name(self) -> bool:
        """Whether the host name of some client would decide."""
        named = any(pattern.match(_SOMEBODY, None) is None for pattern in self.patterns)
        return named or (self.but is not None and self.but.by_name)

    def match(self, visitor: Visitor) -> bool | None:
        """Tell whether the client is one of them; None if that depends on a host name that is not known."""
        among = _either(pattern.match(visitor.address, visitor.host) for pattern in self.patterns)
        left_out = self.but is not None and self.but.match(visitor)
        if among is False or left_out:
            return False
        return None if among is None or left_out is None else True

    def __str__(self) -> str:
        return _written(self.patterns, self.but)


@frozen
class Rule:
    """Lets clients use services, or keeps them from it."""

    allows: bool
    services: Services
    clients: Clients

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read ``+SERVICES:CLIENTS`` or ``-SERVICES:CLIENTS``; ValueError, worded for the operator, if it is none."""
        sign, rest = text[:1], text[1:]
        if sign not in {"+", "-"}:
            raise ValueError('does not begin with "+" or "-"')
        services, colon, clients = rest.partition(":")
        if not colon:
            raise ValueError('has no ":" between services and clients')
        return cls(sign == "+", parse_services(services), parse_clients(clients))

    @property
    def needs_name(self) -> bool:
        """Whether it speaks of some clients by their host names."""
        return self.clients.by_name

    def match(self, visitor: Visitor) -> bool | None:
        """Tell whether it speaks of this visitor; None if that depends on a host name that is not known."""
        return self.services.match(visitor) and self.clients.match(visitor)

    def __str__(self) -> str:
        return f"{'+' if self.allows else '-'}{self.services}:{self.clients}"


@frozen
class Verdict:
    """Whether somebody is let in, and by which rule or for want of which.

    ``unsure``: they might be, were the host name known.
    """

    granted: bool
    why: str
    unsure: bool = False


@frozen
class AccessRules:
    """Rules in force together: any that allows lets in, else any that denies keeps out.

    Where neither speaks of the visitor, they are let in; but not if ``closed``, there are rules that allow, and none
    that denies.
    """

    rules: tuple[Rule, ...] = ()
    closed: bool = True

    @classmethod
    def parse(cls, text: str) -> AccessRules:
        """Read rules with ``$`` between them; ValueError, worded for the operator, if one cannot be read."""
        return cls(tuple(Rule.parse(each.strip()) for each in text.split("$")))

    def judge(self, visitor: Visitor) -> Verdict:
        """Tell whether the visitor is let in."""
        allowing = [rule for rule in self.rules if rule.allows]
        denying = [rule for rule in self.rules if not rule.allows]
        unsure = False
        for rule in allowing:
            if match := rule.match(visitor):
                return Verdict(granted=True, why=str(rule))
            unsure = unsure or match is None
        for rule in denying:
            if (match := rule.match(visitor)) is not False:
                why = f"{rule}{'' if match else ' (the host name is not known)'}"
                return Verdict(granted=False, why=why, unsure=unsure or match is None)
        if self.closed and allowing and not denying:
            return Verdict(granted=False, why=f"none of {self}", unsure=unsure)
        return Verdict(granted=True, why="no rule")

    def __str__(self) -> str:
        return "$".join(map(str, self.rules))


def parse_services(text: str) -> Services:
    """Read a list of services; ValueError if one is not known."""
    *others, last = _parts(text)
    parsed = Services(tuple(map(_service, last)))
    for part in reversed(others):
        parsed = Services(tuple(map(_service, part)), parsed)
    return parsed


def parse_clients(text: str) -> Clients:
    """Read a list of clients; ValueError if one of the patterns cannot be read."""
    *others, last = _parts(text)
    parsed = Clients(tuple(map(parse_pattern, last)))
    for part in reversed(others):
        parsed = Clients(tuple(map(parse_pattern, part)), parsed)
    return parsed


def _parts(text: str) -> list[list[str]]:
    """Return the words of each list, of which each but the first follows EXCEPT."""
    parts: list[list[str]] = [[]]
    for word in text.replace(",", " ").split():
        if word.upper() == "EXCEPT":
            parts.append([])
        else:
            parts[-1].append(word)
    if not all(parts):
        raise ValueError("has an empty list of services or clients")
    if len(parts) > _DEEPEST:
        raise ValueError(f'has more than {_DEEPEST} lists with "EXCEPT" between them')
    return parts


def _service(word: str) -> str:
    if word.upper() in _EVERYTHING:
        return "ALL"
    name = _OTHER_NAMES.get(word.lower(), word.lower())
    if name not in _KNOWN:
        raise ValueError(f'has "{word}", which is no service')
    return name


def _written(words: Iterable[object], but: object) -> str:
    listed = ",".join(map(str, words))
    return listed if but is None else f"{listed} EXCEPT {but}"


def _either(values: Iterable[bool | None]) -> bool | None:
    found: bool | None = False
    for value in values:
        if value:
            return True
        found = None if value is None else found
    return found
