"""What each option of the older product is here, or why it is nothing."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from mmp.config.units import render_duration
from mmp.policy.access import AccessRules, Visitor

Option = Callable[[str, str], Iterator[tuple[str, object]]]
"""Takes a value and the service that it is for; yields paths and values, or raises ValueError with the reason."""

DOMAIN: Final = "defaultdomain"
_SHORTEST_IDLE: Final = {"imap": 1800, "pop3": 600, "submission": 600}
_LEVELS: Final = {3: "error", 4: "warn", 5: "info", 6: "info", 7: "debug"}
_ACCESS_NAMES: Final = {"imap": "imap,imaps", "pop3": "pop,pops", "submission": "smtp,smtps"}
_TRUE, _FALSE = frozenset({"yes", "1", "true", "on"}), frozenset({"no", "0", "false", "off"})


def _text(path: str) -> Option:
    return lambda value, service: iter([(path.format(service=service), value)] if value else [])


def _words(path: str) -> Option:
    return lambda value, service: iter([(path.format(service=service), value.split())] if value else [])


def _number(path: str) -> Option:
    return lambda value, service: iter([(path.format(service=service), _whole(value))])


def _seconds(path: str) -> Option:
    return lambda value, service: iter([(path.format(service=service), render_duration(_whole(value)))])


def _choice(path: str, yes: object, no: object) -> Option:
    return lambda value, service: iter([(path.format(service=service), yes if _yes(value) else no)])


def _secret(path: str, file: str) -> Option:
    """Name the file that the secret is to be put in; the secret itself is not printed."""
    return lambda value, _: iter([(path, file)] if value else [])


def _whole(value: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", value):
        raise ValueError(f"{value!r} is not a number")
    return int(value)


def _yes(value: str) -> bool:
    if value.lower() not in _TRUE | _FALSE:
        raise ValueError(f"{value!r} is neither yes nor no")
    return value.lower() in _TRUE


def _ldap_url(value: str, _: str) -> Iterator[tuple[str, object]]:
    match = re.fullmatch(r"(ldaps?)://([^/]*)/?(.*)", value)
    if match is None:
        raise ValueError(f"{value!r} is not of the form ldap://HOST/DN")
    yield "directory.ldap.urls", [f"{match[1]}://{host}" for host in match[2].split() or ["localhost"]]
    if match[3]:
        yield "directory.ldap.domain_root", match[3]


def _filter(value: str, _: str) -> Iterator[tuple[str, object]]:
    yield "directory.ldap.filter", value if value.startswith("(") else f"({value})"


def _idle(value: str, service: str) -> Iterator[tuple[str, object]]:
    yield f"backend.{service}.idle_timeout", render_duration(max(_whole(value), _SHORTEST_IDLE.get(service, 0)))


def _tls_port(value: str, service: str) -> Iterator[tuple[str, object]]:
    if value and _whole(value):
        yield f"backend.{service}.port", int(value)
        yield f"backend.{service}.tls", "implicit"


def _proofs(value: str, _: str) -> Iterator[tuple[str, object]]:
    if _yes(value):
        yield "login.mechanisms", ["PLAIN", "LOGIN", "CRAM-MD5"]


def _level(value: str, _: str) -> Iterator[tuple[str, object]]:
    yield "log.level", _LEVELS[max(3, min(_whole(value), 7))]


def _realms(value: str, _: str) -> Iterator[tuple[str, object]]:
    limits: list[dict[str, object]] = []
    for realm in value.split(","):
        network, _colon, number = realm.strip().rpartition(":")
        limits.append({"network": _network(network), "sessions": _whole(number)})
    yield "limits.per_address", limits


def _exempt(value: str, _: str) -> Iterator[tuple[str, object]]:
    if value:
        yield "throttle.exempt", [_network(each.strip()) for each in value.split(",")]


def _network(text: str) -> str:
    address, _, mask = text.partition("|")
    try:
        return str(ipaddress.ip_network(f"{address}/{mask}" if mask else address, strict=False))
    except ValueError:
        raise ValueError(f"{text!r} is not of the form IP|MASK; if it is a file's name, write what is in it") from None


def _tcp_access(value: str, service: str) -> Iterator[tuple[str, object]]:
    """Carry over rules about who may connect; they are about a port with TLS as well as about the one without."""
    rules = AccessRules.parse(value)
    found: dict[bool, list[str]] = {True: [], False: []}
    for each in [service] if service else _ACCESS_NAMES:
        somebody = Visitor.make(each, "192.0.2.1", implicit_tls=False, encrypted=True)
        for rule in rules.rules:
            if rule.services.match(somebody):
                found[rule.allows].append(f"{_ACCESS_NAMES[each]}: {rule.clients}")
        if all(rule.allows for rule in rules.rules):
            found[False].append(f"{_ACCESS_NAMES[each]}: ALL")
    yield "access.allow", found[True]
    yield "access.deny", found[False]


def _certificate_map(value: str, _: str) -> Iterator[tuple[str, object]]:
    """Name the file beside it, too, that the CAs of clients are to be put in, which were in a database of NSS."""
    if value:
        yield "tls.certificate_map", value
        yield "tls.client_ca", "tls/client-ca.pem"


def _plaintext_bits(value: str, _: str) -> Iterator[tuple[str, object]]:
    yield "login.plaintext_min_cipher", -1 if value == "-1" else _whole(value)


def _relays(value: str, _: str) -> Iterator[tuple[str, object]]:
    relays = [relay.partition(":") for relay in value.split()]
    ports = {port or "25" for _host, _colon, port in relays}
    if not relays:
        raise ValueError("names no relay")
    if len(ports) > 1:
        raise ValueError("relays with different ports; here all have the same")
    yield "backend.submission.hosts", [host for host, _colon, _port in relays]
    yield "backend.submission.port", _whole(*ports)


def _spoof_message(value: str, _: str) -> Iterator[tuple[str, object]]:
    if value:
        yield "outage.pop3_spoof_message", value
        yield "outage.pop3_spoof", "message"


def _spoof_empty(value: str, _: str) -> Iterator[tuple[str, object]]:
    if _yes(value):
        yield "outage.pop3_spoof", "empty"


_NSS: Final = "is of NSS; certificates and keys are PEM files here: [tls]"
_VERSIONS: Final = "see [tls] min_version, which is 1.2 unless given; SSL 3 is gone"

OPTIONS: Final[Mapping[str, Option | str]] = {
    "backsideport": _number("backend.{service}.port"),
    "timeout": _idle,
    "connlimits": _realms,
    "tcpaccess": _tcp_access,
    "tcpaccessattr": _text("directory.ldap.access_attribute"),
    "clientlookup": _choice("access.reverse_dns", yes=True, no=False),
    "banner": "the greeting is fixed, but for [top] hostname",
    "capability": "capabilities are learned from the stores",
    "numthreads": _number("workers"),
    "logdir": "the log goes where twistd's --logfile says",
    "loglevel": _level,
    "ldapurl": _ldap_url,
    "usergroupdn": _text("directory.ldap.base"),
    "binddn": _text("directory.ldap.bind_dn"),
    "bindpass": _secret("directory.ldap.bind_password_file", "secrets/ldap"),
    "hosteddomains": _choice("directory.ldap.schema", "1", "flat"),
    DOMAIN: _text("login.default_domain"),
    "virtualdomaindelim": _text("login.domain_separators"),
    "canonicalvirtualdomaindelim": "%s has an @ always",
    "searchformat": _filter,
    "replayformat": _text("login.replay_user"),
    "mailhostattrs": _words("directory.ldap.mail_host_attributes"),
    "virtualdomainfile": "is read if it is in the same folder",
    "ldapcachesize": _number("directory.cache_size"),
    "ldapcachettl": _seconds("directory.cache_ttl"),
    "authcachesize": "is the same as cache_size",
    "authcachettl": "is the same as cache_ttl",
    "ldaprefreshinterval": "connections to the directory are replaced every 35 minutes",
    "authenticationserver": 'see kind = "auth_http" for a server of your own',
    "authenticationldapattributes": "a server that is asked by auth_http is told nothing out of the directory",
    "preauth": _choice("login.verify", "directory", "backend"),
    "crams": _proofs,
    "restrictplainpasswords": _choice("login.restrict_plain_passwords", yes=True, no=False),
    "plaintextmincipher": _plaintext_bits,
    "storeadmin": _text("login.admin_user"),
    "storeadminpass": _secret("login.admin_password_file", "secrets/storeadmin"),
    "adminpolicy": _text("login.admin_policy"),
    "certmapfile": _certificate_map,
    "authservice": "POP before SMTP is gone: submission has logins",
    "authservicettl": "POP before SMTP is gone: submission has logins",
    "bgmax": _number("throttle.table_size"),
    "bgpenalty": _seconds("throttle.penalty"),
    "bgmaxbadness": _seconds("throttle.max_penalty"),
    "bgdecay": _seconds("throttle.decay"),
    "bglinear": _choice("throttle.linear", yes=True, no=False),
    "bgexcluded": _exempt,
    "sslbacksideport": _tls_port,
    "sslcertnicknames": _NSS,
    "sslnicknames": _NSS,
    "sslcertprefix": _NSS,
    "sslkeyprefix": _NSS,
    "sslcertfile": _NSS,
    "sslkeyfile": _NSS,
    "sslsecmodfile": _NSS,
    "sslkeypasswdfile": _NSS,
    "sslcachedir": "sessions are resumed by tickets; see key_period",
    "sslcipherspecs": "suites have OpenSSL's names here: [tls] ciphers",
    "ssladjustciphersuites": "suites have OpenSSL's names here: [tls] ciphers",
    "tlsv12enable": _VERSIONS,
    "sslv3enable": _VERSIONS,
    "serverdownalert": _text("outage.imap_alert"),
    "spoofmessagefile": _spoof_message,
    "spoofemptymailbox": _spoof_empty,
    "spooftempfail": _choice("outage.pop3_spoof_on_hold", yes=True, no=False),
    "smtprelays": _relays,
    "smtpproxypassword": "relays are told who came by XCLIENT, from an address that they trust: client_address",
    "failovertimeout": _seconds("backend.submission.connect_timeout"),
    "ehlokeywords": "keywords are learned from the relays",
    "popbeforesmtpkludgechannel": "POP before SMTP is gone: submission has logins",
}
