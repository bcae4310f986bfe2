"""``mmp explain``: shows what would happen to a login."""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mmp.authenticators import Authenticators
from mmp.cli.command import Command
from mmp.config.load import Loaded, load
from mmp.config.schema import Config, Listener
from mmp.directory.explain import explain
from mmp.errors import ConfigError, Refused
from mmp.model import CLEAR, Client, Endpoint, Refusal, Security, Service, TLSMode
from mmp.net.access import AccessDoor
from mmp.net.reactor import LeanReactor
from mmp.net.resolve import Resolver
from mmp.net.reverse import HostNames
from mmp.net.stream import Loop
from mmp.net.wheel import Wheel
from mmp.observe.log import Silent
from mmp.observe.metrics import Counts
from mmp.policy.admission import OpenDoor
from mmp.shared.kept_bans import read as read_bans


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", metavar="CONFIG", help="the configuration file, such as /etc/mmp/mmp.toml")
    parser.add_argument("user", metavar="USER", help="the name as it would be typed")
    services = [service.value for service in Service]
    parser.add_argument("--service", choices=services, default="imap", help="the service, imap unless given")
    parser.add_argument(
        "--from", dest="address", metavar="ADDRESS", type=_address, default="127.0.0.1", help="the client's address"
    )


def run(arguments: Namespace) -> int:
    """Print the steps, and on standard error why it cannot be said."""
    try:
        loaded = load(arguments.config)
    except ConfigError as error:
        print("\n".join(f"error: {mistake}" for mistake in error.mistakes), file=sys.stderr)
        return 1
    service = Service(arguments.service)
    listener = next((each for each in loaded.config.listener if each.service is service), None)
    if listener is None:
        print(f"error: nobody listens for {service.value}", file=sys.stderr)
        return 1
    if listener.directory.kind == "auth_http":
        print("error: an auth_http server says nothing without the password", file=sys.stderr)
        return 1
    return _explain(loaded, listener, arguments.address, arguments.user)


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not an address") from None


def _explain(loaded: Loaded, listener: Listener, address: str, user: str) -> int:
    reactor: Any = LeanReactor()
    outcome: list[Any] = []

    def begin() -> None:
        walking = Deferred.fromCoroutine(_walk(reactor, loaded, listener, _client(listener, address), user))
        walking.addBoth(outcome.append)
        walking.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    (status,) = outcome
    if isinstance(status, Failure):
        status.raiseException()
    return int(status)


def _client(listener: Listener, address: str) -> Client:
    """Return a client as it may be at best: where there is TLS, it has begun."""
    security = CLEAR if listener.tls is TLSMode.NONE else Security("TLSv1.3", "any", 256)
    return Client("explain", listener.service, Endpoint(address, 0), listener.endpoint, security)


async def _walk(reactor: LeanReactor, loaded: Loaded, listener: Listener, client: Client, user: str) -> int:
    config, loop = loaded.config, Loop(reactor, Wheel(reactor))
    resolver = Resolver(reactor, loop.wheel)
    parts = Authenticators(loaded.files, config.pool, reactor, loop, resolver, log=Silent(), counts=Counts())
    _show("listener", f"{listener.service.value} at {listener.endpoint}, tls {listener.tls.value}")
    if (why := await _kept_out(reactor, config, listener, client)) is not None:
        _show("refused", why)
        return 1
    try:
        async for step, found in explain(parts.locator(listener), client, user):
            _show(step, found)
    except Refused as refused:
        _show("refused", f"{refused.refusal.value}: {refused.reason}")
        return 1
    how, networks = config.backend.reaching(listener.service), ", ".join(map(str, config.backend.networks))
    _show("backend", f"port {how.port}, tls {how.tls.value}, in {networks or 'any network'}")
    return 0


async def _kept_out(reactor: LeanReactor, config: Config, listener: Listener, client: Client) -> str | None:
    """Show what is said at the door; return why the client does not get past it, if so."""
    address = ip_address(client.address.host)
    path = config.admin.state_path(os.environ)
    try:
        bans = read_bans(path, time.time())
    except (OSError, ValueError) as error:
        _show("bans", f"{path} cannot be read: {error}")
        bans = []
    for ban in bans:
        if address.version == ban.network.version and address in ban.network:
            return f"{Refusal.BANNED.value}: ban: {ban.network}{ban.reason and ', ' + ban.reason}"
    if config.access.allow or config.access.deny:
        names = HostNames(reactor)
        name = names.name if config.access.reverse_dns else None
        try:
            await AccessDoor(config.access.rules, listener.tls, name, OpenDoor()).admit(client, lambda: False)
        except Refused as refused:
            return f"{refused.refusal.value}: {refused.reason}"
        finally:
            names.close()
        _show("access", "the rules at the door let the client in")
    return None


def _show(step: str, found: str) -> None:
    print(f"{step:<9} {found}")


EXPLAIN = Command(
    "explain",
    "Show step by step what would happen to a login; no password is needed.",
    add_arguments,
    run,
)
