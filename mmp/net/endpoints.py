"""Where a program that is no mail store is reached, with TLS on Twisted's own transport."""

from __future__ import annotations

from typing import Any

import service_identity
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import Certificate, optionsForClientTLS, platformTrust, trustRootFromCertificates
from twisted.python.failure import Failure

from mmp.model import Endpoint


def clear(reactor: Any, where: Endpoint) -> IStreamClientEndpoint:
    """Return an endpoint without TLS."""
    return HostnameEndpoint(reactor, where.host, where.port)


def encrypted(reactor: Any, where: Endpoint, ca: bytes) -> IStreamClientEndpoint:
    """Return one whose certificate has to be of these CAs, or of those that the system trusts, and for its name."""
    trust = platformTrust()
    if ca:
        authorities = [each.public_bytes(Encoding.PEM) for each in x509.load_pem_x509_certificates(ca)]
        trust = trustRootFromCertificates([Certificate.loadPEM(each) for each in authorities])
    return wrapClientTLS(optionsForClientTLS(where.host, trustRoot=trust), clear(reactor, where))


def why_ended(why: Failure) -> str:
    """Return in words why a connection has ended."""
    if why.check(ConnectionDone, ConnectionLost, ConnectionAborted):
        return "the connection was closed"
    if why.check(service_identity.VerificationError, service_identity.CertificateError):
        return "TLS: the certificate is not for this name"
    if why.check(SSL.Error):
        (reasons,) = getattr(why.value, "args", ()) or ([],)
        return "TLS: " + ("; ".join(reason for *_, reason in reasons) or "it gives no reason")
    return why.getErrorMessage()
