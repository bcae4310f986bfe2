"""Certificates and keys in PEM: whether they can be used at all."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates


def read_chain(content: bytes) -> list[Certificate]:
    """Return the certificates in a file, one at least; ValueError, worded for the operator, if there is none."""
    try:
        return load_pem_x509_certificates(content)
    except ValueError:
        raise ValueError("has no certificate in PEM that can be read") from None


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
