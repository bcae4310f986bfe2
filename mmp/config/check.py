"""What ``mmp check`` tells: every mistake, and what works today but is unwise or soon over."""

from __future__ import annotations

import pwd
import stat
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from attrs import frozen

from mmp.config.certificates import doubts, read_chain
from mmp.config.files import Files
from mmp.config.load import examine
from mmp.config.schema import Listener
from mmp.config.tables import Finding
from mmp.config.usage import Named, Usage
from mmp.errors import ConfigError
from mmp.model import CLEAR, Security, TLSMode
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
    warnings = _warnings(examined.usage, examined.files, now)
    return Report(_lines(examined.mistakes), _lines(warnings), tuple(_notes(examined.usage)))


def _lines(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(str, findings)))


def _warnings(usage: Usage, files: Files, now: datetime) -> Iterator[Finding]:
    for listener, origin in usage.listeners():
        if not _ever_lets_in(listener):
            yield Finding(origin.path, "nobody can log in here, since under these rules no password is taken")
        if listener.tls is not TLSMode.NONE and listener.tls_settings.min_version < "1.2":
            yield Finding(origin("tls.min_version"), "TLS older than 1.2 is deprecated (RFC 8996)")
    for pair in usage.pairs():
        yield from _certificate(pair.certificate, files, now)
        yield from _mode(pair.private_key)
    for secret in usage.secrets():
        yield from _mode(secret)
    yield from _unused(usage)


def _ever_lets_in(listener: Listener) -> bool:
    """Whether there is a way to log in under the best security that a connection here can have."""
    rules = listener.login
    best = CLEAR if listener.tls is TLSMode.NONE else _BEST
    offered = offer(rules.mechanisms, rules.restrict_plain_passwords, rules.plaintext_min_cipher, best, starttls=False)
    return bool(offered.plaintext or offered.mechanisms)


def _certificate(named: Named, files: Files, now: datetime) -> Iterator[Finding]:
    try:
        chain = read_chain(files.contents.get(named.file, b""))
    except ValueError:
        return
    for certificate in chain:
        yield from (Finding(named.path, f"{named.file}: {doubt}") for doubt in doubts(certificate, now))


def _mode(named: Named) -> Iterator[Finding]:
    try:
        status = Path(named.file).stat()
    except OSError:
        return
    if status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
        mode = f"mode {stat.S_IMODE(status.st_mode):04o}, owner {_user(status.st_uid)}"
        yield Finding(named.path, f"{named.file} is open to every user of this machine ({mode}); 0600 would do")


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _unused(usage: Usage) -> Iterator[Finding]:
    for listener, origin in usage.listeners():
        if listener.directory.kind == "ldap" and listener.directory.ldap.ca and not listener.directory.ldap.over_tls:
            yield Finding(origin("directory.ldap.ca"), "is not used: no server is asked in TLS")
    for _, backend, path in usage.backends():
        for key in ("ca", "client_certificate"):
            if backend.tls is TLSMode.NONE and getattr(backend, key):
                yield Finding(f"{path}.{key}", 'is not used: stores are reached with tls = "none"')


def _notes(usage: Usage) -> Iterator[str]:
    if low := sorted({listener.port for listener in usage.config.listener if listener.port < _UNPRIVILEGED}):
        ports = ", ".join(map(str, low))
        yield f"Ports under 1024 ({ports}): after --uid they can be opened again only with CAP_NET_BIND_SERVICE."
