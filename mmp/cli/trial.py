"""What ``mmp check --connect`` does: tries whatever the configuration names at the other end of a connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from time import monotonic
from typing import Any, Literal

from attrs import frozen
from twisted.internet.main import installReactor

from mmp.authenticators import Authenticators
from mmp.cli.terminal import interruptible
from mmp.config.directory import LDAP
from mmp.config.load import Loaded
from mmp.dials import Dials
from mmp.directory.file import FileDirectory
from mmp.directory.http_client import HTTPClient
from mmp.directory.ldap.filters import FilterTemplate
from mmp.directory.ldap.replica import LDAPURL, Opening
from mmp.directory.ldap.requests import MOST_ENTRIES, below
from mmp.directory.ldap.responses import SIZE_LIMIT_EXCEEDED, SUCCESS
from mmp.model import Service
from mmp.net.channel import Channel
from mmp.net.loop import Loop
from mmp.net.reactor import LeanReactor
from mmp.net.resolve import Resolver
from mmp.net.running import Running
from mmp.net.wheel import Wheel
from mmp.observe.log import Silent
from mmp.observe.metrics import Counts
from mmp.shared.store import StoreError as SharedError
from mmp.sharing import store_of
from mmp.stores.dial import StoreError

ANYBODY = FilterTemplate.parse("(objectClass=*)").encode(())


@frozen
class Finding:
    """What came of one attempt."""

    kind: Literal["error", "warning", "note"]
    what: str

    def __str__(self) -> str:
        """Return it as it is printed, behind the kind."""
        return self.what


def connect(loaded: Loaded) -> list[Finding]:
    """Try the directory, the stores that are known, and what hosts share; return what came of each."""
    reactor: Any = LeanReactor()
    installReactor(reactor)
    found: list[Finding] = []
    failures: list[BaseException] = []

    async def gather() -> None:
        found.extend([finding async for finding in _Trial(loaded, reactor).findings()])

    def ended(outcome: BaseException | None) -> None:
        if outcome is not None:
            failures.append(outcome)
        reactor.stop()

    reactor.callWhenRunning(Running(gather(), ended).go_on)
    with interruptible():
        reactor.run(installSignalHandlers=False)
    for failure in failures:
        raise failure
    return found


class _Trial:
    """Connects to one after the other."""

    def __init__(self, loaded: Loaded, reactor: LeanReactor) -> None:
        self._loaded = loaded
        self._reactor = reactor
        loop, counts = Loop(reactor, Wheel(reactor)), Counts()
        resolver = Resolver(reactor, loop.wheel)
        pools = loaded.config.pool
        self._authenticators = Authenticators(loaded.files, pools, reactor, loop, resolver, log=Silent(), counts=counts)
        self._dials = Dials(loaded, loop, resolver, log=Silent(), counts=counts)

    async def findings(self) -> AsyncIterator[Finding]:
        """Yield what came of each attempt."""
        for ldap in dict.fromkeys(each.directory.ldap for each in self._listeners("ldap")):
            for opening in self._authenticators.openings(ldap):
                async for finding in self._replica(ldap, opening):
                    yield finding
        for settings in dict.fromkeys(each.directory.auth_http for each in self._listeners("auth_http")):
            yield await self._asked(self._authenticators.http_client(settings))
        for service in dict.fromkeys(each.service for each in self._loaded.config.listener):
            hosts = list(dict.fromkeys(self._stores(service)))
            if not hosts:
                yield Finding("note", f"{service.value}: only the directory knows the stores; none is tried")
            for host in hosts:
                yield await self._store(service, host)
        if self._loaded.config.shared.url:
            yield await self._shared()

    def _listeners(self, kind: str) -> Iterator[Any]:
        return (each for each in self._loaded.config.listener if each.directory.kind == kind)

    async def _replica(self, ldap: LDAP, opening: Opening) -> AsyncIterator[Finding]:
        """Connect to a directory server as the proxy does, and search once."""
        name, base = f"directory {opening.url}", ldap.domain_root if ldap.schema == "1" else ldap.base
        began = monotonic()
        try:
            link = await opening.link()
        except OSError as error:
            yield Finding("error", f"{name}: {error}")
            return
        if link.warning:
            yield Finding("warning", f"{name}: our own account: {link.warning}")
        if opening.url not in map(LDAPURL.parse, ldap.urls):
            link.close()
            yield Finding("note", f"{name}, which others may refer to: connected, in {_since(began)}")
            return
        try:
            answer = await link.search(below(base, ANYBODY, ["1.1"], ldap.timeout))
        except OSError as error:
            yield Finding("error", f"{name}: {error}")
            return
        link.close()
        who = "anonymously" if opening.credentials is None else f"as {opening.credentials.dn}"
        if answer.result.code not in {SUCCESS, SIZE_LIMIT_EXCEEDED}:
            yield Finding("error", f"{name}: a search below {base} failed: {answer.result}")
        elif len(answer.entries) < MOST_ENTRIES:
            yield Finding("warning", f"{name}: hardly anything is found below {base} {who}")
        else:
            tls = "with TLS" if opening.url.implicit_tls or opening.start_tls else "without TLS"
            yield Finding("note", f"{name}: connected {tls}, bound {who}, searched below {base}, in {_since(began)}")

    async def _asked(self, client: HTTPClient) -> Finding:
        """Connect to a server that is asked in HTTP; to ask it needs somebody's password."""
        name = f"directory http {client.endpoint}"
        try:
            await client.reach()
        except OSError as error:
            return Finding("error", f"{name}: {error}")
        return Finding("note", f"{name}: connected")

    def _stores(self, service: Service) -> Iterable[str]:
        """Yield the stores that the configuration names, or the directory if it is a file."""
        config = self._loaded.config
        if hosts := config.backend.reaching(service).hosts:
            yield from hosts
            return
        for pool in config.pool.values():
            yield from pool.hosts
        for listener in self._listeners("file"):
            users = FileDirectory.parse(self._loaded.files[listener.directory.file.path])
            yield from users.hosts(listener.directory.ldap.mail_host_attributes)

    async def _store(self, service: Service, host: str) -> Finding:
        """Connect to a store until a login could be said."""
        dial = self._dials.dial(service)
        core = dial.route.make_core()
        channel = Channel(core, dial.handshake(host))
        name = f"{service.value} store {host}:{dial.route.port}"
        began = monotonic()
        try:
            await dial.make_ready(None, host, channel, core)
        except StoreError as error:
            channel.abort()
            return Finding("error", f"{name}: {core.phase}: {error}")
        channel.close()
        return Finding("note", f"{name}: ready for logins, tls {dial.route.tls.value}, in {_since(began)}")

    async def _shared(self) -> Finding:
        url = self._loaded.config.shared.url
        store = store_of(self._reactor, self._loaded, "check")
        try:
            await store.connect(lambda _: None, lambda: None)
        except SharedError as error:
            return Finding("error", f"shared {url}: {error}")
        store.disconnect()
        return Finding("note", f"shared {url}: connected")


def _since(began: float) -> str:
    return f"{(monotonic() - began) * 1000:.0f} ms"
