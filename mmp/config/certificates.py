"""Certificates and keys in PEM: whether they can be used at all, and what is unwise about them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import (
    Certificate,
    CertificateRevocationList,
    DuplicateExtension,
    InvalidVersion,
    load_pem_x509_certificates,
)

from mmp.net.certificates import revocation_lists

_LEAST_RSA: Final = 2048
_LEAST_CURVE: Final = 224


def read_chain(content: bytes) -> list[Certificate]:
    """Return the certificates in a file, one at least; ValueError, worded for the operator, if one cannot be used."""
    try:
        chain = load_pem_x509_certificates(content)
        for certificate in chain:
            certificate.public_key()
    except (ValueError, UnsupportedAlgorithm, InvalidVersion):
        raise ValueError("has no certificate in PEM, or one that cannot be read") from None
    return chain


def read_own_chain(content: bytes) -> list[Certificate]:
    """Return the certificates of a chain that we show; ValueError, worded for the operator, if one cannot be used."""
    chain = read_chain(content)
    try:
        _ = chain[0].extensions  # the names of hosts are among them
    except (ValueError, DuplicateExtension):
        raise ValueError("has a certificate whose extensions cannot be read") from None
    return chain


def read_revocations(content: bytes) -> list[CertificateRevocationList]:
    """Return the revocation lists in a file, one at least; ValueError, worded for the operator, if there is none."""
    try:
        lists = list(revocation_lists(content))
    except (ValueError, UnsupportedAlgorithm, InvalidVersion):
        lists = []
    if not lists:
        raise ValueError("has no revocation list in PEM, or one that cannot be read")
    return lists


def read_key(content: bytes) -> PrivateKeyTypes:
    """Return the private key in a file; ValueError, worded for the operator, if there is none that can be used."""
    try:
        return load_pem_private_key(content, None)
    except TypeError:
        raise ValueError("is protected by a passphrase, which nobody could type at start") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("has no private key in PEM that can be read") from None


def match(certificate: Certificate, key: PrivateKeyTypes) -> bool:
    """Return whether the key is the certificate's."""
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)


def doubts(certificate: Certificate, now: datetime, soon: timedelta) -> Iterator[str]:
    """Yield what is unwise about a certificate, or over ``soon``."""
    name = certificate.subject.rfc4514_string() or f"serial number {certificate.serial_number:x}"
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end < now:
        yield f"{name} expired on {end:%Y-%m-%d}"
    elif begin > now:
        yield f"{name} is not valid before {begin:%Y-%m-%d %H:%M} UTC"
    elif end - now < soon:
        yield f"{name} expires on {end:%Y-%m-%d}, in {(end - now).days} days"
    if weakness := _weakness(certificate):
        yield f"{name} is weak: {weakness}"


def _weakness(certificate: Certificate) -> str:
    """Return what is below the least that is still advised (RFC 9325, 4.5), if anything."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA:
        return f"an RSA key of {key.key_size} bits, where {_LEAST_RSA} is the least"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < _LEAST_CURVE:
        return f"a key of {key.key_size} bits on an elliptic curve, where {_LEAST_CURVE} is the least"
    if (digest := _digest(certificate)) in {"sha1", "md5"} and certificate.issuer != certificate.subject:
        return f"signed with {digest}"
    return ""


def _digest(certificate: Certificate) -> str:
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return ""
    return algorithm.name if algorithm else ""
