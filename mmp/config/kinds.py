"""The kinds of values that a key may hold: how each is read, written and described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Final

from attrs import frozen

from mmp.config import spellings
from mmp.config.units import parse_duration, render_duration


@frozen
class Text:
    """A value written as a TOML string.

    ``allowed`` describes it; ``parse`` turns the string into the value, and raises ValueError with the end of a
    sentence that begins with the string; ``render`` turns it back.
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


@frozen
class Settings:
    """A table of somebody else's, who judges what is in it."""

    allowed: str = "a table"


def _or_empty(kind: Text, absent: object = "") -> Text:
    """Let a kind also be the empty string, which stands for ``absent``."""
    return Text(
        f'{kind.allowed}, or ""',
        lambda text: kind.parse(text) if text else absent,
        lambda value: "" if value == absent else kind.render(value),
    )


_DURATION: Final = Text('a duration such as "500ms", "90s" or "15m"', parse_duration, render_duration)
_HOST_NAME: Final = Text("a host name", spellings.host_name)
_ADDRESS: Final = Text("an IPv4 or IPv6 address", spellings.address)

Duration = Annotated[float, _DURATION]
"""Seconds; none is allowed."""

OptionalDuration = Annotated[float | None, _or_empty(_DURATION, None)]
"""Seconds, or None for an empty string."""

Timeout = Annotated[float, Text('a duration such as "90s", of at least "1ms"', spellings.some_time, render_duration)]
"""Seconds, more than none."""

Period = Annotated[float, Text('a duration such as "12h", of at least "1s"', spellings.a_second, render_duration)]
"""Seconds, one or more."""

DirectoryKind = Annotated[str, Text('"ldap", "file", "auth_http" or the name of a plug-in', spellings.directory_kind)]
PluginSettings = Annotated[Mapping[str, Any], Settings()]

Port = Annotated[int, Between(1, 65535)]
Count = Annotated[int, Between(0, 10_000_000)]
Positive = Annotated[int, Between(1, 10_000_000)]

File = Annotated[str, Text("a file's name, relative to the configuration file's folder", str)]
"""A file's name; absolute once loaded; empty for none."""

HostName = Annotated[str, _HOST_NAME]
DomainName = Annotated[str, _or_empty(_HOST_NAME)]
Address = Annotated[str, _ADDRESS]
OptionalAddress = Annotated[str, _or_empty(_ADDRESS)]
Network = Annotated[IPv4Network | IPv6Network, Text("a network in CIDR notation", spellings.network)]
ClientRule = Annotated[str, Text('services and clients, such as "imap: 10.0.0.0/8"', spellings.client_rule)]
Alert = Annotated[str, _or_empty(Text("a line of ASCII", spellings.alert))]
Mechanism = Annotated[str, Text("a SASL mechanism", spellings.mechanism)]
Separators = Annotated[str, Text("one or more characters", spellings.separators)]
ReplayName = Annotated[str, Text("text with %s, %o, %U, %V and %A[attribute]", spellings.replay_name)]
HTTPURL = Annotated[str, _or_empty(Text('"http://HOST:PORT/PATH" or "https://HOST:PORT/PATH"', spellings.http_url))]
HeaderName = Annotated[str, Text("the name of a header field", spellings.header_name)]
SharedURL = Annotated[
    str,
    _or_empty(Text('"redis://HOST:PORT/DATABASE", "rediss://…" or "memcached://HOST:PORT"', spellings.shared_url)),
]
SharedPrefix = Annotated[str, Text('up to 32 letters, digits, "-", "_" and "."', spellings.shared_prefix)]
LDAPURL = Annotated[str, Text('"ldap://HOST:PORT" or "ldaps://HOST:PORT"', spellings.ldap_url)]
LDAPFilter = Annotated[str, Text("an LDAP filter", spellings.ldap_filter)]
SearchBase = Annotated[str, Text("a distinguished name", spellings.search_base)]
DistinguishedName = Annotated[str, Text("a distinguished name", spellings.distinguished_name)]
Attribute = Annotated[str, Text("an attribute's name", spellings.attribute)]
Ciphers = Annotated[str, _or_empty(Text("a cipher list of OpenSSL's", spellings.ciphers))]
Listening = Annotated[
    str, Text('an IPv4 or IPv6 address, "unix:" and an absolute path, or "systemd:" and a name', spellings.listening)
]
ListenAddress = Annotated[str, _or_empty(Text("an address and a port", spellings.listen_address))]
ControlSocket = Annotated[str, _or_empty(Text('"unix:" and an absolute path', spellings.control_socket))]
CipherSuites = Annotated[str, _or_empty(Text("suites of TLS 1.3, with colons between them", spellings.ciphersuites))]
