"""The kinds of values that a key may hold: how each is read, written and described."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from attrs import frozen

from mmp.config.units import parse_duration, render_duration


@frozen
class Text:
    """A value written as a TOML string.

    ``parse`` turns it into the value and raises ValueError with the end of the sentence '"…" …'; ``render`` turns it
    back; ``allowed`` describes it in the reference.
    """

    allowed: str
    parse: Callable[[str], Any]
    render: Callable[[Any], str] = str


@frozen
class Between:
    """A whole number within bounds, both included."""

    least: int
    most: int

    @property
    def allowed(self) -> str:
        """What may stand there."""
        return f"a whole number from {self.least} to {self.most}"


def or_empty(kind: Text, absent: object) -> Text:
    """Let a kind also be the empty string, which stands for ``absent``."""
    return Text(
        f'{kind.allowed}, or ""',
        lambda text: kind.parse(text) if text else absent,
        lambda value: "" if value == absent else kind.render(value),
    )


def _some_time(text: str) -> float:
    if not (seconds := parse_duration(text)):
        raise ValueError('is no time at all; at least "1ms" is needed')
    return seconds


def _a_second(text: str) -> float:
    if (seconds := parse_duration(text)) < 1:
        raise ValueError('is too short; at least "1s" is needed')
    return seconds


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError('is not an IPv4 or IPv6 address, such as "0.0.0.0" or "::"') from None


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f'is not a network such as "10.0.0.0/8" or "2001:db8::/32": {_reason(error)}') from None


def _reason(error: ValueError) -> str:
    return "it has bits set behind the prefix" if "host bits" in str(error) else "it cannot be read"


def _matching(pattern: str, wrong: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def parse(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(wrong)
        return text

    return parse


_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_host_name = _matching(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*", "is not a host name")


def _ldap_url(text: str) -> str:
    wrong = 'is not of the form "ldap://HOST:PORT" or "ldaps://HOST:PORT"'
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(wrong) from None
    surplus = url.path.strip("/") or url.query or url.fragment or url.username is not None
    if url.scheme not in {"ldap", "ldaps"} or not url.hostname or port == 0 or surplus:
        raise ValueError(wrong)
    return text


def _replay_name(text: str) -> str:
    if wrong := re.sub(r"%(?:[soUV]|A\[[A-Za-z][A-Za-z0-9-]*\])", "", text).partition("%")[1:][0]:
        raise ValueError(f'has a "{wrong}" that begins none of %s, %o, %U, %V and %A[attribute]')
    if not text:
        raise ValueError("is empty: the store would be told no name")
    return text


_DURATION: Final = Text('a duration such as "500ms", "90s" or "15m"', parse_duration, render_duration)

Duration = Annotated[float, _DURATION]
"""Seconds; none is allowed."""

OptionalDuration = Annotated[float | None, or_empty(_DURATION, None)]
"""Seconds, or None for an empty string."""

Timeout = Annotated[float, Text('a duration such as "90s", of at least "1ms"', _some_time, render_duration)]
"""Seconds, more than none."""

Period = Annotated[float, Text('a duration such as "12h", of at least "1s"', _a_second, render_duration)]
"""Seconds, one or more."""

Port = Annotated[int, Between(1, 65535)]
Count = Annotated[int, Between(0, 10_000_000)]
Positive = Annotated[int, Between(1, 10_000_000)]

File = Annotated[str, Text("a file; relative to the configuration file's folder", str)]
"""A file's name; absolute once loaded; empty for none."""

HostName = Annotated[str, Text("a host name", _host_name)]
Address = Annotated[str, Text("an IPv4 or IPv6 address", _address)]
OptionalAddress = Annotated[str, or_empty(Text("an IPv4 or IPv6 address", _address), "")]
Network = Annotated[IPv4Network | IPv6Network, Text("a network in CIDR notation", _network)]
LDAPURL = Annotated[str, Text('"ldap://HOST:PORT" or "ldaps://HOST:PORT"', _ldap_url)]
ReplayName = Annotated[str, Text("text with %s, %o, %U, %V and %A[attribute]", _replay_name)]
DomainName = Annotated[str, or_empty(Text("a domain", _host_name), "")]
Attribute = Annotated[
    str, Text("an attribute's name", _matching("[A-Za-z][A-Za-z0-9-]*", "is not an attribute's name"))
]
Mechanism = Annotated[str, Text("a SASL mechanism", _matching("PLAIN", 'is not a mechanism that we have; "PLAIN" is'))]
Separators = Annotated[str, Text("one or more characters", _matching(r"[^\sA-Za-z0-9]+", "is empty or has letters"))]
