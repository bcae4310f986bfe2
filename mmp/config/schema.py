"""What a configuration holds: one frozen class per table, one documented field per key; here all are put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from attrs import field, frozen

from mmp.config.clients import TLS, Login
from mmp.config.directory import Directory
from mmp.config.kinds import Between, Duration, HostName, Listening, Network, OptionalDuration, Port
from mmp.config.limits import Access, Limits, Throttle
from mmp.config.operators import Admin, Log
from mmp.config.policy import Policy
from mmp.config.sharing import Shared
from mmp.config.stores import Backend, Outage, Pool
from mmp.model import Endpoint, Service, TLSMode

OVERRIDABLE: Final = {"login": "login", "tls_settings": "tls", "directory": "directory"}
"""Attributes of a listener for which it takes the keys of a common table, which is the second name."""


@frozen(kw_only=True)
class Listener:
    """``[[listener]]``: one address and port that clients connect to.

    ``login``, ``tls_settings`` and ``directory`` are complete: the common tables with what this listener overrides.
    """

    service: Service = Service.IMAP
    """Protocol spoken."""

    address: Listening = "0.0.0.0"  # noqa: S104 - the documented default
    """Address to listen at; "::" means every IPv6 address. Or "unix:PATH", or "systemd:NAME"."""

    port: Port = 143
    """TCP port; of no meaning for "unix:" and "systemd:"."""

    tls: TLSMode = TLSMode.STARTTLS
    """How connections are encrypted."""

    proxy_protocol_from: tuple[Network, ...] = ()
    """Networks, of load balancers, whose connections must begin with a PROXY header, version 1 or 2."""

    login: Login = field(factory=Login)
    tls_settings: TLS = field(factory=TLS)
    directory: Directory = field(factory=Directory)

    @property
    def takes_certificates(self) -> bool:
        """Whether clients can log in by a certificate."""
        return (
            self.tls is not TLSMode.NONE and bool(self.tls_settings.client_ca) and "EXTERNAL" in self.login.mechanisms
        )

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        where = Endpoint(self.address, self.port)
        return Endpoint(self.address, 0) if where.is_named else where


@frozen(kw_only=True)
class Config:
    """The whole file. File names are absolute once it is loaded; it holds no secret."""

    hostname: HostName = "mail.example.com"
    """Our name in greetings."""

    workers: Annotated[int, Between(0, 1024)] = 1
    """Worker processes; 0 means one for each core."""

    shutdown_grace: Duration = 30.0
    """How long sessions may go on after SIGTERM."""

    drain_timeout: OptionalDuration = None
    """How long replaced workers may keep their sessions; empty means until the last one ends."""

    listener: tuple[Listener, ...] = (Listener(),)
    tls: TLS = field(factory=TLS)
    """Toward clients."""

    login: Login = field(factory=Login)
    """Logging in."""

    directory: Directory = field(factory=Directory)
    """Looking users up."""

    backend: Backend = field(factory=Backend)
    """The stores."""

    pool: Mapping[str, Pool] = field(factory=dict, hash=False)
    """Stores that share users."""

    limits: Limits = field(factory=Limits)
    """How many sessions there may be."""

    throttle: Throttle = field(factory=Throttle)
    """Slowing down those who guess."""

    shared: Shared = field(factory=Shared)
    """Counting over several hosts."""

    access: Access = field(factory=Access)
    """Who may connect."""

    policy: Policy = field(factory=Policy)
    """Having somebody else judge logins."""

    outage: Outage = field(factory=Outage)
    """When a store is away."""

    admin: Admin = field(factory=Admin)
    """Administration."""

    log: Log = field(factory=Log)
    """The log."""
