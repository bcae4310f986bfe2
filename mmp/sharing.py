"""Makes what hosts share, from the configuration; a store's client is loaded only where there is such a store."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Any

from attrs import field, frozen

from mmp.config.files import read_secret
from mmp.config.load import Loaded
from mmp.config.sharing import Shared
from mmp.interfaces import Log
from mmp.net import endpoints
from mmp.shared.hosts import Hosts, Terms
from mmp.shared.local import Home
from mmp.shared.names import Names
from mmp.shared.others import Elsewhere, Nobody
from mmp.shared.store import Store


@frozen
class _Settings:
    """All that it depends on, secrets included."""

    shared: Shared
    ca: bytes
    password: bytes | None = field(repr=False)
    key: bytes = field(repr=False)

    @classmethod
    def of(cls, loaded: Loaded) -> _Settings:
        """Return those of a configuration."""
        shared, files = loaded.config.shared, loaded.files
        password = read_secret(files[shared.password_file]) if shared.password_file else None
        key = read_secret(files[shared.key_file]) if shared.key_file else b""
        return cls(shared, files.get(shared.ca, b""), password, key)


class Sharing:
    """Keeps a home in step with those of other hosts, if there are any."""

    def __init__(self, reactor: Any, home: Home, log: Log, elsewhere: Elsewhere) -> None:
        """``elsewhere`` is told what is banned and kicked at other hosts."""
        self._reactor = reactor
        self._home = home
        self._log = log
        self._elsewhere = elsewhere
        self.host = secrets.token_hex(6)
        """What this host is called in a store: it stays so while the workers live that hold something there."""
        self._settings: _Settings | None = None
        self._hosts: Hosts | None = None

    def use(self, loaded: Loaded) -> None:
        """Share as a configuration says; nothing happens if that is the present state."""
        settings = _Settings.of(loaded)
        if settings == self._settings:
            return
        self.stop()
        self._settings = settings
        if settings.key:
            self._home.key = hashlib.blake2b(settings.key, digest_size=32).digest()
        if settings.shared.url:
            shared = settings.shared
            terms = Terms(shared.prefix, shared.lease, shared.on_failure == "refuse")
            store = store_of(self._reactor, loaded, self.host)
            self._home.others = self._hosts = Hosts(
                self._reactor, store, self._home, self._log, terms, elsewhere=self._elsewhere
            )
            self._hosts.start()

    def stop(self) -> None:
        """Be alone from now on."""
        self._settings = None
        self._home.others = Nobody(time.monotonic)
        if self._hosts is not None:
            self._hosts.stop()
            self._hosts = None

    @property
    def why(self) -> str:
        """Why other hosts cannot be asked; empty if they can, or if there are none."""
        return "" if self._hosts is None else self._hosts.why


def store_of(reactor: Any, loaded: Loaded, host: str) -> Store:
    """Return the store that a configuration names, not connected; ``host`` is what we are called there."""
    return _STORES[loaded.config.shared.scheme](reactor, _Settings.of(loaded), host)


def _redis(reactor: Any, settings: _Settings, host: str) -> Store:
    from mmp.shared.redis import Access, RedisStore  # noqa: PLC0415 - brings a library that not everybody has

    shared = settings.shared
    channel, *_ = Names(shared.prefix).news
    access = Access(shared.user, settings.password, shared.database, channel.decode())
    endpoint = (
        endpoints.encrypted(reactor, shared.endpoint, settings.ca)
        if shared.scheme == "rediss"
        else endpoints.clear(reactor, shared.endpoint)
    )
    return RedisStore(reactor, endpoint, access, host, shared.lease)


def _memcached(reactor: Any, settings: _Settings, host: str) -> Store:
    from mmp.shared.memcached import MemcachedStore  # noqa: PLC0415 - likewise, a client is loaded where it is used

    endpoint = endpoints.clear(reactor, settings.shared.endpoint)
    return MemcachedStore(reactor, endpoint, host, settings.shared.lease, time.time)


_STORES: dict[str, Callable[[Any, _Settings, str], Store]] = {
    "redis": _redis,
    "rediss": _redis,
    "memcached": _memcached,
}
