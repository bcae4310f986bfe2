"""A certificate authority in files, for proxies, stores and clients."""

from pathlib import Path

from attrs import frozen

from mmp.demo.certificates import Authority

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@frozen
class KeyPair:
    """The paths of a certificate and of its key."""

    certificate: Path
    key: Path


@frozen
class Certificates:
    """Issues certificates into a directory; ``ca`` is the path of the root's."""

    directory: Path
    authority: Authority

    @classmethod
    def make(cls, directory):
        """Return a new authority that keeps its files there."""
        made = cls(directory, Authority.make("Authority of the tests"))
        made.ca.write_bytes(made.authority.pem)
        return made

    @property
    def ca(self):
        """What a client has to trust."""
        return self.directory / "ca.pem"

    def issue(self, *names, days=30):
        """Return a new certificate for these names; with negative ``days`` an expired one."""
        issued = self.authority.issue(names, days=days)
        stem = f"{len(list(self.directory.iterdir()))}-{names[0]}"
        pair = KeyPair(self.directory / f"{stem}.pem", self.directory / f"{stem}.key")
        pair.certificate.write_bytes(issued.certificate)
        pair.key.touch(mode=0o600)
        pair.key.write_bytes(issued.key)
        return pair
