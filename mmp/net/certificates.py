"""Certificates as OpenSSL is given them: chains that we show, with the proof that they hold, and whom we trust."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.ocsp import OCSPResponseStatus, load_der_ocsp_response
from OpenSSL import SSL, crypto


@frozen
class Chain:
    """A certificate chain, leaf first, and its private key, both in PEM; ``staple`` is an OCSP response in DER."""

    certificate: bytes = field(repr=False)
    private_key: bytes = field(repr=False)
    staple: bytes = field(default=b"", repr=False)

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate itself."""
        return x509.load_pem_x509_certificates(self.certificate)[0]

    @property
    def key(self) -> PrivateKeyTypes:
        """The private key."""
        return load_pem_private_key(self.private_key, None)

    def names(self) -> list[bytes]:
        """Return the host names in the certificate, in lower case; a wildcard as it stands."""
        try:
            extension = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return []
        return [name.lower().encode() for name in extension.value.get_values_for_type(x509.DNSName)]


def by_name(chains: Sequence[Chain]) -> dict[bytes, frozenset[Chain]]:
    """Return for each name what to show to those who ask for it, and under the empty name what all others are shown.

    That is the first chain of each kind of key, so that RSA and ECDSA stand side by side and clients take what they
    know. The others are shown the first chain of all, beside those that share a name with it.
    """
    found: dict[bytes, dict[type, Chain]] = {}
    for chain in chains:
        for name in chain.names():
            found.setdefault(name, {}).setdefault(type(chain.key), chain)
    first = {type(chains[0].key): chains[0]}
    for name in chains[0].names():
        first = found[name] | first
    return {name: frozenset(kinds.values()) for name, kinds in (found | {b"": first}).items()}


def use(context: SSL.Context, chain: Chain) -> None:
    """Have a context show this chain; SSL.Error if OpenSSL objects.

    By a file in memory, since what pyOpenSSL adds to a chain otherwise is common to all kinds of keys of a context.
    """
    with os.fdopen(os.memfd_create("mmp-chain"), "wb") as file:
        file.write(chain.certificate)
        file.flush()
        context.use_certificate_chain_file(f"/proc/self/fd/{file.fileno()}")
    context.use_privatekey(chain.key)  # type: ignore[arg-type]  # an error, if it is of a kind that TLS has no use for
    context.check_privatekey()


@frozen
class Staple:
    """What a responder says of one certificate, and until when; None: until further notice."""

    octets: bytes = field(repr=False)
    serial_number: int
    until: datetime | None

    @classmethod
    def parse(cls, octets: bytes) -> Staple:
        """Read an OCSP response in DER; ValueError, worded for the operator, if it is none or says nothing."""
        try:
            response = load_der_ocsp_response(octets)
        except ValueError:
            raise ValueError("has no OCSP response in DER that can be read") from None
        if response.response_status is not OCSPResponseStatus.SUCCESSFUL:
            raise ValueError("has an OCSP response that only says that there is none")
        return cls(octets, response.serial_number, response.next_update_utc)


class Staples:
    """Answers OpenSSL, which asks in each handshake whose client wants to know."""

    def __init__(self, chains: Iterable[Chain]) -> None:
        staples = [Staple.parse(chain.staple) for chain in chains if chain.staple]
        self._by_number = {staple.serial_number: staple for staple in staples}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._by_number)

    def __call__(self, connection: SSL.Connection, _data: object) -> bytes:
        """Return the response about the certificate that is shown; empty once it is too old to be believed."""
        shown = connection.get_certificate(as_cryptography=True)
        staple = None if shown is None else self._by_number.get(shown.serial_number)
        if staple is None or (staple.until is not None and staple.until < datetime.now(UTC)):
            return b""
        return staple.octets


@frozen
class ClientTrust:
    """Whose client certificates are taken, in PEM: by these CAs and no others, unless one of the lists revokes them.

    Where there is any list, each CA of a chain needs one, or its certificates are refused. ``require``: whether a
    client without a certificate is refused, too. Without any CA nobody is trusted.
    """

    ca: bytes = field(repr=False)
    crl: bytes = field(default=b"", repr=False)
    require: bool = False

    def authorities(self) -> list[x509.Certificate]:
        """Return the CAs."""
        return x509.load_pem_x509_certificates(self.ca) if self.ca else []

    def fill(self, store: crypto.X509Store) -> crypto.X509Store:
        """Have a store trust them, and return it."""
        for certificate in self.authorities():
            store.add_cert(crypto.X509.from_cryptography(certificate))
        for revoked in revocation_lists(self.crl):
            store.add_crl(revoked)
            store.set_flags(crypto.X509StoreFlags.CRL_CHECK | crypto.X509StoreFlags.CRL_CHECK_ALL)
        return store


_CRL_END = b"-----END X509 CRL-----"


def revocation_lists(pem: bytes) -> Iterator[x509.CertificateRevocationList]:
    """Yield every list in a file; ValueError if one cannot be read."""
    *blocks, _ = pem.split(_CRL_END)
    for block in blocks:
        yield x509.load_pem_x509_crl(block + _CRL_END + b"\n")
