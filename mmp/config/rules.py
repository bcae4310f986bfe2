"""What values may not mean together, and what must be in the files that they name."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import combinations
from typing import Final, TypeVar

from mmp.config.certificates import match, read_chain, read_key, read_own_chain, read_revocations
from mmp.config.clients import TLS
from mmp.config.directory import LDAP
from mmp.config.files import Files, read_password, read_secret
from mmp.config.limits import Access, Limits
from mmp.config.operators import Admin
from mmp.config.schema import Listener
from mmp.config.sharing import Shared
from mmp.config.tables import Finding
from mmp.config.units import render_duration
from mmp.config.usage import Named, Origin, Usage
from mmp.directory import plugin
from mmp.directory.certmap import CertificateMap
from mmp.directory.file import FileDirectory
from mmp.errors import ConfigError
from mmp.model import Endpoint, Service
from mmp.net import objections
from mmp.net.certificates import Chain, Staple
from mmp.policy.access import Rule
from mmp.wire.pop3.maildrop import message

_SHORTEST_IDLE: Final = {
    Service.IMAP: 1800.0,
    Service.POP3: 600.0,
    Service.SUBMISSION: 600.0,
    Service.MANAGESIEVE: 1800.0,
}
"""Seconds for which a client may be silent (RFC 9051, 5.4; 1939, 3; 5804, 1.2), or for which a message's end may be
waited for (RFC 5321, 4.5.3.2.6)."""

_CLIENT_ADDRESS: Final = dict.fromkeys(Service, "xclient") | {Service.IMAP: "id"}
"""The command of each protocol that tells a store who came; a PROXY header goes before any."""

Content = TypeVar("Content")


def mistakes_in(usage: Usage, files: Files) -> Iterator[Finding]:
    """Return every mistake that no value is by itself; afterwards ``files`` has read whatever is in use."""
    yield from _endpoints(usage.config.listener)
    for listener, origin in usage.listeners():
        yield from _mechanisms(listener, origin)
        yield from _default_domains(listener, origin)
        yield from _administrator(listener, origin)
        yield from _administrators(listener, origin)
        yield from _client_certificates(listener.tls_settings, origin)
        if listener.directory.kind == "ldap":
            yield from _ldap(listener.directory.ldap, origin)
        if listener.directory.kind == "auth_http":
            yield from _auth_http(listener, origin)
        if listener.directory.is_plugin:
            yield from _plugin(listener, origin)
    for name, pool in usage.config.pool.items():
        if not pool.hosts:
            yield Finding(f"pool.{name}.hosts", "is empty; at least one is needed")
        elif len({host.lower() for host in pool.hosts}) < len(pool.hosts):
            yield Finding(f"pool.{name}.hosts", "names a host twice")
    yield from _prefixes(usage.config.limits)
    yield from _host_names(usage.config.access)
    yield from _idle_timeouts(usage)
    yield from _client_addresses(usage)
    yield from _hosts(usage)
    yield from _administration(usage.config.admin, usage.config.listener)
    yield from _shared(usage.config.shared)
    yield from _pairs(usage, files)
    yield from _other_files(usage, files)


def _host_names(access: Access) -> Iterator[Finding]:
    for key in ("allow", "deny"):
        for number, text in enumerate(getattr(access, key), 1):
            if not access.reverse_dns and Rule.parse(f"+{text}").needs_name:
                yield Finding(
                    f"access.{key}[{number}]",
                    "has a host name, for which reverse_dns = true is needed",
                    ("access.reverse_dns",),
                )


def _endpoints(listeners: Sequence[Listener]) -> Iterator[Finding]:
    for (one, first), (other, second) in combinations(enumerate(listeners, 1), 2):
        if _same_place(first.endpoint, second.endpoint):
            rests = tuple(f"listener[{number}].{key}" for number in (one, other) for key in ("address", "port"))
            yield Finding(f"listener[{other}].port", f"{second.endpoint} is already taken by listener[{one}]", rests)


def _same_place(first: Endpoint, second: Endpoint) -> bool:
    """Whether the system refuses to listen at both: an unspecified address takes all of its own family."""
    if first.is_named or second.is_named:
        return first == second
    if first.port != second.port:
        return False
    one, other = ipaddress.ip_address(first.host), ipaddress.ip_address(second.host)
    return one == other or (one.version == other.version and (one.is_unspecified or other.is_unspecified))


def _mechanisms(listener: Listener, origin: Origin) -> Iterator[Finding]:
    mechanisms = listener.login.mechanisms
    if not mechanisms:
        yield Finding(origin("login.mechanisms"), "is empty; at least one is needed")
    if len(set(mechanisms)) < len(mechanisms):
        yield Finding(origin("login.mechanisms"), "names a mechanism twice")


def _client_certificates(tls: TLS, origin: Origin) -> Iterator[Finding]:
    given = {"client_crl": tls.client_crl, "certificate_map": tls.certificate_map}
    given["client_certificate"] = tls.client_certificate if tls.client_certificate == "require" else ""
    for key, value in given.items():
        if value and not tls.client_ca:
            yield Finding(origin("tls.client_ca"), f"is needed, since {key} is given", (origin(f"tls.{key}"),))


def _administrator(listener: Listener, origin: Origin) -> Iterator[Finding]:
    """Somebody whose password we do not hear is logged in by the administrator, who needs a name and a password."""
    login = listener.login
    silent = (*login.proofs, *(("EXTERNAL",) if listener.takes_certificates else ()))
    name, file, verify = (origin(f"login.{key}") for key in ("admin_user", "admin_password_file", "verify"))
    for key, given in ((name, login.admin_user), (file, login.admin_password_file)):
        if silent and not given:
            text = f"is needed for {silent[0]}, which leaves us no password to say to the store"
            yield Finding(key, text, (origin("login.mechanisms"), verify))
    if silent:
        return
    if login.admin_password_file and not login.admin_user:
        yield Finding(name, "is needed, since admin_password_file is given", (file,))
    if login.admin_user and not login.admin_password_file and login.verify == "directory":
        yield Finding(file, 'is needed with verify = "directory", to judge admin_user by', (name, verify))


def _administrators(listener: Listener, origin: Origin) -> Iterator[Finding]:
    """Members of the group are judged here, and then logged in as the administrator; not all directories have any."""
    login, policy, group = listener.login, origin("login.admin_policy"), origin("login.admin_group")
    if login.admin_policy == "simple":
        if login.admin_group:
            yield Finding(group, 'has no meaning without admin_policy = "group"', (policy,))
        return
    for key in ("admin_group", "admin_user", "admin_password_file"):
        if not getattr(login, key):
            yield Finding(origin(f"login.{key}"), 'is needed with admin_policy = "group"', (policy,))
    if listener.directory.kind not in {"ldap", "file"}:
        text = f'"group" is not possible with kind = "{listener.directory.kind}", which knows no groups'
        yield Finding(policy, text, (origin("directory.kind"),))


def _default_domains(listener: Listener, origin: Origin) -> Iterator[Finding]:
    table = origin("login.default_domains")
    for number, each in enumerate(listener.login.default_domains, 1):
        for key in ("address", "domain"):
            if not getattr(each, key):
                yield Finding(f"{table}[{number}].{key}", "is needed")
    addresses = [each.address for each in listener.login.default_domains]
    if len(set(addresses)) < len(addresses):
        yield Finding(table, "names an address twice")


def _auth_http(listener: Listener, origin: Origin) -> Iterator[Finding]:
    """The protocol asks by what can be said again to the store, and knows no administrator."""
    kind, mechanisms = origin("directory.kind"), origin("login.mechanisms")
    if not listener.directory.auth_http.url:
        yield Finding(origin("directory.auth_http.url"), "is needed", (kind,))
    for name in listener.login.mechanisms:
        if name.startswith("SCRAM-") or name == "CRAM-MD5":
            yield Finding(mechanisms, f'{name} shows no password that kind = "auth_http" could ask by', (kind,))
    if listener.takes_certificates:
        text = 'nobody can log in by a certificate with kind = "auth_http"; leave EXTERNAL out of mechanisms'
        yield Finding(origin("tls.client_ca"), text, (kind, mechanisms))


def _plugin(listener: Listener, origin: Origin) -> Iterator[Finding]:
    kind, table = origin("directory.kind"), origin("directory.plugin")
    for mistake in plugin.mistakes(listener.directory.kind, listener.directory.plugin):
        yield Finding(table, mistake, (kind,))
    if listener.takes_certificates:
        text = f'nobody can log in by a certificate with kind = "{listener.directory.kind}"; leave EXTERNAL out'
        yield Finding(origin("tls.client_ca"), text, (kind, origin("login.mechanisms")))


def _ldap(ldap: LDAP, origin: Origin) -> Iterator[Finding]:
    """A name without a password would be let in as nobody in particular (RFC 4513, 5.1.2), so both or neither."""
    kind = origin("directory.kind")
    for key in ("urls", "mail_host_attributes"):
        if not getattr(ldap, key):
            yield Finding(origin(f"directory.ldap.{key}"), "is empty; at least one is needed", (kind,))
    if ldap.start_tls and (
        url := next((url for url in (*ldap.urls, *ldap.referral_urls) if url.startswith("ldaps:")), "")
    ):
        text = f'cannot be true with "{url}", which is TLS from its beginning'
        yield Finding(origin("directory.ldap.start_tls"), text, (kind, origin("directory.ldap.urls")))
    if ldap.referral_urls and not ldap.referrals:
        text = "has no meaning without referrals = true"
        yield Finding(origin("directory.ldap.referral_urls"), text, (kind, origin("directory.ldap.referrals")))
    if ldap.bind == "external" and not (ldap.client_certificate and ldap.over_tls):
        text = '"external" needs client_certificate, and TLS to show it in'
        yield Finding(origin("directory.ldap.bind"), text, (kind, origin("directory.ldap.client_certificate")))
    if ldap.bind == "external" and ldap.bind_dn:
        text = 'has no meaning with bind = "external"'
        yield Finding(origin("directory.ldap.bind_dn"), text, (kind, origin("directory.ldap.bind")))
    if bool(ldap.bind_dn) != bool(ldap.bind_password_file):
        keys = ("bind_dn", "bind_password_file")
        present, missing = keys if ldap.bind_dn else reversed(keys)
        rests = (kind, *(origin(f"directory.ldap.{key}") for key in keys))
        yield Finding(origin(f"directory.ldap.{missing}"), f"is needed, since {present} is given", rests)


def _prefixes(limits: Limits) -> Iterator[Finding]:
    for number, limit in enumerate(limits.per_address, 1):
        path, longest = f"limits.per_address[{number}]", limit.network.max_prefixlen
        if limit.prefix > longest:
            text = f"{limit.prefix} is too long; addresses in {limit.network} have {longest} bits"
            yield Finding(f"{path}.prefix", text, (f"{path}.network",))
        elif limit.prefix and limit.prefix < limit.network.prefixlen:
            text = f"{limit.prefix} is shorter than that of {limit.network}, all of which would count as one"
            yield Finding(f"{path}.prefix", text, (f"{path}.network",))


def _administration(admin: Admin, listeners: Sequence[Listener]) -> Iterator[Finding]:
    """What monitoring is told is not for everybody who can reach us; and neither of its places is a listener's."""
    if admin.control in {listener.address for listener in listeners}:
        yield Finding("admin.control", f"{admin.control} is already taken by a listener")
    where = admin.http_endpoint
    if where is None:
        return
    if not ipaddress.ip_address(where.host).is_loopback and not admin.token_file:
        yield Finding("admin.token_file", f'is needed, since http is not on loopback: "{where}"', ("admin.http",))
    if any(_same_place(where, listener.endpoint) for listener in listeners):
        yield Finding("admin.http", f"{where} is already taken by a listener")


def _shared(shared: Shared) -> Iterator[Finding]:
    """What only Redis has, and what it takes."""
    if shared.scheme == "memcached" and shared.password_file:
        yield Finding("shared.password_file", "has no meaning with memcached, which asks for none", ("shared.url",))
    if shared.scheme in {"redis", "rediss"} and find_spec("txredisapi") is None:
        yield Finding("shared.url", "needs the Python package txredisapi, which is not here: pip install 'mmp[redis]'")


def _idle_timeouts(usage: Usage) -> Iterator[Finding]:
    for service, backend, path in usage.backends():
        if backend.idle_timeout < (shortest := _SHORTEST_IDLE[service]):
            needed = f'"{render_duration(shortest)}" is the least that the standard allows'
            yield Finding(f"{path}.idle_timeout", f'"{render_duration(backend.idle_timeout)}" is too short; {needed}')


def _client_addresses(usage: Usage) -> Iterator[Finding]:
    for service, backend, path in usage.backends():
        way = _CLIENT_ADDRESS[service]
        if backend.client_address in {"id", "xclient"} - {way}:
            yield Finding(f"{path}.client_address", f'{service.value} has no "{backend.client_address}", but "{way}"')


def _hosts(usage: Usage) -> Iterator[Finding]:
    for service, backend, path in usage.backends():
        if backend.hosts and service is not Service.SUBMISSION:
            yield Finding(f"{path}.hosts", "is for submission alone: elsewhere the user's mailHost is the store")
        if len(set(backend.hosts)) < len(backend.hosts):
            yield Finding(f"{path}.hosts", "names a host twice")


def _pairs(usage: Usage, files: Files) -> Iterator[Finding]:
    # Most listeners share theirs.
    chain_in, key_in, objection = cache(read_own_chain), cache(read_key), cache(_objection)
    for pair in usage.pairs():
        certificate, private_key = pair.certificate, pair.private_key
        chain = yield from _content(certificate, chain_in, files)
        key = yield from _content(private_key, key_in, files)
        if not chain or not key:
            continue
        if not match(chain[0], key):
            text = f"{private_key.file} does not belong to the first certificate in {certificate.file}"
            yield Finding(private_key.path, text, (certificate.path, *private_key.rests))
        elif text := objection(Chain(files.read(certificate.file), files.read(private_key.file)), pair.shown):
            yield Finding(certificate.path, f"{certificate.file} cannot be used: {text}", certificate.rests)


def _objection(chain: Chain, shown: TLS | None) -> str:
    if shown is None:
        return objections.to_showing(chain)
    return objections.to_serving(chain, shown.min_version, shown.ciphers)


def _other_files(usage: Usage, files: Files) -> Iterator[Finding]:
    for authority in usage.authorities():
        yield from _content(authority, read_chain, files)
    for authority in usage.client_authorities():
        yield from _content(authority, read_chain, files)
    for revoked in usage.revocations():
        yield from _content(revoked, read_revocations, files)
    for rules in usage.certificate_maps():
        yield from _content(rules, CertificateMap.parse, files)
    for staple in usage.staples():
        yield from _content(staple, Staple.parse, files)
    for password in usage.passwords():
        yield from _content(password, read_password, files)
    for secret in usage.other_secrets():
        yield from _content(secret, read_secret, files)
    for notice in usage.notices():
        yield from _content(notice, message, files)
    for users in usage.users():
        yield from _content(users, FileDirectory.parse, files)


def _content(named: Named, read: Callable[[bytes], Content], files: Files) -> Generator[Finding, None, Content | None]:
    """Read a file, and yield the mistake if that fails."""
    if not named.file:
        yield Finding(named.path, "is needed", named.rests)
        return None
    try:
        return read(files.read(named.file))
    except OSError as error:
        yield Finding(named.path, f"cannot read {named.file}: {error}", named.rests)
    except ConfigError as error:
        yield from (Finding(named.path, f"{named.file}: {mistake}", named.rests) for mistake in error.mistakes)
    except ValueError as error:
        yield Finding(named.path, f"{named.file} {error}", named.rests)
    return None
