"""Puts together who finds users and judges them, from the configuration: the directory's part of a worker."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from twisted.internet.task import deferLater

from mmp.config.clients import TLS, Login
from mmp.config.directory import LDAP, Directory
from mmp.config.directory import AuthHTTP as HTTPSettings
from mmp.config.files import read_secret
from mmp.config.policy import Policy
from mmp.config.schema import Listener
from mmp.config.stores import Pool
from mmp.directory import plugin
from mmp.directory.access import AccessByEntry
from mmp.directory.auth_http import AuthHTTP
from mmp.directory.availability import Availability, Pace
from mmp.directory.cache import Cached, Lifetimes
from mmp.directory.certificates import LOGIN_NAMES, USER_CERTIFICATE, ByCertificate, Matcher
from mmp.directory.certmap import CertificateMap
from mmp.directory.changes import Changed, Changes
from mmp.directory.domains import Domain, Domains, UsersOfDomains
from mmp.directory.entry import AccountRules, Entry
from mmp.directory.file import PASSWORD, FileDirectory
from mmp.directory.flush import concerns, concerns_changed, concerns_changed_domain, concerns_domain
from mmp.directory.group import Group, StatedGroup
from mmp.directory.http_client import HTTPClient, server_of
from mmp.directory.interface import Directory as Finder
from mmp.directory.ldap.certificates import LDAPMatcher
from mmp.directory.ldap.directory import LDAPDirectory, Replicas, Searches
from mmp.directory.ldap.domains import DomainTree, Organisations, Reading
from mmp.directory.ldap.filters import FilterTemplate
from mmp.directory.ldap.group import LDAPGroup
from mmp.directory.ldap.referrals import Referring
from mmp.directory.ldap.replica import LDAPURL, Opening, Replica
from mmp.directory.ldap.requests import External, Search, Simple
from mmp.directory.ldap.verify import USER_PASSWORD, BindingReplica, BindJudge
from mmp.directory.ldap.watch import Watch
from mmp.directory.locate import Locator
from mmp.directory.names import Naming
from mmp.directory.offload import Offload
from mmp.directory.plugin import PluginDirectory
from mmp.directory.policy_http import HTTPPolicy
from mmp.directory.replay import ReplayName
from mmp.directory.state import AccountState
from mmp.directory.status import USER_STATUS
from mmp.directory.veiled import Veiled
from mmp.directory.verify import Authority, Judge
from mmp.directory.verify_cache import Remembered
from mmp.directory.verify_secret import SecretJudge
from mmp.interfaces import Authenticator, Deadlines, Log
from mmp.model import Administrator, Client, Security, Standing, TLSMode
from mmp.net.certificates import Chain
from mmp.net.connect import Connector, TLSConnector
from mmp.net.loop import Loop
from mmp.net.reactor import LeanReactor
from mmp.net.resolve import Resolver
from mmp.net.tls import ClientTLS
from mmp.observe.measured import MeasuredAuthenticator, MeasuredDirectory, MeasuredRequests
from mmp.observe.metrics import Counts

Found = TypeVar("Found")


class Authenticators:
    """Makes one for each listener; what they can share they share."""

    def __init__(
        self,
        files: Mapping[str, bytes],
        pools: Mapping[str, Pool],
        reactor: LeanReactor,
        loop: Loop,
        resolver: Resolver,
        *,
        log: Log,
        counts: Counts,
    ) -> None:
        self._files = files
        self._reactor = reactor
        self._loop = loop
        self._resolver = resolver
        self._log = log
        self._counts = counts
        self._pools = {name: pool.hosts for name, pool in pools.items()}
        self._files_read: dict[str, FileDirectory] = {}
        self._offload = Offload(reactor)
        self._key = secrets.token_bytes(32)
        self._caches: list[Cached[Entry]] = []
        self._domains: list[Cached[Domain]] = []
        self._remembered: list[Remembered] = []
        self._locators: list[Locator] = []
        self._availabilities: dict[str, Availability] = {}
        self._paces: dict[str, Pace] = {}
        self._searched: dict[Hashable, Searches] = {}
        self._watched: dict[Hashable, LDAP] = {}

    def forget(self, user: str) -> int:
        """Forget what is remembered of a user; return how many answers of a directory that was."""
        for remembered in self._remembered:
            remembered.forget()
        for domains in self._domains:
            domains.forget(concerns_domain(user))
        return sum(cache.forget(concerns(user)) for cache in self._caches)

    def changed(self, changed: Changed) -> None:
        """Rely no more on what is remembered of these entries, and of who does not exist; or on anything."""
        for remembered in self._remembered:
            remembered.forget(changed)
        for users in self._caches:
            if changed is None:
                users.expire()
            else:
                users.forget(concerns_changed(changed))
        for domains in self._domains:
            if changed is None:
                domains.expire()
            else:
                domains.forget(concerns_changed_domain(changed))

    async def objection(self, client: Client, standing: Standing) -> str:
        """Return why a session that was let in by this would not be any more; empty if it would.

        Refused if the directory cannot say.
        """
        return await self._locators[standing.by].objection(client, standing)

    def watches(self, changes: Changes) -> list[Watch]:
        """Return what follows each directory in use that is to be followed."""
        return [self._watch(ldap, changes) for ldap in self._watched.values()]

    def _watch(self, ldap: LDAP, changes: Changes) -> Watch:
        openings = [self._opening(ldap, url, self._own(ldap)) for url in ldap.urls]
        return Watch(openings, ldap.base if ldap.schema == "flat" else "", self._reactor, self._log, changes)

    def authenticator(self, listener: Listener, trusts: Callable[[TLS, Security], bool]) -> Authenticator:
        """Return who finds and judges the users of a listener; ``trusts`` says whose certificate is good by now."""
        return MeasuredAuthenticator(
            self._authenticator(listener, trusts), self._counts, self._reactor.seconds, listener.service.value
        )

    def _authenticator(self, listener: Listener, trusts: Callable[[TLS, Security], bool]) -> Authenticator:
        if listener.directory.kind == "auth_http":
            return self.auth_http(listener)
        locator = self.locator(listener)
        if not listener.takes_certificates:
            return locator
        file = listener.tls_settings.certificate_map
        rules = CertificateMap.parse(self._files[file]) if file else CertificateMap()
        good = partial(trusts, listener.tls_settings)
        return ByCertificate(locator, self._matcher(listener.directory), good, rules)

    def policy(self, settings: Policy, deadlines: Deadlines) -> HTTPPolicy | None:
        """Return who judges logins before they are tried, None if nobody does."""
        if not settings.url:
            return None
        url, named = urlsplit(settings.url), (settings.secret_file, settings.nonce_file)
        secret, nonce = (read_secret(self._files[file]) if file else b"" for file in named)
        return HTTPPolicy(
            self._http_client(url, settings.ca, settings.timeout),
            url,
            partial(deferLater, self._reactor),
            deadlines,
            Availability("policy", "warn", url.geturl(), self._log),
            settings.on_failure == "refuse",
            secret,
            nonce,
        )

    def _http_client(self, url: SplitResult, ca: str, timeout: float) -> HTTPClient:
        tls = ClientTLS(ca=self._files.get(ca, b""))
        connector = TLSConnector(Connector(self._loop, self._resolver), tls, implicit=url.scheme == "https")
        return HTTPClient(server_of(url), connector, self._reactor, timeout)

    def auth_http(self, listener: Listener) -> AuthHTTP:
        """Return who asks a server about the users of a listener, whose directory has to be of that kind."""
        settings = listener.directory.auth_http
        url, secret = urlsplit(settings.url), None
        if settings.secret_file:
            secret = settings.secret_header, read_secret(self._files[settings.secret_file])
        name = f"{url.scheme}://{server_of(url)}"  # without the query, which may hold a secret
        return AuthHTTP(
            MeasuredRequests(self.http_client(settings), self._counts, self._reactor.seconds, self._pace(name)),
            url,
            _naming(listener.login),
            partial(deferLater, self._reactor),
            self._availabilities.setdefault(name, Availability("directory", "error", name, self._log)),
            secret,
            self._count,
        )

    def http_client(self, settings: HTTPSettings) -> HTTPClient:
        """Return who asks a server in HTTP."""
        return self._http_client(urlsplit(settings.url), settings.ca, settings.timeout)

    def _matcher(self, directory: Directory) -> Matcher:
        if directory.kind == "file":
            return self._users(directory.file.path)
        ldap = directory.ldap
        base = ldap.domain_root if ldap.schema == "1" else ldap.base
        return LDAPMatcher(self._searches(ldap), base, (*LOGIN_NAMES, USER_CERTIFICATE), ldap.timeout)

    def locator(self, listener: Listener) -> Locator:
        """Return who looks users up for a listener, whose directory has to be one that can be looked into."""
        login, directory = listener.login, listener.directory
        replay_user = ReplayName.parse(login.replay_user)
        rules = AccountRules(directory.ldap.mail_host_attributes, replay_user, self._pools)
        naming = _naming(login)
        access = AccessByEntry(
            directory.ldap.access_attribute, self._log, implicit_tls=listener.tls is TLSMode.IMPLICIT
        )
        passwords = (USER_PASSWORD,) if login.proofs else ()
        state = AccountState(directory.ldap.state_attributes)
        marks = self._marks(directory)
        attributes = (*rules.attributes, *USER_STATUS, access.attribute, *state.attributes, *passwords, *(marks or ()))
        finder, domains = self._people(directory, tuple(dict.fromkeys(attributes)))
        users = self._cached(directory, finder if passwords else Veiled(finder, USER_PASSWORD, self._key))
        self._caches.append(users)
        locator = Locator(
            directory=users,
            naming=naming,
            rules=rules,
            authority=self._authority(login, directory),
            domains=domains,
            access=access,
            state=state,
            memory=users,
            number=len(self._locators),
            marks=marks,
        )
        self._locators.append(locator)
        return locator

    def _marks(self, directory: Directory) -> tuple[str, ...] | None:
        """Return the attributes that change with a password, None if nobody would tell of it; have that followed."""
        ldap = directory.ldap
        if not directory.is_watched:
            return None
        base = ldap.base if ldap.schema == "flat" else ""
        self._watched[ldap.urls, ldap.start_tls, ldap.ca, ldap.bind, ldap.bind_dn, base] = ldap
        return ldap.password_change_attributes

    def _people(self, directory: Directory, attributes: tuple[str, ...]) -> tuple[Finder[Entry], Domains | None]:
        """Return who knows users, and who knows domains where those have entries."""
        if directory.kind == "file":
            return self._users(directory.file.path), None
        if directory.is_plugin:
            return self._plugin(directory), None
        ldap = directory.ldap
        replicas = self._searches(ldap)
        template = FilterTemplate.parse(ldap.filter)
        if ldap.schema == "flat":
            search = Search.prepare(ldap.base, template, attributes, ldap.timeout)
            return LDAPDirectory(replicas, search), None
        reading = Reading(replicas, template, attributes, ldap.timeout)
        layout = DomainTree(reading, ldap.domain_root) if ldap.schema == "1" else Organisations(reading, ldap.base)
        domains = self._cached(directory, layout)
        self._domains.append(domains)
        return UsersOfDomains(), Domains(domains)

    def _cached(self, directory: Directory, finder: Finder[Found]) -> Cached[Found]:
        lifetimes = Lifetimes(directory.cache_ttl, directory.negative_ttl, directory.stale_ttl)
        measured = MeasuredDirectory(finder, self._counts, self._reactor.seconds)
        return Cached(measured, directory.cache_size, lifetimes, self._reactor.seconds, self._count)

    def _count(self, result: str) -> None:
        self._counts.add(("directory_lookups_total", result))

    def _plugin(self, directory: Directory) -> PluginDirectory:
        kind = plugin.kind(directory.kind)
        secrets = {key: read_secret(self._files[name]) for key, name in directory.plugin_files.items()}
        find = kind.open(directory.plugin, secrets, self._reactor)
        return PluginDirectory(kind.name, kind.fields, find, self._reactor)

    def _users(self, path: str) -> FileDirectory:
        if path not in self._files_read:
            self._files_read[path] = FileDirectory.parse(self._files[path])
        return self._files_read[path]

    def _searches(self, ldap: LDAP) -> Searches:
        """Return who answers searches; listeners whose servers are reached alike have the same connections."""
        if ldap.reached not in self._searched:
            replicas = {url: self._replica(ldap, url) for url in ldap.all_urls}
            first: Searches = Replicas([replicas[url] for url in ldap.urls], balance=ldap.balance)
            others = {url: Replicas([replica]) for url, replica in replicas.items()}
            self._searched[ldap.reached] = Referring(first, _by_host(others)) if ldap.referrals else first
        return self._searched[ldap.reached]

    def _replica(self, ldap: LDAP, url: str) -> Replica:
        opening = self._opening(ldap, url, self._own(ldap))
        return Replica(opening, self._log, self._pace(str(opening.url)))

    def _pace(self, url: str) -> Pace:
        """Return that of a server, one for all who ask it."""
        return self._paces.setdefault(url, Pace(url, self._log, self._reactor.seconds))

    def openings(self, ldap: LDAP) -> list[Opening]:
        """Return how each server of a directory is reached for searches, those last that are only referred to."""
        return [self._opening(ldap, url, self._own(ldap)) for url in ldap.all_urls]

    def _own(self, ldap: LDAP) -> Simple | External | None:
        if ldap.bind == "external":
            return External()
        return Simple(ldap.bind_dn, read_secret(self._files[ldap.bind_password_file])) if ldap.bind_dn else None

    def _opening(self, ldap: LDAP, text: str, credentials: Simple | External | None) -> Opening:
        url, file = LDAPURL.parse(text), ldap.client_certificate
        own = Chain(self._files[file], self._files[ldap.private_key]) if file and ldap.over_tls else None
        tls = ClientTLS(ca=self._files.get(ldap.ca, b""), own=own)
        plain, resume = Connector(self._loop, self._resolver), ldap.bind != "external"
        connector = TLSConnector(plain, tls, implicit=url.implicit_tls, resume=resume)
        return Opening(url, connector, self._reactor, ldap.timeout, ldap.start_tls, credentials)

    def _authority(self, login: Login, directory: Directory) -> Authority:
        judge = self._judge(directory)
        remembered = Remembered(judge, directory.cache_size, directory.cache_ttl, self._reactor.seconds, self._key)
        self._remembered.append(remembered)
        administrator = None
        if login.admin_user:
            file = login.admin_password_file
            administrator = Administrator(login.admin_user, read_secret(self._files[file]) if file else b"")
        return Authority(remembered, login.verify == "directory", administrator, self._group(login, directory))

    def _group(self, login: Login, directory: Directory) -> Group | None:
        """Return whose members may act as the administrator does, None if nobody else may."""
        if login.admin_policy == "simple":
            return None
        if directory.kind == "file":
            return StatedGroup(login.admin_group)
        ldap = directory.ldap
        return LDAPGroup(login.admin_group, ldap.timeout, self._searches(ldap))

    def _judge(self, directory: Directory) -> Judge:
        def nonce() -> bytes:
            return secrets.token_urlsafe(18).encode()

        if directory.kind == "file":
            decoy = self._users(directory.file.path).decoy
            return SecretJudge(PASSWORD, self._offload, nonce, self._key, decoy)
        if directory.is_plugin:
            return SecretJudge(PASSWORD, self._offload, nonce, self._key, plugin.kind(directory.kind).decoy)
        ldap = directory.ldap
        openings = {url: self._opening(ldap, url, None) for url in ldap.all_urls}
        replicas = {url: BindingReplica(opening, self._pace(str(opening.url))) for url, opening in openings.items()}
        others = _by_host({url: [replica] for url, replica in replicas.items()})
        by_entry = SecretJudge(USER_PASSWORD, self._offload, nonce, self._key)
        return BindJudge([replicas[url] for url in ldap.urls], ldap.base, by_entry, others)


def _naming(login: Login) -> Naming:
    domains = {each.address: each.domain for each in login.default_domains}
    return Naming(login.domain_separators, login.default_domain, domains)


def _by_host(each: Mapping[str, Found]) -> dict[str, Found]:
    """Return what there is for each URL by host:port, and by host alone, of which the first counts."""
    by_name: dict[str, Found] = {}
    for url, made in each.items():
        endpoint = LDAPURL.parse(url).endpoint
        by_name[str(endpoint).lower()] = made
        by_name.setdefault(endpoint.host.lower(), made)
    return by_name
