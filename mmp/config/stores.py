"""Where mail lives and goes: the tables of stores, of pools of them, and of what clients see while one is away."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from mmp.config.kinds import Alert, Duration, File, HostName, Network, OptionalAddress, Port, Positive, Timeout
from mmp.model import Service, TLSMode


@frozen(kw_only=True)
class BackendService:
    """``[backend.imap]`` and the like: how to reach a store for one service."""

    port: Port = 143
    """Port on the store."""

    tls: TLSMode = TLSMode.NONE
    """How the connection is encrypted."""

    ca: File = ""
    """CA certificates in PEM that may have signed the store's; empty means the system's trust."""

    verify: bool = True
    """Whether the store's certificate must be valid and name the mailHost (RFC 6125)."""

    client_certificate: File = ""
    """Certificate chain in PEM that we show the store; empty means none."""

    private_key: File = ""
    """Private key in PEM of client_certificate."""

    client_address: Literal["none", "id", "xclient", "proxy-v1", "proxy-v2"] = "none"
    """How the store is told the client's address: not at all, in ID (IMAP), in XCLIENT (others), in a PROXY header."""

    connect_timeout: Timeout = 10.0
    """For TCP, TLS and greeting together."""

    max_connecting: Positive = 32
    """Connections being made to one store at a time; more are refused for now."""

    idle_timeout: Timeout = 1800.0
    """How long a logged-in session may be silent; at least 30m for IMAP and ManageSieve, 10m for the others."""

    hosts: tuple[HostName, ...] = ()
    """For submission: relays, each used in its turn instead of the user's mailHost; empty means none."""


@frozen(kw_only=True)
class Backend:
    """``[backend]``: the stores."""

    networks: tuple[Network, ...] = ()
    """Where stores may be; empty means anywhere."""

    retry_after: Duration = 30.0
    """How long an address of a store that failed is tried only after its others."""

    login_timeout: Timeout = 30.0
    """For the store's answer to the login."""

    source_address: OptionalAddress = ""
    """Address to connect from; empty means what the system chooses."""

    imap: BackendService = BackendService()
    """How to reach a store for IMAP."""

    pop3: BackendService = BackendService(port=110)
    """How to reach a store for POP3."""

    submission: BackendService = BackendService(port=587)
    """How to reach a relay for submission."""

    managesieve: BackendService = BackendService(port=4190)
    """How to reach a store for ManageSieve."""

    def reaching(self, service: Service) -> BackendService:
        """Return the table for a service."""
        table: BackendService = getattr(self, service.value)
        return table


@frozen(kw_only=True)
class Pool:
    """``[pool.NAME]``: stores that share users, for the mailHost ``pool:NAME``."""

    hosts: tuple[HostName, ...] = ()
    """Stores; each user is always on the same of them."""


@frozen(kw_only=True)
class Outage:
    """``[outage]``: what clients see while a store is away."""

    imap_alert: Alert = "Your mail store is temporarily out of service."
    """What an IMAP client is asked to show its user, at most 400 characters of ASCII; empty means nothing."""

    pop3_spoof: Literal["none", "empty", "message"] = "none"
    """What a POP3 client is given instead of an error: nothing, a maildrop without mail, or one with one message."""

    pop3_spoof_message: File = ""
    """File with that message, header and body (RFC 822), at most 64 KiB."""

    pop3_spoof_on_hold: bool = False
    """Whether a POP3 user whose account or domain is on hold for now is given the same, whatever the password."""
