"""What ``mmp check`` and the log tell: every mistake, and what works today but is unwise or soon over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import chain
from typing import Final

from attrs import evolve, frozen
from cryptography.x509 import Certificate

from mmp.config.certificates import doubts, read_chain, read_revocations
from mmp.config.clients import TLS
from mmp.config.files import Files
from mmp.config.load import Examined, Loaded, accept, examine
from mmp.config.modes import excesses
from mmp.config.schema import Listener
from mmp.config.tables import Finding
from mmp.config.usage import Named, Origin, Usage
from mmp.errors import ConfigError
from mmp.model import CLEAR, Security, TLSMode
from mmp.net import objections
from mmp.net.certificates import Staple
from mmp.policy.security import offer

_UNPRIVILEGED: Final = 1024
"""The first port that anybody may open."""

_BEST: Final = Security("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256)


@frozen
class Report:
    """What was found, each line beginning with its path. With a mistake the proxy refuses the file."""

    mistakes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check(path: str, now: datetime) -> Report:
    """Read a configuration and every file that it uses; ``now`` knows its time zone."""
    try:
        examined = examine(path)
    except ConfigError as error:
        return Report(mistakes=error.mistakes)
    return Report(_lines(examined.mistakes), _warnings(examined, now), tuple(_notes(examined.usage)))


def load_with_warnings(path: str, now: datetime) -> tuple[Loaded, tuple[str, ...]]:
    """Return the configuration and what is unwise about it, or raise ConfigError with every mistake in it."""
    examined = examine(path)
    return accept(examined), _warnings(examined, now)


def _lines(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(str, findings)))


def _warnings(examined: Examined, now: datetime) -> tuple[str, ...]:
    usage, files = examined.usage, examined.files
    timed = (_certificates, _staples, _revocations)
    found = chain(_listeners(usage), *(each(usage, files, now) for each in timed))
    return _lines(chain(found, excesses(examined.path, usage), _unused(usage), _access(usage), _shared(usage)))


def _shared(usage: Usage) -> Iterator[Finding]:
    if usage.config.shared.scheme == "memcached":
        yield Finding(
            "shared.url", "memcached carries no bans and no kicks to other hosts, as Redis does: each host has its own"
        )


def _access(usage: Usage) -> Iterator[Finding]:
    access = usage.config.access
    if access.allow and not access.deny:
        yield Finding("access.allow", "keeps nobody out, since whoever no rule of deny speaks of may connect")


def _listeners(usage: Usage) -> Iterator[Finding]:
    for listener, origin in usage.listeners():
        if not _ever_lets_in(listener):
            yield Finding(origin.path, "nobody can log in here, since under these rules no password is taken")
        for number, network in enumerate(listener.proxy_protocol_from, 1):
            if not network.prefixlen:
                path = f"{origin.path}.proxy_protocol_from[{number}]"
                yield Finding(path, f'"{network}" is everybody, and so anybody may say any address here')
        if listener.tls is not TLSMode.NONE:
            yield from _old(listener.tls_settings, origin)


def _old(tls: TLS, origin: Origin) -> Iterator[Finding]:
    if tls.min_version < "1.2":
        price = "OpenSSL then takes short keys and weak digests from every client here"
        yield Finding(origin("tls.min_version"), f"TLS older than 1.2 is deprecated (RFC 8996); {price}")
    for name in re.findall(r"(?<![^:, ])[A-Za-z0-9][^:, ]*", tls.ciphers):
        if objections.to_ciphers(f"{name}:@SECLEVEL=0"):
            yield Finding(origin("tls.ciphers"), f'"{name}" is nothing that OpenSSL has here, or has any more')


def _certificates(usage: Usage, files: Files, now: datetime) -> Iterator[Finding]:
    watched = [(pair.certificate, (pair.shown or TLS()).expiry_warning) for pair in usage.pairs()]
    watched += [(authority, TLS().expiry_warning) for authority in usage.client_authorities()]
    for named, warning in watched:
        for certificate in _chain(named, files):
            found = doubts(certificate, now, timedelta(seconds=warning))
            yield from (Finding(named.path, f"{named.file}: {doubt}") for doubt in found)


def _staples(usage: Usage, files: Files, now: datetime) -> Iterator[Finding]:
    """Yield what keeps a response from being sent, as far as it can be read at all."""
    for listener, origin in usage.listeners():
        settings, path = listener.tls_settings, origin("tls.ocsp_staple")
        with suppress(ValueError):
            staple = Staple.parse(files.contents.get(settings.ocsp_staple, b""))
            leaf = read_chain(files.contents.get(settings.certificate, b""))[0]
            if leaf.serial_number != staple.serial_number:
                yield Finding(path, f"{settings.ocsp_staple} is not about the certificate in {settings.certificate}")
            if staple.until is not None and staple.until < now:
                yield Finding(path, f"{settings.ocsp_staple} was good until {staple.until:%Y-%m-%d %H:%M} UTC")


def _ever_lets_in(listener: Listener) -> bool:
    """Whether there is a way to log in under the best security that a connection here can have."""
    rules = listener.login
    certificate = b"any" if listener.takes_certificates else b""
    best = CLEAR if listener.tls is TLSMode.NONE else evolve(_BEST, certificate=certificate)
    offered = offer(rules.mechanisms, rules.restrict_plain_passwords, rules.plaintext_min_cipher, best, starttls=False)
    return bool(offered.plaintext or offered.mechanisms)


def _revocations(usage: Usage, files: Files, now: datetime) -> Iterator[Finding]:
    """Yield whose certificates are all refused since there is no list that says otherwise."""
    for listener, origin in usage.listeners():
        tls, path = listener.tls_settings, origin("tls.client_crl")
        if tls.client_crl and listener.tls is not TLSMode.NONE:
            with suppress(ValueError):
                lists = read_revocations(files.contents.get(tls.client_crl, b""))
                current = {each.issuer for each in lists if (each.next_update_utc or now) >= now}
                for authority in read_chain(files.contents.get(tls.client_ca, b"")):
                    if authority.subject not in current:
                        name = authority.subject.rfc4514_string()
                        yield Finding(path, f"{tls.client_crl} has no list of {name} that is not out of date")


def _chain(named: Named, files: Files) -> list[Certificate]:
    try:
        return read_chain(files.contents.get(named.file, b""))
    except ValueError:
        return []


def _unused(usage: Usage) -> Iterator[Finding]:
    for listener, origin in usage.listeners():
        if listener.directory.kind == "ldap" and listener.directory.ldap.ca and not listener.directory.ldap.over_tls:
            yield Finding(origin("directory.ldap.ca"), "is not used: no server is asked in TLS")
    shared = usage.config.shared
    if shared.url and shared.scheme != "rediss" and shared.ca:
        yield Finding("shared.ca", "is not used: the store is not reached in TLS, which rediss:// is")
    for _, backend, path in usage.backends():
        for key in ("ca", "client_certificate"):
            if backend.tls is TLSMode.NONE and getattr(backend, key):
                yield Finding(f"{path}.{key}", 'is not used: stores are reached with tls = "none"')


def _notes(usage: Usage) -> Iterator[str]:
    if low := sorted({port for each in usage.config.listener if 0 < (port := each.endpoint.port) < _UNPRIVILEGED}):
        ports = ", ".join(map(str, low))
        yield f"Ports under 1024 ({ports}): after --uid they can be opened again only with CAP_NET_BIND_SERVICE."
