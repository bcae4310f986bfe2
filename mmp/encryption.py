"""TLS with clients, from the configuration: what the zygote makes before it forks, and what each worker adds to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from attrs import define, frozen

from mmp.config.clients import TLS
from mmp.config.load import Loaded
from mmp.config.schema import Config, Listener
from mmp.model import Endpoint, Security, TLSMode
from mmp.net.certificates import Chain, ClientTrust
from mmp.net.tls import FrontSettings, Ring, ServerTLS, front_ring


@frozen
class KeyRing:
    """A ring of front contexts, and the monotonic second in which its first key period began."""

    contexts: Ring
    began: float


def front_settings(config: Config) -> frozenset[FrontSettings]:
    """Return what the listeners with TLS need of their front contexts."""
    return frozenset(
        _front_settings(listener.tls_settings) for listener in config.listener if listener.tls is not TLSMode.NONE
    )


def _front_settings(tls: TLS) -> FrontSettings:
    return FrontSettings(tls.min_version, tls.key_period, tls.ciphers, tls.ciphersuites)


def key_rings(config: Config, known: Mapping[FrontSettings, KeyRing]) -> dict[FrontSettings, KeyRing]:
    """Return the rings for a configuration: those that are known, and new ones for other settings."""
    return {
        settings: known.get(settings) or KeyRing(front_ring(settings), time.monotonic())
        for settings in front_settings(config)
    }


def renewal(then: Loaded, now: Loaded, *, overtaken: bool) -> dict[str, bytes]:
    """Return the files that workers have to know of, who have been told of ``then``; an empty one is not to be trusted.

    With another configuration theirs may not belong together any more. But some of their clients may not have logged in
    yet, so they are told whom to trust; nobody, once they are overtaken by others who trust by other files.
    """
    renewed = _renewal(then, now, overtaken=overtaken)
    return {name: content for name, content in renewed.items() if then.files.get(name) != content}


def _renewal(then: Loaded, now: Loaded, *, overtaken: bool) -> dict[str, bytes]:
    if then.config == now.config:
        return {name: now.files[name] for name in now.renewable}
    trusted = {name for _, *names in _trust(then.config) for name in names if name}
    if _trust(then.config) == _trust(now.config):
        return {name: now.files[name] for name in trusted}
    return dict.fromkeys(trusted, b"") if overtaken else {}


def _trust(config: Config) -> frozenset[tuple[Endpoint, str, str]]:
    """Return by which files of CAs and of revocation lists each listener takes the certificates of clients."""
    return frozenset(
        (listener.endpoint, listener.tls_settings.client_ca, listener.tls_settings.client_crl)
        for listener in config.listener
        if listener.tls is not TLSMode.NONE and listener.tls_settings.client_ca
    )


def trust_told(known: Loaded) -> dict[str, Any]:
    """Return in builtin types by which files clients are trusted, and what workers have been told of these."""
    trust = [(where.host, where.port, ca, crl) for where, ca, crl in _trust(known.config)]
    names = {name for *_, ca, crl in trust for name in (ca, crl) if name in known.files}
    return {"listeners": trust, "files": {name: known.files[name] for name in names}}


def trust_known(told: Mapping[str, Any]) -> Loaded:
    """Return a configuration that has nothing but what ``trust_told`` told: it may be one of another version."""
    listeners = tuple(
        Listener(address=host, port=port, tls=TLSMode.STARTTLS, tls_settings=TLS(client_ca=ca, client_crl=crl))
        for host, port, ca, crl in told["listeners"]
    )
    return Loaded("", Config(listener=listeners), told["files"])


@define(eq=False)
class Accepting:
    """What accepts handshakes with some settings, by what the files hold ``now``."""

    now: ServerTLS


class Encryption:
    """Has what TLS with clients needs; listeners with the same settings share it."""

    def __init__(self, files: Mapping[str, bytes], rings: Mapping[FrontSettings, KeyRing]) -> None:
        """``files`` has what is in those that the settings name."""
        self._files = files
        self._rings = rings
        self._distrusted: set[str] = set()
        self._accepting: dict[TLS, Accepting] = {}

    def prepare(self, tls: TLS) -> Accepting:
        """Return what accepts handshakes with these settings; loading a key takes as long as a thousand logins."""
        if tls not in self._accepting:
            self._accepting[tls] = Accepting(self._make(tls))
        return self._accepting[tls]

    def trusts(self, tls: TLS, security: Security) -> bool:
        """Tell whether a client's certificate is good by now; it was when hands were shaken with these settings."""
        return self._accepting[tls].now.trusts(security)

    def renew(self, fresh: Mapping[str, bytes]) -> None:
        """Use from now on what these files hold now; who is trusted by one that is empty is so no more."""
        self._files = {**self._files, **{name: content for name, content in fresh.items() if content}}
        self._distrusted = {name for name, content in fresh.items() if not content}
        made = [(accepting, self._make(tls)) for tls, accepting in self._accepting.items()]
        for accepting, now in made:
            accepting.now = now

    def _make(self, tls: TLS) -> ServerTLS:
        staple = self._files.get(tls.ocsp_staple, b"")
        first = Chain(self._files[tls.certificate], self._files[tls.private_key], staple)
        others = (Chain(self._files[pair.certificate], self._files[pair.private_key]) for pair in tls.sni)
        settings = _front_settings(tls)
        ring = self._rings[settings]
        return ServerTLS(
            ring.contexts,
            settings,
            [first, *others],
            trust=self._trust(tls),
            period=lambda: int((time.monotonic() - ring.began) / tls.key_period),
        )

    def _trust(self, tls: TLS) -> ClientTrust | None:
        if not tls.client_ca:
            return None
        authorities = b"" if tls.client_ca in self._distrusted else self._files[tls.client_ca]
        revoked = self._files.get(tls.client_crl, b"")
        return ClientTrust(authorities, revoked, require=tls.client_certificate == "require")
