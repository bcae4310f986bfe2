"""A folder of files as a configuration names them, with certificates made on the spot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from mmp.config.load import Loaded, load
from mmp.errors import ConfigError

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def key_pem(key: CertificateIssuerPrivateKeyTypes, passphrase: str = "") -> bytes:
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def certificate_pem(
    key: CertificateIssuerPrivateKeyTypes,
    *,
    begin: datetime = NOW - timedelta(days=1),
    end: datetime = NOW + timedelta(days=90),
    name: str = "mail.example.com",
) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(begin).not_valid_after(end)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


@frozen
class Folder:
    path: Path

    def write(self, name: str, content: bytes | str, mode: int = 0o600) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(mode)
        return file

    def pair(self, certificate: str, private_key: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self.write(private_key, key_pem(key))
        self.write(certificate, certificate_pem(key))

    def load(self, toml: bytes | str) -> Loaded:
        return load(str(self.write("mmp.toml", toml)))

    def mistakes(self, toml: bytes | str) -> list[str]:
        try:
            self.load(toml)
        except ConfigError as error:
            return [mistake.replace(str(self.path), "DIR") for mistake in error.mistakes]
        return []
