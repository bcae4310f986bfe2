"""Which tables and files of a configuration are in use, and which keys they were written under."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from mmp.config.clients import TLS, KeyPair
from mmp.config.schema import Config, Listener
from mmp.config.stores import BackendService
from mmp.model import Service, TLSMode


@frozen
class Origin:
    """Where one listener's values were written: what it gives itself in its own table, the rest in the common ones."""

    path: str
    given: Mapping[str, Any]

    def __call__(self, common: str) -> str:
        """Return the path of the value whose path in the common tables is this one."""
        _, *rest = common.split(".")
        found: Any = self.given
        for key in rest:
            name = key.partition("[")[0]
            if isinstance(found, Mapping) and name not in found:
                return common
            found = found[name] if isinstance(found, Mapping) else found
        return ".".join((self.path, *rest))


@frozen
class Named:
    """A file and the path of the key that names it; ``rests`` are the keys because of which it is needed."""

    path: str
    file: str
    rests: tuple[str, ...] = ()


@frozen
class Pair:
    """A certificate chain and its private key; ``shown`` is how clients are shown them, None if stores are."""

    certificate: Named
    private_key: Named
    shown: TLS | None


@frozen
class Usage:
    """A configuration and where each of its listeners was written."""

    config: Config
    origins: Sequence[Origin]

    def listeners(self) -> Iterator[tuple[Listener, Origin]]:
        """Yield each listener with where it was written."""
        return zip(self.config.listener, self.origins, strict=True)

    def backends(self) -> Iterator[tuple[Service, BackendService, str]]:
        """Yield how stores are reached for each service that is listened for, with the table's path."""
        for service in dict.fromkeys(listener.service for listener in self.config.listener):
            yield service, self.config.backend.reaching(service), f"backend.{service.value}"

    def pairs(self) -> Iterator[Pair]:
        """Yield each certificate with its key."""
        for listener, origin in self.listeners():
            if listener.tls is not TLSMode.NONE:
                yield from _shown_to_clients(listener.tls_settings, origin)
            ldap = listener.directory.ldap
            if listener.directory.kind == "ldap" and ldap.over_tls and (ldap.client_certificate or ldap.private_key):
                keys = (origin(f"directory.ldap.{key}") for key in ("client_certificate", "private_key"))
                files = (ldap.client_certificate, ldap.private_key)
                certificate, key = (Named(*pair, (origin("directory.kind"),)) for pair in zip(keys, files, strict=True))
                yield Pair(certificate, key, None)
        for _, backend, path in self.backends():
            if backend.tls is not TLSMode.NONE and (backend.client_certificate or backend.private_key):
                certificate = Named(f"{path}.client_certificate", backend.client_certificate, (f"{path}.tls",))
                yield Pair(certificate, Named(f"{path}.private_key", backend.private_key, (f"{path}.tls",)), None)

    def authorities(self) -> Iterator[Named]:
        """Yield each file of CA certificates."""
        for listener, origin in self.listeners():
            ldap = listener.directory.ldap
            if listener.directory.kind == "ldap" and ldap.over_tls and ldap.ca:
                rests = (origin("directory.kind"), origin("directory.ldap.urls"), origin("directory.ldap.start_tls"))
                yield Named(origin("directory.ldap.ca"), ldap.ca, rests)
            http = listener.directory.auth_http
            if listener.directory.kind == "auth_http" and http.url.startswith("https:") and http.ca:
                needed = (origin("directory.kind"), origin("directory.auth_http.url"))
                yield Named(origin("directory.auth_http.ca"), http.ca, needed)
        policy = self.config.policy
        if policy.url.startswith("https:") and policy.ca:
            yield Named("policy.ca", policy.ca, ("policy.url",))
        if self.config.shared.scheme == "rediss" and self.config.shared.ca:
            yield Named("shared.ca", self.config.shared.ca, ("shared.url",))
        for _, backend, path in self.backends():
            if backend.tls is not TLSMode.NONE and backend.ca:
                yield Named(f"{path}.ca", backend.ca, (f"{path}.tls",))

    def client_authorities(self) -> Iterator[Named]:
        """Yield each file of CAs for client certificates."""
        return self._of_tls("client_ca")

    def revocations(self) -> Iterator[Named]:
        """Yield each file of revocation lists."""
        return self._of_tls("client_crl")

    def certificate_maps(self) -> Iterator[Named]:
        """Yield each file of rules for client certificates."""
        return self._of_tls("certificate_map")

    def _of_tls(self, key: str) -> Iterator[Named]:
        for listener, origin in self.listeners():
            if listener.tls is not TLSMode.NONE and (file := getattr(listener.tls_settings, key)):
                yield Named(origin(f"tls.{key}"), file, (f"{origin.path}.tls",))

    def staples(self) -> Iterator[Named]:
        """Yield each file with an OCSP response."""
        return self._of_tls("ocsp_staple")

    def toward_clients(self) -> Iterator[Named]:
        """Yield what makes TLS with clients: certificates, keys, and what belongs to them."""
        for pair in self.pairs():
            if pair.shown is not None:
                yield from (pair.certificate, pair.private_key)
        yield from self.staples()
        yield from self.client_authorities()
        yield from self.revocations()

    def toward_others(self) -> Iterator[Named]:
        """Yield what makes TLS with stores and directories."""
        for pair in self.pairs():
            if pair.shown is None:
                yield from (pair.certificate, pair.private_key)
        yield from self.authorities()

    def secrets(self) -> Iterator[Named]:
        """Yield each file that holds a password or a key."""
        yield from self.passwords()
        yield from self.other_secrets()

    def passwords(self) -> Iterator[Named]:
        """Yield each file that holds what is said to somebody."""
        for listener, origin in self.listeners():
            if listener.directory.kind == "ldap" and (file := listener.directory.ldap.bind_password_file):
                yield Named(origin("directory.ldap.bind_password_file"), file, (origin("directory.kind"),))
            if listener.directory.kind == "auth_http" and (file := listener.directory.auth_http.secret_file):
                yield Named(origin("directory.auth_http.secret_file"), file, (origin("directory.kind"),))
            if file := listener.login.admin_password_file:
                yield Named(origin("login.admin_password_file"), file)
        if file := self.config.admin.token_file:
            yield Named("admin.token_file", file)
        if (policy := self.config.policy).url and policy.secret_file:
            yield Named("policy.secret_file", policy.secret_file, ("policy.url",))
        if (shared := self.config.shared).url and shared.password_file:
            yield Named("shared.password_file", shared.password_file, ("shared.url",))

    def other_secrets(self) -> Iterator[Named]:
        """Yield each file that holds a secret of any octets: what is hashed with others, or a plug-in's."""
        for listener, origin in self.listeners():
            yield from _of_plugin(listener, origin)
        if (policy := self.config.policy).url and policy.nonce_file:
            yield Named("policy.nonce_file", policy.nonce_file, ("policy.url",))
        if (shared := self.config.shared).url and shared.key_file:
            yield Named("shared.key_file", shared.key_file, ("shared.url",))

    def notices(self) -> Iterator[Named]:
        """Yield the file of the message that stands in for a maildrop."""
        outage = self.config.outage
        if outage.pop3_spoof == "message":
            yield Named("outage.pop3_spoof_message", outage.pop3_spoof_message, ("outage.pop3_spoof",))

    def users(self) -> Iterator[Named]:
        """Yield each file of users."""
        for listener, origin in self.listeners():
            if listener.directory.kind == "file":
                yield Named(origin("directory.file.path"), listener.directory.file.path, (origin("directory.kind"),))


def _of_plugin(listener: Listener, origin: Origin) -> Iterator[Named]:
    if listener.directory.is_plugin:
        for key, file in listener.directory.plugin_files.items():
            yield Named(origin(f"directory.plugin.{key}"), file, (origin("directory.kind"),))


def _shown_to_clients(settings: TLS, origin: Origin) -> Iterator[Pair]:
    more = {f"tls.sni[{number}]": pair for number, pair in enumerate(settings.sni, 1)}
    pairs: dict[str, TLS | KeyPair] = {"tls": settings, **more}
    rests = (f"{origin.path}.tls",)
    for table, pair in pairs.items():
        certificate = Named(origin(f"{table}.certificate"), pair.certificate, rests)
        yield Pair(certificate, Named(origin(f"{table}.private_key"), pair.private_key, rests), settings)
