"""How clients are received, from the configuration: a worker's part toward them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial

from attrs import frozen

from mmp.admission import Admission
from mmp.authenticators import Authenticators
from mmp.config.load import Loaded
from mmp.config.schema import Listener
from mmp.cores import CORES, server_core, stand_in, stood_in_for
from mmp.dials import Dials
from mmp.encryption import Encryption
from mmp.interfaces import Log, Policy, ServerCore
from mmp.model import Offer, Security, Service, TLSMode
from mmp.net.listen import Arrivals, Reception
from mmp.net.loop import Loop
from mmp.net.stream import Stream
from mmp.observe.measured import MeasuredHandshake, MeasuredLogIn
from mmp.observe.metrics import Counts
from mmp.policy.security import offer
from mmp.session.login import LogIn, Login
from mmp.session.policed import Policed
from mmp.session.throttled import Throttled
from mmp.stores.known import Known
from mmp.stores.spoof import Spoofed

_CHALLENGING = "CRAM-MD5"
"""The one mechanism that needs a timestamp of the connection's own; APOP comes with it."""
_OFFERS = 32
"""Offers remembered for a listener: one for each way in which connections are protected."""


@frozen
class Receptions:
    """Makes one for each listener, out of the other parts of a worker."""

    loaded: Loaded
    loop: Loop
    log: Log
    counts: Counts
    arrivals: Arrivals
    encryption: Encryption
    admission: Admission
    authenticators: Authenticators
    dials: Dials
    policy: Policy | None

    def reception(self, listener: Listener) -> Reception:
        """Return how the connections of a listener are received."""
        return Reception(
            service=listener.service,
            implicit_tls=listener.tls is TLSMode.IMPLICIT,
            start_tls=self._start_tls(listener),
            offer=_offers(listener, self.dials.known[listener.service]),
            make_core=self._make_core(listener),
            log_in=self._log_in(listener),
            deadline=listener.login.deadline,
            max_failures=listener.login.max_failures,
            proxy_protocol_from=listener.proxy_protocol_from,
            door=self.admission.door(listener),
        )

    def _start_tls(self, listener: Listener) -> Callable[[Stream], Awaitable[Security]]:
        if listener.tls is TLSMode.NONE:
            return _no_tls
        accepting, protocol = self.encryption.prepare(listener.tls_settings), CORES[listener.service].alpn

        def start(stream: Stream) -> Awaitable[Security]:
            return accepting.now.start(stream, protocol)

        return MeasuredHandshake(start, *self._measure(listener.service))

    def _make_core(self, listener: Listener) -> Callable[[Offer], ServerCore]:
        make, known = server_core(listener.service, self.loaded.config), self.dials.known[listener.service]
        challenging = _CHALLENGING in listener.login.mechanisms
        timestamp = partial(_timestamp, self.loaded.config.hostname) if challenging else bytes
        return lambda offered: make(offer=offered, timestamp=timestamp(), capabilities=known.common)

    def _log_in(self, listener: Listener) -> LogIn:
        service, admission = listener.service, self.admission
        relayed = bool(self.loaded.config.backend.reaching(service).hosts)
        authenticator = self.authenticators.authenticator(listener, self.encryption.trusts)
        login = Login(authenticator, admission.limits(), self.dials.dial(service), relayed)
        policed = login if self.policy is None else Policed(self.policy, login)
        attempt = Throttled(admission.throttle(listener, self.arrivals), policed)
        measured = MeasuredLogIn(attempt, *self._measure(service))
        make_mailbox = stand_in(service, self.loaded.config, self.loaded.files)
        if make_mailbox is None:
            return measured
        return Spoofed(measured, self.loop, make_mailbox, self.log, stood_in_for(self.loaded.config))

    def _measure(self, service: Service) -> tuple[Counts, Callable[[], float], str]:
        return self.counts, self.loop.wheel.seconds, service.value


async def _no_tls(_stream: Stream) -> Security:
    raise ConnectionError("TLS is not offered here")


def _offers(listener: Listener, known: Known) -> Callable[[Security], Offer]:
    """Return what tells what to offer; nearly always it has made that before."""
    login, starttls = listener.login, listener.tls is TLSMode.STARTTLS
    passed_through = login.passed_through

    @lru_cache(_OFFERS)
    def offers(security: Security, _taken: frozenset[bytes] | None) -> Offer:
        mechanisms = tuple(name for name in login.mechanisms if name not in passed_through or known.takes(name))
        return offer(mechanisms, login.restrict_plain_passwords, login.plaintext_min_cipher, security, starttls)

    return lambda security: offers(security, known.mechanisms)


def _timestamp(hostname: str) -> bytes:
    """Return what no other connection gets (RFC 1939, 7; RFC 2195, 2)."""
    return f"<{secrets.token_hex(8)}.{int(time.time())}@{hostname}>".encode()
