"""TLS with clients, from the configuration: what the zygote makes before it forks, and what each worker adds to it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping

from attrs import frozen

from mmp.config.clients import TLS
from mmp.config.schema import Config
from mmp.model import Security, TLSMode
from mmp.net.certificates import Chain, ClientTrust
from mmp.net.stream import Stream
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


class Encryption:
    """Starts TLS with clients; listeners with the same settings share what these need."""

    def __init__(self, files: Mapping[str, bytes], rings: Mapping[FrontSettings, KeyRing]) -> None:
        """``files`` has what is in those that the settings name."""
        self._files = files
        self._rings = rings
        self._made: dict[TLS, ServerTLS] = {}

    def prepare(self, tls: TLS) -> None:
        """Be ready to start with these settings; loading a key takes as long as a thousand logins."""
        if tls not in self._made:
            self._made[tls] = self._make(tls)

    def start(self, tls: TLS, stream: Stream, protocol: bytes) -> Awaitable[Security]:
        """Shake hands with a client; the settings have been prepared."""
        return self._made[tls].start(stream, protocol)

    def renew(self, fresh: Mapping[str, bytes]) -> None:
        """Show clients from now on what these files hold now."""
        self._files = {**self._files, **fresh}
        self._made = {tls: self._make(tls) for tls in self._made}

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
        revoked = self._files.get(tls.client_crl, b"")
        return ClientTrust(self._files[tls.client_ca], revoked, require=tls.client_certificate == "require")
