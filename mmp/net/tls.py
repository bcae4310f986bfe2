"""TLS contexts: the rings that accept handshakes, today's certificates behind them, and those toward stores.

A handshake is accepted in a *front context*. Those are made before the workers are forked, so that all workers share
their ticket keys, one context per key period. The servername callback, which OpenSSL calls for every handshake, with
or without SNI, then swaps in a context made from today's certificates.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cache
from ipaddress import ip_address
from typing import Any

import service_identity
import service_identity.pyopenssl
from attrs import evolve, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from twisted.internet.defer import Deferred

from mmp.model import Security
from mmp.net.certificates import Chain, ClientTrust, Staples, by_name, use
from mmp.net.running import Wait
from mmp.net.stream import Stream
from mmp.net.tls_socket import TLSSocket, distrust

RING = 128
"""Front contexts in a ring, 21 kB each and shared by all workers: two months of the default key period."""

_VERSIONS = {
    "1.0": SSL.TLS1_VERSION,
    "1.1": SSL.TLS1_1_VERSION,
    "1.2": SSL.TLS1_2_VERSION,
    "1.3": SSL.TLS1_3_VERSION,
}
_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
MOST_SESSIONS = 1024
"""Hosts whose last session is kept for resumption, some kilobytes each."""
_MODE_RELEASE_BUFFERS = 0x10
"""SSL_MODE_RELEASE_BUFFERS: an idle session keeps no record buffers (34 kB)."""


@frozen
class FrontSettings:
    """What a resumed session must not differ in; listeners that agree in these share a ring.

    The swap leaves the least version and the suites as the front context has them. ``ciphers`` is OpenSSL's list for
    TLS 1.2 and older, which it does not look at again for a session that is resumed; ``ciphersuites`` the one for
    TLS 1.3, which chooses a suite before it has heard the name. Empty means the library's default.
    """

    min_version: str
    key_period: float
    ciphers: str = ""
    ciphersuites: str = ""


Ring = tuple[SSL.Context, ...]


def front_ring(settings: FrontSettings) -> Ring:
    """Make the front contexts of one ring."""
    return tuple(_front(settings) for _ in range(RING))


def _front(settings: FrontSettings) -> SSL.Context:
    context = _server_context(settings)
    context.set_tlsext_servername_callback(_swap)
    return context


_Terms = tuple["ServerTLS", bytes]
"""Who accepts a handshake, and the only protocol that ALPN may agree on, empty for any."""


def _swap(connection: SSL.Connection) -> None:
    terms: _Terms = connection.get_app_data()
    terms[0].show(connection)


def _agree(connection: SSL.Connection, offered: list[bytes]) -> Any:
    """Choose the protocol of a client that says which ones it would speak (ALPN, RFC 7301, 3.2).

    A client that came for another protocol was sent here by somebody who means no good.
    """
    terms: _Terms = connection.get_app_data()
    protocol = terms[1]
    if not protocol:
        return SSL.NO_OVERLAPPING_PROTOCOLS
    if protocol not in offered:
        raise SSL.Error([("", "", "no application protocol in common")])
    return protocol


def _server_context(settings: FrontSettings, *, lowest_level: bool = False) -> SSL.Context:
    """Make a context; at its lowest level of security OpenSSL objects to nothing that it knows."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(_VERSIONS[settings.min_version])
    context.set_options(_OPTIONS)
    context.set_mode(_MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # tickets carry the sessions
    context.set_session_id(b"mmp")
    level = ":@SECLEVEL=0" if lowest_level or settings.min_version < "1.2" else ""
    if settings.ciphers or level:
        context.set_cipher_list(((settings.ciphers or "DEFAULT") + level).encode())
    if settings.ciphersuites:
        context.set_tls13_ciphersuites(settings.ciphersuites.encode())
    return context


class ServerTLS:
    """Accepts handshakes for one listener."""

    def __init__(
        self,
        ring: Ring,
        settings: FrontSettings,
        chains: Sequence[Chain],
        *,
        period: Callable[[], int],
        trust: ClientTrust | None = None,
    ) -> None:
        """``chains[0]`` is shown to clients that ask for no name that another has; ``period`` counts key periods.

        With ``trust`` clients are asked for a certificate.
        """
        self._ring = ring
        self._period = period
        self._verify = _verify_mode(trust)
        self._store = None if trust is None else trust.fill(crypto.X509Store())
        context_of = cache(lambda shown: _certificate_context(settings, shown, trust))
        self._by_name: dict[bytes, SSL.Context] = {name: context_of(shown) for name, shown in by_name(chains).items()}

    def start(self, stream: Stream, protocol: bytes = b"") -> Awaitable[Security]:
        """Take the stream through the handshake; ConnectionError if that fails.

        A client that names protocols (ALPN) has to name this one, if it is given.
        """
        front = self._ring[min(self._period(), len(self._ring) - 1)]
        connection = SSL.Connection(front, stream.socket)  # type: ignore[arg-type]  # it is a plain one still
        connection.set_app_data((self, protocol))
        connection.set_accept_state()
        shaken: Wait[Security] = Wait(stream.give_up_shaking)
        stream.start_tls(connection, shaken.done, shaken.fail, speak_first=False)
        return shaken if self._store is None else self._look(connection, stream, shaken)

    def trusts(self, security: Security) -> bool:
        """Tell whether the client has a certificate that is good by what we know now."""
        if self._store is None or not security.certificate:
            return False
        leaf, *others = (_parsed(der) for der in (security.certificate, *security.intermediates))
        try:
            crypto.X509StoreContext(self._store, leaf, others).verify_certificate()
        except crypto.X509StoreContextError:
            return False
        return True

    def show(self, connection: SSL.Connection) -> None:
        """Have the certificate shown that the client asks for, and the client asked for its own where that is so."""
        name = (connection.get_servername() or b"").lower()
        connection.set_context(self._by_name.get(name) or self._context_for(name))
        if self._verify != SSL.VERIFY_NONE:  # which the front contexts have
            connection.set_verify(self._verify)

    def _context_for(self, name: bytes) -> SSL.Context:
        """Return the context whose certificate bears a name by a wildcard (RFC 6125, 6.4.3), or the first."""
        return self._by_name.get(b"*." + name.partition(b".")[2]) or self._by_name[b""]

    async def _look(self, connection: SSL.Connection, stream: Stream, shaken: Awaitable[Security]) -> Security:
        """Add the client's certificate to what was negotiated, if it has one that is good today.

        OpenSSL looks at it in full handshakes alone: a session that is resumed may be older than what we know of the
        certificate by now.
        """
        security = await shaken
        certified = _certified(security, connection)
        if self.trusts(certified):
            return certified
        if self._verify & SSL.VERIFY_FAIL_IF_NO_PEER_CERT:
            stream.abortConnection()
            raise ConnectionError("the client has no certificate that is good now")
        return security


def _certified(security: Security, connection: SSL.Connection) -> Security:
    """Add what the client has shown; one whose session is resumed sends no intermediates."""
    leaf = connection.get_peer_certificate(as_cryptography=True)
    if leaf is None:
        return security
    others = connection.get_peer_cert_chain(as_cryptography=True) or ()
    shown = tuple(each.public_bytes(Encoding.DER) for each in (leaf, *others))
    return evolve(security, certificate=shown[0], intermediates=shown[1:])


def _parsed(der: bytes) -> crypto.X509:
    return crypto.X509.from_cryptography(x509.load_der_x509_certificate(der))


def _verify_mode(trust: ClientTrust | None) -> int:
    if trust is None:
        return SSL.VERIFY_NONE
    return SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if trust.require else 0)


def _certificate_context(settings: FrontSettings, chains: Iterable[Chain], trust: ClientTrust | None) -> SSL.Context:
    """Return a context that shows the chains, even if OpenSSL thinks one weak: the operator has been told."""
    try:
        context = _showing(_server_context(settings), chains)
    except SSL.Error:
        context = _showing(_server_context(settings, lowest_level=True), chains)
    context.set_alpn_select_callback(_agree)
    if staples := Staples(chains):
        context.set_ocsp_server_callback(staples)
    if trust is not None:
        trust.fill(_store_of(context))
        for authority in trust.authorities():
            context.add_client_ca(authority)
    return context


def _showing(context: SSL.Context, chains: Iterable[Chain]) -> SSL.Context:
    for chain in chains:
        use(context, chain)
    return context


def _store_of(context: SSL.Context) -> crypto.X509Store:
    store = context.get_cert_store()
    assert store is not None  # noqa: S101 - a context always has one
    return store


class UntrustedError(ConnectionError):
    """Whoever we reached has not shown a certificate that proves who it is; the text says what is wrong with it."""


class ClientTLS:
    """Begins handshakes toward stores or directory servers, and verifies whom we reached."""

    def __init__(self, *, ca: bytes = b"", verify: bool = True, own: Chain | None = None) -> None:
        """``ca``: trusted CAs in PEM, empty for the system's; ``own``: the certificate that we show."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
        context.set_mode(_MODE_RELEASE_BUFFERS)
        if ca:
            store = _store_of(context)
            for certificate in x509.load_pem_x509_certificates(ca):
                store.add_cert(crypto.X509.from_cryptography(certificate))
        else:
            context.set_default_verify_paths()
        if verify:
            context.set_verify(SSL.VERIFY_PEER, _note)
        if own is not None:
            use(context, own)
        self._context = context
        self._verify = verify
        self._sessions: OrderedDict[str, SSL.Session] = OrderedDict()

    async def start(self, stream: Stream, host: str) -> Security:
        """Do the handshake and check the name (RFC 6125) before any byte is exchanged; ConnectionError if not well.

        UntrustedError if that is for the certificate.
        """
        connection = SSL.Connection(self._context, stream.socket)  # type: ignore[arg-type]  # it is a plain one still
        if not _is_address(host):
            connection.set_tlsext_host_name(host.encode("idna"))
        if (session := self._sessions.get(host)) is not None:
            connection.set_session(session)
        connection.set_connect_state()
        try:
            security = await _shaken(stream, connection)
        except ConnectionError:
            if (number := connection.get_app_data()) is not None:
                raise UntrustedError(f"the certificate of {host}: {distrust(number)}") from None
            raise
        if self._verify:
            self._check_name(stream, connection, host)
        return security

    def remember(self, stream: Stream, host: str) -> None:
        """Resume this session at the next connection to the same host, and no other; to be told once it has spoken."""
        if isinstance(stream.socket, TLSSocket) and (session := stream.socket.session()) is not None:
            self._sessions[host] = session
            self._sessions.move_to_end(host)
            if len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)

    def _check_name(self, stream: Stream, connection: SSL.Connection, host: str) -> None:
        names = service_identity.pyopenssl
        check = names.verify_ip_address if _is_address(host) else names.verify_hostname
        try:
            check(connection, host)
        except (service_identity.VerificationError, service_identity.CertificateError) as error:
            stream.abortConnection()
            raise UntrustedError(f"the certificate is not for {host}") from error


def _shaken(stream: Stream, connection: SSL.Connection) -> Deferred[Security]:
    """Begin a handshake as the client; what is returned can be awaited everywhere, not only in a ``Running``."""
    shaken: Deferred[Security] = Deferred(lambda _: stream.give_up_shaking())
    stream.start_tls(connection, shaken.callback, shaken.errback, speak_first=True)
    return shaken


def _note(connection: SSL.Connection, _certificate: object, number: int, _depth: int, trusted: int) -> bool:
    """Have OpenSSL's judgement stand, and keep the reason."""
    if not trusted:
        connection.set_app_data(number)
    return bool(trusted)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
