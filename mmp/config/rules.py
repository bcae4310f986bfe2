"""What values may not mean together, and what must be in the files that they name."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final, TypeVar

from attrs import frozen

from mmp.config.certificates import match, read_chain, read_key
from mmp.config.files import Files, read_secret, read_users
from mmp.config.schema import LDAP, TLS, BackendService, Config, KeyPair, Listener
from mmp.config.tables import Mistake
from mmp.config.units import render_duration
from mmp.model import Service, TLSMode

_SHORTEST_IDLE: Final = {Service.IMAP: 1800.0}
"""Seconds for which each protocol's standard lets a client be silent (RFC 9051, 5.4)."""

Content = TypeVar("Content")


@frozen
class Origin:
    """Where one listener's values were written: what it gives itself in its own table, the rest in the common ones."""

    path: str
    given: Mapping[str, Any]

    def __call__(self, common: str) -> str:
        """Return the path of the value whose path in the common tables is this one."""
        _, *rest = common.split(".")
        found: Any = self.given
        for key in rest:
            name = key.partition("[")[0]
            if isinstance(found, Mapping) and name not in found:
                return common
            found = found[name] if isinstance(found, Mapping) else found
        return ".".join((self.path, *rest))


@frozen
class Named:
    """A file and the path of the key that names it; ``rests`` are the keys because of which it is needed."""

    path: str
    file: str
    rests: tuple[str, ...]


def mistakes_in(config: Config, origins: Sequence[Origin], files: Files) -> Iterator[Mistake]:
    """Return every mistake that no value is by itself; afterwards ``files`` has read whatever is in use."""
    yield from _endpoints(config.listener)
    for listener, origin in zip(config.listener, origins, strict=True):
        yield from _tls(listener, origin, files)
        yield from _mechanisms(listener, origin)
        yield from _directory(listener, origin, files)
    for service in dict.fromkeys(listener.service for listener in config.listener):
        yield from _backend(config.backend.reaching(service), service, files)


def _endpoints(listeners: Sequence[Listener]) -> Iterator[Mistake]:
    for (one, first), (other, second) in combinations(enumerate(listeners, 1), 2):
        if first.port == second.port and _same_address(first.address, second.address):
            rests = tuple(f"listener[{number}].{key}" for number in (one, other) for key in ("address", "port"))
            yield Mistake(f"listener[{other}].port", f"{second.endpoint} is already taken by listener[{one}]", rests)


def _same_address(first: str, second: str) -> bool:
    """Whether the system refuses to listen at both: an unspecified address takes all of its own family."""
    one, other = ipaddress.ip_address(first), ipaddress.ip_address(second)
    return one == other or (one.version == other.version and (one.is_unspecified or other.is_unspecified))


def _tls(listener: Listener, origin: Origin, files: Files) -> Iterator[Mistake]:
    if listener.tls is TLSMode.NONE:
        return
    settings = listener.tls_settings
    more = {f"tls.sni[{number}]": pair for number, pair in enumerate(settings.sni, 1)}
    pairs: dict[str, TLS | KeyPair] = {"tls": settings, **more}
    rests = (f"{origin.path}.tls",)
    for table, pair in pairs.items():
        certificate = Named(origin(f"{table}.certificate"), pair.certificate, rests)
        private_key = Named(origin(f"{table}.private_key"), pair.private_key, rests)
        yield from _pair(certificate, private_key, files)


def _mechanisms(listener: Listener, origin: Origin) -> Iterator[Mistake]:
    mechanisms = listener.login.mechanisms
    if not mechanisms:
        yield Mistake(origin("login.mechanisms"), "is empty; at least one is needed")
    if len(set(mechanisms)) < len(mechanisms):
        yield Mistake(origin("login.mechanisms"), "names a mechanism twice")


def _directory(listener: Listener, origin: Origin, files: Files) -> Iterator[Mistake]:
    rests = (origin("directory.kind"),)
    if listener.directory.kind == "file":
        users = Named(origin("directory.file.path"), listener.directory.file.path, rests)
        yield from _content(users, read_users, files)
    else:
        yield from _ldap_servers(listener.directory.ldap, origin, rests, files)
        yield from _ldap_bind(listener.directory.ldap, origin, rests, files)


def _ldap_servers(ldap: LDAP, origin: Origin, rests: tuple[str, ...], files: Files) -> Iterator[Mistake]:
    urls, start_tls = origin("directory.ldap.urls"), origin("directory.ldap.start_tls")
    over_tls = [url for url in ldap.urls if url.startswith("ldaps:")]
    if not ldap.urls:
        yield Mistake(urls, "is empty; at least one is needed", rests)
    if not ldap.mail_host_attributes:
        yield Mistake(origin("directory.ldap.mail_host_attributes"), "is empty; at least one is needed", rests)
    if ldap.start_tls and over_tls:
        yield Mistake(start_tls, f"cannot be true with {over_tls[0]}, which is TLS from its beginning", (urls, *rests))
    if ldap.ca and (ldap.start_tls or over_tls):
        yield from _content(Named(origin("directory.ldap.ca"), ldap.ca, (urls, start_tls, *rests)), read_chain, files)


def _ldap_bind(ldap: LDAP, origin: Origin, rests: tuple[str, ...], files: Files) -> Iterator[Mistake]:
    """A name without a password would be let in as nobody in particular (RFC 4513, 5.1.2), so both or neither."""
    name, password = origin("directory.ldap.bind_dn"), origin("directory.ldap.bind_password_file")
    if bool(ldap.bind_dn) != bool(ldap.bind_password_file):
        missing, present = (name, "bind_password_file") if ldap.bind_password_file else (password, "bind_dn")
        yield Mistake(missing, f"is needed, since {present} is given", (name, password, *rests))
    if ldap.bind_password_file:
        yield from _content(Named(password, ldap.bind_password_file, rests), read_secret, files)


def _backend(settings: BackendService, service: Service, files: Files) -> Iterator[Mistake]:
    path = f"backend.{service.value}"
    if settings.idle_timeout < (shortest := _SHORTEST_IDLE[service]):
        allowed = f'at least "{render_duration(shortest)}" is needed, as the standard asks'
        yield Mistake(f"{path}.idle_timeout", f'"{render_duration(settings.idle_timeout)}" is too short; {allowed}')
    if settings.tls is TLSMode.NONE:
        return
    rests = (f"{path}.tls",)
    if settings.ca:
        yield from _content(Named(f"{path}.ca", settings.ca, rests), read_chain, files)
    if settings.client_certificate or settings.private_key:
        certificate = Named(f"{path}.client_certificate", settings.client_certificate, rests)
        yield from _pair(certificate, Named(f"{path}.private_key", settings.private_key, rests), files)


def _pair(certificate: Named, private_key: Named, files: Files) -> Iterator[Mistake]:
    chain = yield from _content(certificate, read_chain, files)
    key = yield from _content(private_key, read_key, files)
    if chain and key and not match(chain[0], key):
        text = f"{private_key.file} does not belong to the first certificate in {certificate.file}"
        yield Mistake(private_key.path, text, (certificate.path, *private_key.rests))


def _content(named: Named, read: Callable[[bytes], Content], files: Files) -> Generator[Mistake, None, Content | None]:
    """Read a file, and yield the mistake if that fails."""
    if not named.file:
        yield Mistake(named.path, "is needed", named.rests)
        return None
    try:
        return read(files.read(named.file))
    except OSError as error:
        yield Mistake(named.path, f"cannot read {named.file}: {error}", named.rests)
    except ValueError as error:
        yield Mistake(named.path, f"{named.file} {error}", named.rests)
    return None
