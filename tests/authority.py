"""An authority that issues whatever a test needs: for servers and clients, weak, out of time, revoked."""

import ipaddress
from datetime import UTC, datetime, timedelta

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


def ecdsa():
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key(bits=2048):
    return rsa.generate_private_key(65537, bits)


def key_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def subject(**attributes):
    """Return a name of these attributes, in this order: CN, O, OU, UID, E, DC; a list gives several of a kind."""
    kinds = {
        "CN": NameOID.COMMON_NAME,
        "O": NameOID.ORGANIZATION_NAME,
        "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
        "UID": NameOID.USER_ID,
        "E": NameOID.EMAIL_ADDRESS,
        "DC": NameOID.DOMAIN_COMPONENT,
    }
    pairs = [(kinds[name], each) for name, value in attributes.items() for each in _listed(value)]
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in pairs])


def _listed(value):
    return value if isinstance(value, list) else [value]


@frozen
class Issued:
    """A certificate with its key; ``chain`` is sent behind it."""

    leaf: x509.Certificate
    key: object
    chain: tuple = ()

    @property
    def pem(self):
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.leaf, *self.chain))

    @property
    def key_pem(self):
        return key_pem(self.key)


@frozen
class Authority:
    """A root, or below another one."""

    certificate: x509.Certificate
    key: object
    above: tuple = ()

    @classmethod
    def make(cls, name, above=None):
        key = ecdsa()
        issuer = above.certificate.subject if above else subject(CN=name)
        builder = _builder(subject(CN=name), issuer, key, days=30)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        signed = builder.sign(above.key if above else key, hashes.SHA256())
        return cls(signed, key, (signed, *above.above) if above else ())

    @property
    def pem(self):
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(self, name, *, days=10, begins=-60, key=None, emails=(), hosts=(), digest=hashes.SHA256, client=True):
        """Return a certificate for this subject, good from ``begins`` to ``days`` from now.

        With negative ``days`` it ended that long ago, with positive ``begins`` it is not good yet.
        """
        key = key or ecdsa()
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = _builder(name, self.certificate.subject, key, days=days, begins=begins)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        others = [*map(x509.RFC822Name, emails), *map(_host, hosts)]
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
        return Issued(builder.sign(self.key, digest()), key, self.above)

    def revoke(self, *issued, days=5):
        """Return a list that revokes these, in PEM; with negative ``days`` one that is out of date."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(now - 10 * DAY).next_update(now + days * DAY)
        for each in issued:
            entry = x509.RevokedCertificateBuilder().serial_number(each.leaf.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(now - DAY).build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def staple(self, issued, days=5):
        """Return an OCSP response that says that this one is good; with negative ``days`` one that is out of date."""
        now = datetime.now(UTC)
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=issued.leaf,
            issuer=self.certificate,
            algorithm=hashes.SHA256(),
            cert_status=ocsp.OCSPCertStatus.GOOD,
            this_update=now - 10 * DAY,
            next_update=now + days * DAY,
            revocation_time=None,
            revocation_reason=None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, self.certificate)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)


def self_signed(name):
    """Return a certificate that nobody vouches for but itself."""
    key = ecdsa()
    return Issued(_builder(name, name, key, days=10).sign(key, hashes.SHA256()), key)


def _host(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(name, issuer, key, *, days, begins=-60):
    now = datetime.now(UTC)
    begin, end = now + (begins + min(days, 0)) * DAY, now + days * DAY
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
    return builder.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)
