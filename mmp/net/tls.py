"""TLS contexts: the rings that accept handshakes, today's certificates behind them, and those toward stores.

A handshake is accepted in a *front context*. Those are made before the workers are forked, so that all workers share
their ticket keys, one context per key period. The servername callback, which OpenSSL calls for every handshake, with
or without SNI, then swaps in a context made from today's certificates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address

import service_identity
import service_identity.pyopenssl
from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from twisted.internet.defer import Deferred

from mmp.model import Security
from mmp.net.stream import Stream

RING = 128
"""Front contexts in a ring, 21 kB each and shared by all workers: two months of the default key period."""

_VERSIONS = {
    "1.0": SSL.TLS1_VERSION,
    "1.1": SSL.TLS1_1_VERSION,
    "1.2": SSL.TLS1_2_VERSION,
    "1.3": SSL.TLS1_3_VERSION,
}
_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
_MODE_RELEASE_BUFFERS = 0x10
"""SSL_MODE_RELEASE_BUFFERS: an idle session keeps no record buffers (34 kB)."""


@frozen
class FrontSettings:
    """What the swap leaves as the front context has it; listeners that agree in these share a ring."""

    min_version: str
    key_period: float


Ring = tuple[SSL.Context, ...]


@frozen
class Chain:
    """A certificate chain, leaf first, and its private key, both in PEM."""

    certificate: bytes = field(repr=False)
    private_key: bytes = field(repr=False)


@frozen
class Ciphers:
    """OpenSSL's lists for TLS 1.2 and older, and for 1.3; empty means the library's default."""

    old: str = ""
    tls13: str = ""


def front_ring(settings: FrontSettings) -> Ring:
    """Make the front contexts of one ring."""
    return tuple(_front(settings) for _ in range(RING))


def _front(settings: FrontSettings) -> SSL.Context:
    context = _server_context(settings.min_version, Ciphers())
    context.set_tlsext_servername_callback(_swap)
    return context


def _swap(connection: SSL.Connection) -> None:
    context_for: Callable[[bytes | None], SSL.Context] = connection.get_app_data()
    connection.set_context(context_for(connection.get_servername()))


def _server_context(min_version: str, ciphers: Ciphers) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(_VERSIONS[min_version])
    context.set_options(_OPTIONS)
    context.set_mode(_MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # tickets carry the sessions
    context.set_session_id(b"mmp")
    old = ciphers.old or "DEFAULT"
    if min_version < "1.2":
        old += ":@SECLEVEL=0"
    if ciphers.old or min_version < "1.2":
        context.set_cipher_list(old.encode())
    if ciphers.tls13:
        context.set_tls13_ciphersuites(ciphers.tls13.encode())
    return context


class ServerTLS:
    """Accepts handshakes for one listener."""

    def __init__(
        self,
        ring: Ring,
        settings: FrontSettings,
        chains: Sequence[Chain],
        ciphers: Ciphers,
        *,
        period: Callable[[], int],
    ) -> None:
        """``chains[0]`` is shown to clients that ask for no name that another has; ``period`` counts key periods."""
        self._ring = ring
        self._period = period
        self._default = _certificate_context(settings, chains[0], ciphers)
        self._by_name: dict[bytes, SSL.Context] = {}
        for chain in chains:
            context = self._default if chain is chains[0] else _certificate_context(settings, chain, ciphers)
            for name in _names(chain):
                self._by_name.setdefault(name, context)

    def start(self, stream: Stream) -> Deferred[Security]:
        """Take the stream through the handshake; the Deferred fails with ConnectionError."""
        front = self._ring[min(self._period(), len(self._ring) - 1)]
        connection = SSL.Connection(front, stream.socket)  # type: ignore[arg-type]  # it is a plain one still
        connection.set_app_data(self._context_for)
        connection.set_accept_state()
        return stream.start_tls(connection, speak_first=False)

    def _context_for(self, name: bytes | None) -> SSL.Context:
        """Return the context whose certificate bears ``name``, exactly or by a wildcard (RFC 6125, 6.4.3)."""
        if not name:
            return self._default
        name = name.lower()
        return self._by_name.get(name) or self._by_name.get(b"*." + name.partition(b".")[2], self._default)


def _certificate_context(settings: FrontSettings, chain: Chain, ciphers: Ciphers) -> SSL.Context:
    context = _server_context(settings.min_version, ciphers)
    _use(context, chain)
    return context


def _use(context: SSL.Context, chain: Chain) -> None:
    leaf, *others = x509.load_pem_x509_certificates(chain.certificate)
    context.use_certificate(leaf)
    for other in others:
        context.add_extra_chain_cert(other)
    context.use_privatekey(load_pem_private_key(chain.private_key, None))  # type: ignore[arg-type]  # else an error
    context.check_privatekey()


def _names(chain: Chain) -> list[bytes]:
    leaf = x509.load_pem_x509_certificates(chain.certificate)[0]
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [name.lower().encode() for name in extension.value.get_values_for_type(x509.DNSName)]


class ClientTLS:
    """Begins handshakes toward stores or directory servers, and verifies whom we reached."""

    def __init__(self, *, ca: bytes = b"", verify: bool = True, own: Chain | None = None) -> None:
        """``ca``: trusted CAs in PEM, empty for the system's; ``own``: the certificate that we show."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
        context.set_mode(_MODE_RELEASE_BUFFERS)
        if ca:
            store = context.get_cert_store()
            assert store is not None  # noqa: S101 - a context always has one
            for certificate in x509.load_pem_x509_certificates(ca):
                store.add_cert(crypto.X509.from_cryptography(certificate))
        else:
            context.set_default_verify_paths()
        if verify:
            context.set_verify(SSL.VERIFY_PEER)
        if own is not None:
            _use(context, own)
        self._context = context
        self._verify = verify

    async def start(self, stream: Stream, host: str) -> Security:
        """Do the handshake and check the name (RFC 6125) before any byte is exchanged; ConnectionError if not well."""
        connection = SSL.Connection(self._context, stream.socket)  # type: ignore[arg-type]  # it is a plain one still
        literal = _is_address(host)
        if not literal:
            connection.set_tlsext_host_name(host.encode("idna"))
        connection.set_connect_state()
        security = await stream.start_tls(connection, speak_first=True)
        if self._verify:
            check = (
                service_identity.pyopenssl.verify_ip_address
                if literal
                else (service_identity.pyopenssl.verify_hostname)
            )
            try:
                check(connection, host)
            except (service_identity.VerificationError, service_identity.CertificateError) as error:
                stream.abortConnection()
                raise ConnectionError(f"the certificate is not for {host}") from error
        return security


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
