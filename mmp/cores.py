"""What each protocol brings with it: the worker's table of cores, and what these are told of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from attrs import frozen

from mmp.config.schema import Config
from mmp.interfaces import ClientCore, Guard, Meter, ServerCore
from mmp.model import Refusal, Service, TLSMode
from mmp.wire.events import LoggedIn
from mmp.wire.imap.client import Client as IMAPClient
from mmp.wire.imap.guard import guard as imap_guard
from mmp.wire.imap.server import Server as IMAPServer
from mmp.wire.managesieve.client import Client as ManageSieveClient
from mmp.wire.managesieve.guard import guard as managesieve_guard
from mmp.wire.managesieve.server import Server as ManageSieveServer
from mmp.wire.pop3.client import Client as POP3Client
from mmp.wire.pop3.maildrop import Maildrop, message
from mmp.wire.pop3.server import Server as POP3Server
from mmp.wire.submission.client import Client as SubmissionClient
from mmp.wire.submission.guard import guard as submission_guard
from mmp.wire.submission.server import Server as SubmissionServer


@frozen
class Cores:
    """A protocol's two sides, and what may have to watch over a session after the login."""

    server: Callable[..., ServerCore]
    client: Callable[..., ClientCore]
    alpn: bytes = b""
    """The protocol's name in TLS (RFC 7301), if it has one."""
    guard: Callable[[LoggedIn, Meter | None], Guard | None] | None = None


CORES: Mapping[Service, Cores] = {
    Service.IMAP: Cores(IMAPServer, IMAPClient, b"imap", lambda logged_in, _: imap_guard(logged_in)),
    Service.POP3: Cores(POP3Server, POP3Client, b"pop3"),
    Service.SUBMISSION: Cores(SubmissionServer, SubmissionClient, guard=submission_guard),
    Service.MANAGESIEVE: Cores(
        ManageSieveServer, ManageSieveClient, b"managesieve", lambda logged_in, _: managesieve_guard(logged_in)
    ),
}

GUARDS = {service: cores.guard for service, cores in CORES.items() if cores.guard is not None}

METERED = Service.SUBMISSION
"""The service of which messages and recipients are counted."""

SURVEYED = Service.SUBMISSION
"""The service whose stores are relays, which all users share: they are asked what they offer before anybody logs in."""


def server_core(service: Service, config: Config) -> Callable[..., ServerCore]:
    """Return what makes the side toward a client, given what is this connection's own."""
    own = {"alert": config.outage.imap_alert} if service is Service.IMAP else {}
    return partial(CORES[service].server, hostname=config.hostname, **own)


def client_core(service: Service, config: Config) -> Callable[[], ClientCore]:
    """Return what makes the side toward a store."""
    if service is SURVEYED:
        return relay_core(config)
    return partial(CORES[service].client, starttls=config.backend.reaching(service).tls is TLSMode.STARTTLS)


def relay_core(config: Config) -> Callable[[], SubmissionClient]:
    """Return what makes the side toward a relay, which can be asked without a login what it offers."""
    starttls = config.backend.reaching(SURVEYED).tls is TLSMode.STARTTLS
    return partial(SubmissionClient, starttls=starttls, hostname=config.hostname)


def stand_in(service: Service, config: Config, files: Mapping[str, bytes]) -> Callable[[], Maildrop] | None:
    """Return what makes a mailbox for clients whose store is away, None if they are given an error."""
    outage = config.outage
    if service is not Service.POP3 or outage.pop3_spoof == "none":
        return None
    notice = message(files[outage.pop3_spoof_message]) if outage.pop3_spoof == "message" else b""
    return partial(Maildrop, notice)


def stood_in_for(config: Config) -> tuple[Refusal, ...]:
    """Return the refusals in place of which clients are given that mailbox."""
    on_hold = (Refusal.ACCOUNT_ON_HOLD,) if config.outage.pop3_spoof_on_hold else ()
    return (Refusal.BACKEND_UNAVAILABLE, *on_hold)
