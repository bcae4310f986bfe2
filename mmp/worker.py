"""One worker: puts the parts together from the configuration, and runs until it has drained."""

from __future__ import annotations

import gc
import itertools
import json
import math
import os
import pickle
import resource
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from attrs import frozen
from twisted.internet.main import installReactor
from twisted.logger import globalLogBeginner

from mmp.admin.answers import Answers
from mmp.admin.sessions import Sessions
from mmp.admission import Admission, rules
from mmp.authenticators import Authenticators
from mmp.config.clients import TLS
from mmp.config.load import Loaded
from mmp.config.schema import Config, Listener
from mmp.config.stores import BackendService
from mmp.interfaces import ClientCore, Guard, ServerCore
from mmp.model import Offer, Refusal, Security, Service, TLSMode
from mmp.net.certificates import Chain, ClientTrust
from mmp.net.connect import Connector
from mmp.net.listen import Arrivals, House, Reception
from mmp.net.port import Port
from mmp.net.reactor import LeanReactor
from mmp.net.resolve import Resolver
from mmp.net.share import Share
from mmp.net.stream import Loop, Stream
from mmp.net.takeover import Relays
from mmp.net.tls import ClientTLS, FrontSettings, Ring, ServerTLS
from mmp.net.wheel import Deadline, Wheel
from mmp.observe.accounting import Accounting
from mmp.observe.log import EventLog, LineObserver
from mmp.observe.measured import MeasuredHandshake, MeasuredLogIn
from mmp.observe.metrics import Counted, Counts, parts
from mmp.policy.security import offer
from mmp.session.login import LogIn, Login
from mmp.session.throttled import Throttled
from mmp.shared import link as wire
from mmp.shared.asking import Answerer
from mmp.shared.desk import Desk
from mmp.shared.link import Kind, Link
from mmp.shared.local import Home
from mmp.stores.dial import Dial, Route
from mmp.stores.enabled import Enabled
from mmp.stores.known import Known, Survey
from mmp.stores.routing import InTurn, MailHost
from mmp.stores.spoof import Spoofed
from mmp.wire.events import LoggedIn
from mmp.wire.imap.client import Client as IMAPClient
from mmp.wire.imap.guard import guard as imap_guard
from mmp.wire.imap.server import Server as IMAPServer
from mmp.wire.managesieve.client import Client as ManageSieveClient
from mmp.wire.managesieve.server import Server as ManageSieveServer
from mmp.wire.pop3.client import Client as POP3Client
from mmp.wire.pop3.maildrop import Maildrop, message
from mmp.wire.pop3.server import Server as POP3Server
from mmp.wire.proxy_header import Header, render_v1, render_v2
from mmp.wire.submission.client import Client as SubmissionClient
from mmp.wire.submission.guard import guard as submission_guard
from mmp.wire.submission.server import Server as SubmissionServer

OTHER_DESCRIPTORS = 128
"""Kept for listening sockets, the log, the directory, and what accepting and connecting need for a moment."""


@frozen
class Cores:
    """A protocol's two sides."""

    server: Callable[..., ServerCore]
    client: Callable[..., ClientCore]
    alpn: bytes = b""
    """The protocol's name in TLS (RFC 7301), if it has one."""


CORES: Mapping[Service, Cores] = {
    Service.IMAP: Cores(IMAPServer, IMAPClient, b"imap"),
    Service.POP3: Cores(POP3Server, POP3Client, b"pop3"),
    Service.SUBMISSION: Cores(SubmissionServer, SubmissionClient),
    Service.MANAGESIEVE: Cores(ManageSieveServer, ManageSieveClient, b"managesieve"),
}

GUARDS: Mapping[Service, Callable[[LoggedIn], Guard | None]] = {
    Service.IMAP: imap_guard,
    Service.SUBMISSION: submission_guard,
}


PROXY_HEADERS: Mapping[str, Callable[[Header], bytes]] = {"proxy-v1": render_v1, "proxy-v2": render_v2}


@frozen
class Inheritance:
    """What a worker has from the zygote: the configuration, the rings, and the monotonic second their clock began.

    ``share`` is what it may take of the sessions.
    """

    loaded: Loaded
    rings: Mapping[FrontSettings, Ring]
    began: float
    share: Share


def front_settings(config: Config) -> Iterator[FrontSettings]:
    """Yield what each listener with TLS needs of its front contexts."""
    for listener in config.listener:
        if listener.tls is not TLSMode.NONE:
            yield _front_settings(listener.tls_settings)


def _front_settings(tls: TLS) -> FrontSettings:
    return FrontSettings(tls.min_version, tls.key_period, tls.ciphersuites)


class Parts:
    """Makes the parts, each once, and hands each the few values it needs."""

    def __init__(self, inheritance: Inheritance, reactor: LeanReactor, log: EventLog, desk: Desk) -> None:
        self._inheritance = inheritance
        self._config = config = inheritance.loaded.config
        self._files = inheritance.loaded.files
        self._reactor = reactor
        self._log = self.counted = Counted(log, Counts(), time.monotonic)
        self._disabled: set[str] = set()
        self._wheel = Wheel(reactor)
        self._loop = Loop(reactor, self._wheel)
        self._resolver = Resolver(reactor, self._wheel)
        accounting = Accounting(self._log, reactor.seconds)
        idle = {service: config.backend.reaching(service).idle_timeout for service in CORES}
        self.relays = Relays(self._loop, idle, accounting.close, GUARDS)
        self._admission = Admission(config, desk, reactor, self._log)
        self.arrivals = Arrivals(
            House(
                self._loop,
                self._log,
                accounting,
                self.relays,
                _session_ids(),
                _capacity(),
                self._admission.door(),
            )
        )
        self._tls: dict[TLS, ServerTLS] = {}
        self._authenticators = Authenticators(
            self._files, config.pool, reactor, self._loop, self._resolver, log=self._log, counts=self.counted.counts
        )
        sessions = Sessions(self.arrivals, self.relays, self._wheel, time.time)
        self.answers = Answers(sessions, self.counted, self._authenticators.forget)
        self._known = {service: Known() for service in CORES}
        self._dials = {service: self._dial(service) for service in CORES}
        self._receptions = [self._reception(listener) for listener in config.listener]
        if any(listener.service is Service.SUBMISSION for listener in config.listener):
            self._survey().start()

    def listen(self, index: int, listening: socket.socket) -> Port:
        """Accept for the listener of this index."""
        receive = partial(self.arrivals.receive, self._receptions[index])
        return Port(self._loop, listening, receive, self._log, self._exceeds_share)

    def _exceeds_share(self) -> bool:
        return self._inheritance.share.is_exceeded(len(self.arrivals) + len(self.relays))

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        """Call once, later."""
        Deadline(self._wheel, seconds, call)

    def disable(self, stores: Iterable[str]) -> None:
        """Let no login go to these stores, given in lower case, and to all others."""
        self._disabled.clear()
        self._disabled.update(stores)

    def renew(self, fresh: Mapping[str, bytes]) -> None:
        """Show clients from now on what these files hold now."""
        self._files = {**self._files, **fresh}
        self._tls = {tls: self._make_server_tls(tls) for tls in self._tls}

    # Toward clients

    def _reception(self, listener: Listener) -> Reception:
        login = listener.login
        starttls = listener.tls is TLSMode.STARTTLS
        cores = CORES[listener.service]
        known = self._known[listener.service]
        own = {"alert": self._config.outage.imap_alert} if listener.service is Service.IMAP else {}
        return Reception(
            service=listener.service,
            implicit_tls=listener.tls is TLSMode.IMPLICIT,
            start_tls=self._start_tls(listener, cores.alpn),
            offer=partial(
                _offer, login.mechanisms, login.restrict_plain_passwords, login.plaintext_min_cipher, starttls
            ),
            make_core=lambda offered: cores.server(
                offer=offered,
                hostname=self._config.hostname,
                timestamp=_timestamp(self._config.hostname),
                capabilities=known.common,
                **own,
            ),
            log_in=self._log_in(listener),
            deadline=login.deadline,
            max_failures=login.max_failures,
            proxy_protocol_from=listener.proxy_protocol_from,
        )

    def _start_tls(self, listener: Listener, protocol: bytes) -> Callable[[Stream], Awaitable[Security]]:
        if listener.tls is TLSMode.NONE:
            return self._no_tls
        self._server_tls(listener.tls_settings)

        def start(stream: Stream) -> Awaitable[Security]:
            return self._server_tls(listener.tls_settings).start(stream, protocol)

        return MeasuredHandshake(start, *self._measure(listener.service))

    def _measure(self, service: Service) -> tuple[Counts, Callable[[], float], str]:
        return self.counted.counts, self._reactor.seconds, service.value

    @staticmethod
    async def _no_tls(_stream: Stream) -> Security:
        raise ConnectionError("TLS is not offered here")

    def _server_tls(self, tls: TLS) -> ServerTLS:
        """Return the one for these settings; loading a key takes as long as a thousand logins."""
        if tls not in self._tls:
            self._tls[tls] = self._make_server_tls(tls)
        return self._tls[tls]

    def _make_server_tls(self, tls: TLS) -> ServerTLS:
        staple = self._files.get(tls.ocsp_staple, b"")
        first = Chain(self._files[tls.certificate], self._files[tls.private_key], staple)
        others = (Chain(self._files[pair.certificate], self._files[pair.private_key]) for pair in tls.sni)
        settings = _front_settings(tls)
        return ServerTLS(
            self._inheritance.rings[settings],
            settings,
            [first, *others],
            tls.ciphers,
            trust=self._trust(tls),
            period=lambda: int((time.monotonic() - self._inheritance.began) / tls.key_period),
        )

    def _trust(self, tls: TLS) -> ClientTrust | None:
        if not tls.client_ca:
            return None
        revoked = self._files.get(tls.client_crl, b"")
        return ClientTrust(self._files[tls.client_ca], revoked, require=tls.client_certificate == "require")

    def _log_in(self, listener: Listener) -> LogIn:
        admission = self._admission
        login = Login(self._authenticators.authenticator(listener), admission.limits(), self._dials[listener.service])
        attempt = Throttled(admission.throttle(listener, self.arrivals), login)
        measured = MeasuredLogIn(attempt, *self._measure(listener.service))
        outage = self._config.outage
        if listener.service is not Service.POP3 or outage.pop3_spoof == "none":
            return measured
        notice = message(self._files[outage.pop3_spoof_message]) if outage.pop3_spoof == "message" else b""
        return Spoofed(measured, self._loop, partial(Maildrop, notice), self._log)

    # Toward the stores

    def _dial(self, service: Service) -> Dial:
        backend, how = self._config.backend, self._config.backend.reaching(service)
        connector = Connector(
            self._loop,
            self._resolver,
            source_address=backend.source_address,
            networks=backend.networks,
            retry_after=backend.retry_after,
        )
        route = Route(
            port=how.port,
            tls=how.tls,
            client_tls=self._client_tls(how),
            connect_timeout=how.connect_timeout,
            login_timeout=backend.login_timeout,
            max_connecting=how.max_connecting,
            tell_origin=how.client_address in {"id", "xclient"},
            make_core=self._store_core(service),
            render_header=PROXY_HEADERS.get(how.client_address),
        )
        hosts = InTurn(how.hosts, backend.retry_after, self._reactor.seconds) if how.hosts else MailHost()
        learn = self._known[service].learn if service is Service.SUBMISSION else None
        enabled = Enabled(hosts, self._disabled)
        return Dial(connector, self._wheel, route, self._log, enabled, learn, partial(self._took, service.value))

    def _took(self, service: str, host: str, connecting: float, replaying: float) -> None:
        counts = self.counted.counts
        counts.took(("login_seconds", service, "connect"), connecting)
        counts.took(("login_seconds", service, "replay"), replaying)
        counts.took(("backend_seconds", host, service), connecting + replaying)

    def _store_core(self, service: Service) -> Callable[[], ClientCore]:
        if service is Service.SUBMISSION:
            return self._relay_core()
        return partial(CORES[service].client, starttls=self._config.backend.reaching(service).tls is TLSMode.STARTTLS)

    def _relay_core(self) -> Callable[[], SubmissionClient]:
        starttls = self._config.backend.submission.tls is TLSMode.STARTTLS
        return partial(SubmissionClient, starttls=starttls, hostname=self._config.hostname)

    def _survey(self) -> Survey:
        """Return what finds out what the relays offer that every user shares."""
        service, hosts = Service.SUBMISSION, self._config.backend.submission.hosts
        return Survey(self._dials[service], service, hosts, self._known[service], self._relay_core(), self._log)

    def _client_tls(self, how: BackendService) -> ClientTLS:
        own = (
            Chain(self._files[how.client_certificate], self._files[how.private_key]) if how.client_certificate else None
        )
        return ClientTLS(ca=self._files.get(how.ca, b""), verify=how.verify, own=own)


def _offer(mechanisms: tuple[str, ...], restrict: bool, least_bits: int, starttls: bool, security: Security) -> Offer:  # noqa: FBT001 - all by partial
    return offer(mechanisms, restrict, least_bits, security, starttls)


def _session_ids() -> Iterator[str]:
    """Yield ids that no other worker of this service gives, before or after: a random word and a number."""
    prefix = secrets.token_hex(4)
    return (f"{prefix}{number:x}" for number in itertools.count())


def _timestamp(hostname: str) -> bytes:
    """Return what no other connection gets (RFC 1939, 7; RFC 2195, 2)."""
    return f"<{secrets.token_hex(8)}.{int(time.time())}@{hostname}>".encode()


def _capacity() -> int:
    """Return how many sessions there are descriptors for, two each, beside what else needs some; take all we may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:  # no process may have more than this all the same
        most = int(Path("/proc/sys/fs/nr_open").read_text())
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return max(1, (most - OTHER_DESCRIPTORS) // 2)


class Worker:
    """The worker's end of the link: listens on what it is given, drains when told or when the supervisor is gone."""

    def __init__(self, inheritance: Inheritance, reactor: LeanReactor, link: socket.socket) -> None:
        self._inheritance = inheritance
        self._reactor = reactor
        self._ports: list[Port] = []
        self._ending = False
        log = inheritance.loaded.config.log
        self._log = EventLog(os.dup(2), log.format, log.level)
        globalLogBeginner.beginLoggingTo([LineObserver(self._log)], redirectStandardIO=False, discardBuffer=True)
        self._link = Link(reactor, link, self._received, self._orphaned)
        own = Home(rules(inheritance.loaded.config), reactor.seconds)
        self._desk = Desk(reactor, self._link.send, self._log, own)
        self._parts = Parts(inheritance, reactor, self._log, self._desk)
        self._answerer = Answerer(self._link, self._parts.answers)
        self._link.send(Kind.HELLO, wire.NUMBER.pack(wire.VERSION))

    def _received(self, kind: Kind, payload: bytes, descriptors: list[int]) -> None:
        if self._desk.received(kind, payload):
            return
        if kind is Kind.LOG:
            if descriptors:  # else we have too many open to be given one, and go on with the old one
                self._log.reopen(descriptors.pop())
        elif kind is Kind.RENEW:
            with os.fdopen(descriptors.pop(), "rb") as file:
                file.seek(0)
                self._parts.renew(pickle.load(file))  # noqa: S301 - from our own supervisor, over a socket pair
        elif kind is Kind.LISTEN:
            listening = socket.socket(fileno=descriptors.pop())
            self._ports.append(self._parts.listen(wire.NUMBER.unpack(payload)[0], listening))
        elif kind is Kind.SERVE:
            self._link.send(Kind.SERVING)
        elif kind in {Kind.RETIRE, Kind.DRAIN}:
            end = self._retire if kind is Kind.RETIRE else self._drain
            end(*wire.SECONDS.unpack(payload))
        else:
            self._answer(kind, payload)

    def _answer(self, kind: Kind, payload: bytes) -> None:
        """Tell the supervisor what it wants to know, or do what an operator wants done."""
        if kind is Kind.PING:
            self._tell_counts()
            self._link.send(Kind.PONG, wire.TWO_NUMBERS.pack(len(self._parts.arrivals), len(self._parts.relays)))
        elif kind is Kind.DISABLED:
            self._parts.disable(json.loads(payload))
        else:
            self._answerer.received(kind, payload)

    def _tell_counts(self) -> None:
        for part in parts(self._parts.counted.counts):
            self._link.send(Kind.COUNTS, part)

    def _orphaned(self) -> None:
        """The supervisor is gone, or has let go of us: then even one that was only replaced must end."""
        self._log.event("drain", "warn", result="begun", reason="the supervisor is gone")
        self._drain(self._inheritance.loaded.config.shutdown_grace)

    def _drain(self, seconds: float) -> None:
        """Send away who is not logged in, accept no more, end when the last session does or after so many seconds."""
        self._parts.arrivals.turn_out(Refusal.SHUTTING_DOWN, "shutting down")
        self._retire(seconds)

    def _retire(self, seconds: float) -> None:
        """Accept no more; end when the last session does, or end those after so many seconds."""
        for port in self._ports:
            port.close()
        self._ports.clear()
        self._inheritance.share.leave()
        if seconds < math.inf:
            self._parts.after(seconds, self._close_rest)
        if not self._ending:
            self._ending = True
            self._end_when_empty()

    def _close_rest(self) -> None:
        self._parts.arrivals.turn_out(Refusal.SHUTTING_DOWN, "shutting down")
        self._parts.relays.close_all("shutting down")

    def _end_when_empty(self) -> None:
        if self._parts.relays or self._parts.arrivals or any(stream.closing for stream in self._streams()):
            self._parts.after(0, self._end_when_empty)
        else:
            self._tell_counts()
            self._link.doWrite()  # nobody will ask it to any more
            self._reactor.removeReader(self._link)  # type: ignore[no-untyped-call]  # stopping ends it: that is no loss
            self._reactor.stop()

    def _streams(self) -> Iterator[Stream]:
        watched = self._reactor.getReaders() + self._reactor.getWriters()  # type: ignore[no-untyped-call]  # Twisted's
        return (each for each in watched if isinstance(each, Stream))


def run(inheritance: Inheritance, link: socket.socket) -> None:
    """Be a worker until drained; never returns before."""
    reactor = LeanReactor()
    installReactor(reactor)
    gc.set_threshold(50_000, 20, 100)  # sessions leave no cycles; what little garbage there is can wait
    Worker(inheritance, reactor, link)
    reactor.run(installSignalHandlers=False)
