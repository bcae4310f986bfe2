"""How stores are reached, from the configuration: a worker's part toward them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from mmp.config.load import Loaded
from mmp.config.stores import BackendService
from mmp.cores import CORES, SURVEYED, client_core, relay_core
from mmp.interfaces import ClientCore, Log
from mmp.model import Service
from mmp.net.certificates import Chain
from mmp.net.connect import Connector
from mmp.net.loop import Loop
from mmp.net.resolve import Resolver
from mmp.net.tls import ClientTLS
from mmp.observe.metrics import Counts
from mmp.stores.dial import Dial, Route
from mmp.stores.enabled import Enabled
from mmp.stores.known import Known, Survey
from mmp.stores.routing import Hosts, InTurn, MailHost
from mmp.wire.proxy_header import Header, render_v1, render_v2

PROXY_HEADERS: Mapping[str, Callable[[Header], bytes]] = {"proxy-v1": render_v1, "proxy-v2": render_v2}


class Dials:
    """Makes one for each service."""

    def __init__(
        self,
        loaded: Loaded,
        loop: Loop,
        resolver: Resolver,
        *,
        log: Log,
        counts: Counts,
        begun: Callable[[str, ClientCore], object] = lambda _session, _core: None,
    ) -> None:
        self.known: Mapping[Service, Known] = {service: Known() for service in CORES}
        """What all stores of a service have been heard to offer."""
        self._config = loaded.config
        self._files = loaded.files
        self._loop = loop
        self._resolver = resolver
        self._log = log
        self._counts = counts
        self._begun = begun
        self._disabled: set[str] = set()
        self._made = {service: self._make(service) for service in CORES}

    def dial(self, service: Service) -> Dial:
        """Return what reaches the stores of a service."""
        return self._made[service]

    def disable(self, stores: Iterable[str]) -> None:
        """Let no login go to these stores, given in lower case, and to all others."""
        self._disabled.clear()
        self._disabled.update(stores)

    def survey(self) -> None:
        """Begin to find out what relays offer, if there are clients to be told."""
        if any(listener.service is SURVEYED for listener in self._config.listener):
            hosts, core = self._config.backend.reaching(SURVEYED).hosts, relay_core(self._config)
            Survey(self.dial(SURVEYED), SURVEYED, hosts, self.known[SURVEYED], core, self._log).start()

    def _make(self, service: Service) -> Dial:
        how = self._config.backend.reaching(service)
        return Dial(
            self._connector(),
            self._loop.wheel,
            self._route(service, how),
            self._log,
            Enabled(self._hosts(how), self._disabled),
            self.known[service].learn,
            partial(self._took, service.value),
            self._begun,
        )

    def _connector(self) -> Connector:
        backend = self._config.backend
        return Connector(
            self._loop,
            self._resolver,
            source_address=backend.source_address,
            networks=backend.networks,
            retry_after=backend.retry_after,
        )

    def _route(self, service: Service, how: BackendService) -> Route:
        return Route(
            port=how.port,
            tls=how.tls,
            client_tls=self._client_tls(how),
            connect_timeout=how.connect_timeout,
            login_timeout=self._config.backend.login_timeout,
            max_connecting=how.max_connecting,
            tell_origin=how.client_address in {"id", "xclient"},
            make_core=client_core(service, self._config),
            render_header=PROXY_HEADERS.get(how.client_address),
        )

    def _hosts(self, how: BackendService) -> Hosts:
        if not how.hosts:
            return MailHost()
        return InTurn(how.hosts, self._config.backend.retry_after, self._loop.wheel.seconds)

    def _client_tls(self, how: BackendService) -> ClientTLS:
        file = how.client_certificate
        own = Chain(self._files[file], self._files[how.private_key]) if file else None
        return ClientTLS(ca=self._files.get(how.ca, b""), verify=how.verify, own=own)

    def _took(self, service: str, host: str, connecting: float, replaying: float) -> None:
        self._counts.took(("login_seconds", service, "connect"), connecting)
        self._counts.took(("login_seconds", service, "replay"), replaying)
        self._counts.took(("backend_seconds", host, service), connecting + replaying)
