"""How values that are written as strings are read; ValueError has the end of a sentence that begins with the string."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from typing import Final
from urllib.parse import urlsplit

from mmp.config.units import parse_duration
from mmp.directory import plugin
from mmp.directory.ldap.filters import FilterTemplate
from mmp.directory.replay import ReplayName
from mmp.model import Endpoint
from mmp.net import objections
from mmp.policy.access import Rule
from mmp.policy.networks import unmapped
from mmp.policy.pattern import address_of
from mmp.wire.sasl import MECHANISMS

_TLS13_SUITES: Final = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
)
"""RFC 8446, B.4."""
BUILT_IN_KINDS: Final = ("ldap", "file", "auth_http")
"""Kinds of directory."""
_LONGEST_SOCKET_PATH: Final = 107
_HIGHEST_PORT: Final = 65535


def some_time(text: str) -> float:
    """Read a duration that is not zero."""
    if not (seconds := parse_duration(text)):
        raise ValueError('is no time at all; at least "1ms" is needed')
    return seconds


def a_second(text: str) -> float:
    """Read a duration of a second or more."""
    if (seconds := parse_duration(text)) < 1:
        raise ValueError('is too short; at least "1s" is needed')
    return seconds


def address(text: str) -> str:
    """Return an address in its canonical form: one of IPv4 that is written as IPv6 is IPv4, and none has a zone."""
    if "%" in text:
        raise ValueError("has a zone, the part from % on, which is not possible here")
    try:
        return str(address_of(text))
    except ValueError:
        raise ValueError('is not an IPv4 or IPv6 address, such as "0.0.0.0" or "::"') from None


def listening(text: str) -> str:
    """Take an address, or a socket with a name."""
    scheme, _, name = text.partition(":")
    if scheme == "unix":
        return control_socket(text)
    if scheme == "systemd":
        if not re.fullmatch(r"[!-9;-~]{1,255}", name):  # FileDescriptorName= in systemd.socket(5)
            raise ValueError('is not "systemd:" and a name of ASCII without a colon, such as "systemd:imap"')
        return text
    return address(text)


def network(text: str) -> IPv4Network | IPv6Network:
    """Read a network in CIDR notation; an address alone is a network of one, and IPv4 written as IPv6 is IPv4."""
    try:
        return unmapped(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError('is not a network, such as "10.0.0.0/8" or "2001:db8::/32"' + _hint(text)) from None


def client_rule(text: str) -> str:
    """Take a rule about who may use which services, without its sign."""
    Rule.parse(f"+{text}")
    return text


def _hint(text: str) -> str:
    try:
        return f'; did you mean "{ipaddress.ip_network(text, strict=False)}"?'
    except ValueError:
        return ""


def matching(pattern: str, wrong: str) -> Callable[[str], str]:
    """Return a function that takes only what the pattern matches whole."""
    matches = re.compile(pattern).fullmatch

    def parse(text: str) -> str:
        if not matches(text):
            raise ValueError(wrong)
        return text

    return parse


_LABEL: Final = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
host_name: Final = matching(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*", "is not a host name")
attribute: Final = matching("[A-Za-z][A-Za-z0-9-]*", "is not an attribute's name")
alert: Final = matching(r"[ -~]{1,400}", "is not a line of at most 400 characters of ASCII")
header_name: Final = matching("[A-Za-z][A-Za-z0-9-]*", "is not the name of a header field")
distinguished_name: Final = matching(r"[A-Za-z0-9.-]+\s*=.*", 'is not a distinguished name, such as "o=internet"')
search_base: Final = matching(r"(?:[A-Za-z0-9.-]+\s*=.*)?", 'is not a distinguished name, such as "dc=example,dc=com"')
shared_prefix: Final = matching(r"[A-Za-z0-9._-]{1,32}", "is not 1 to 32 letters, digits, dots and dashes")
separators: Final = matching(r"[^\w\s]+", "must be one or more characters other than letters, digits and blanks")


def mechanism(text: str) -> str:
    """Take the name of a mechanism that we have."""
    if text not in MECHANISMS:
        raise ValueError(f"is no mechanism that we have, which are {', '.join(MECHANISMS)}")
    return text


def ldap_url(text: str) -> str:
    """Take the URL of a server, without anything behind its port."""
    try:
        url = urlsplit(text)
        surplus = url.path.strip("/") or url.query or url.fragment or url.username is not None
        correct = url.scheme in {"ldap", "ldaps"} and url.hostname and url.port != 0 and not surplus
    except ValueError:
        correct = False
    if not correct:
        raise ValueError('is not of the form "ldap://HOST:PORT" or "ldaps://HOST:PORT"')
    return text


def http_url(text: str) -> str:
    """Take a URL without a user or a fragment."""
    try:
        url = urlsplit(text)
        correct = url.scheme in {"http", "https"} and url.hostname and url.port != 0
        correct = correct and url.username is None and not url.fragment and text.isascii() and " " not in text
    except ValueError:
        correct = False
    if not correct:
        raise ValueError('is not of the form "http://HOST:PORT/PATH" or "https://HOST:PORT/PATH"')
    return text


def shared_url(text: str) -> str:
    """Take the URL of a shared store; a password does not belong there."""
    try:
        url = urlsplit(text)
        correct = url.scheme in {"redis", "rediss", "memcached"} and bool(url.hostname) and url.port != 0
        correct = correct and not (url.query or url.fragment) and url.password is None
        correct = correct and (url.scheme != "memcached" or (not url.path.strip("/") and url.username is None))
        correct = correct and re.fullmatch(r"/?|/[0-9]{1,5}", url.path) is not None
    except ValueError:
        correct = False
    if not correct:
        raise ValueError('is not of the form "redis://HOST:PORT/DATABASE", "rediss://…" or "memcached://HOST:PORT"')
    return text


def replay_name(text: str) -> str:
    """Take a pattern for the name that the store is told."""
    try:
        pieces = ReplayName.parse(text).pieces
    except ValueError:
        raise ValueError('has a "%" that begins none of %s, %o, %U, %V and %A[attribute]') from None
    if not pieces:
        raise ValueError("is empty: the store would be told no name")
    return text


def directory_kind(text: str) -> str:
    """Take one of our own kinds of directory, or the name of a plug-in that can be loaded."""
    if text not in BUILT_IN_KINDS:
        plugin.kind(text)
    return text


def ldap_filter(text: str) -> str:
    """Take a filter in which a login's values can be filled in."""
    try:
        FilterTemplate.parse(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    return text


def parse_endpoint(text: str) -> Endpoint:
    """Read an address and a port, with brackets around an IPv6 address; ValueError if it is something else."""
    host, colon, port = text.rpartition(":")
    literal = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    parsed = address(literal)
    if not colon or (":" in literal) != (literal != host) or not re.fullmatch("[0-9]{1,5}", port):
        raise ValueError(text)
    if not 0 < int(port) <= _HIGHEST_PORT:
        raise ValueError(text)
    return Endpoint(parsed, int(port))


def listen_address(text: str) -> str:
    """Take an address and a port."""
    try:
        return str(parse_endpoint(text))
    except ValueError:
        raise ValueError('is not an address and a port, such as "127.0.0.1:8080" or "[::1]:8080"') from None


def control_socket(text: str) -> str:
    """Take the name of a UNIX socket, whose path can have no more octets than the system allows (unix(7))."""
    if not text.startswith("unix:/"):
        raise ValueError('is not "unix:" and an absolute path, such as "unix:/run/mmp/control.sock"')
    if len(os.fsencode(text)) - len("unix:") > _LONGEST_SOCKET_PATH:
        raise ValueError(f"has a path of more than {_LONGEST_SOCKET_PATH} octets")
    return text


def ciphers(text: str) -> str:
    """Take a list in which OpenSSL finds a suite."""
    if objection := objections.to_ciphers(text):
        raise ValueError(f"cannot be used: {objection}")
    return text


def ciphersuites(text: str) -> str:
    """Take a list of suites of TLS 1.3, with colons between them."""
    if unknown := [suite for suite in text.split(":") if suite not in _TLS13_SUITES]:
        raise ValueError(f'has "{unknown[0]}", which is none of {", ".join(_TLS13_SUITES)}')
    return text
