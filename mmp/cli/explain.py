"""``mmp explain``: shows what would happen to a login."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mmp.authenticators import Authenticators
from mmp.cli.command import Command
from mmp.cli.terminal import interruptible, say
from mmp.cli.walk import Attempt, walk
from mmp.config.load import Loaded, load
from mmp.config.schema import Listener
from mmp.errors import ConfigError, Refused
from mmp.model import CLEAR, Client, Endpoint, Security, Service, TLSMode
from mmp.net.loop import Loop
from mmp.net.reactor import LeanReactor
from mmp.net.resolve import Resolver
from mmp.net.wheel import Wheel
from mmp.observe.log import Silent
from mmp.observe.metrics import Counts
from mmp.policy.pattern import address_of


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
        for mistake in error.mistakes:
            say(f"error: {mistake}", sys.stderr)
        return 1
    service = Service(arguments.service)
    listener = next((each for each in loaded.config.listener if each.service is service), None)
    if listener is None:
        print(f"error: nobody listens for {service.value}", file=sys.stderr)
        return 1
    return _explain(loaded, listener, arguments.address, arguments.user)


def _address(text: str) -> str:
    try:
        return str(address_of(text))
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
    with interruptible():
        reactor.run(installSignalHandlers=False)
    (status,) = outcome
    if isinstance(status, Failure):
        status.raiseException()
    return int(status)


def _client(listener: Listener, address: str) -> Client:
    """Return a client as it may be at best: where there is TLS, it has begun."""
    security = CLEAR if listener.tls is TLSMode.NONE else Security("TLSv1.3", "any", 256)
    local = Endpoint("127.0.0.1", 0) if listener.endpoint.is_named else listener.endpoint
    return Client("explain", listener.service, Endpoint(address, 0), local, security)


async def _walk(reactor: LeanReactor, loaded: Loaded, listener: Listener, client: Client, user: str) -> int:
    loop = Loop(reactor, Wheel(reactor))
    resolver, pools = Resolver(reactor, loop.wheel), loaded.config.pool
    parts = Authenticators(loaded.files, pools, reactor, loop, resolver, log=Silent(), counts=Counts())
    try:
        async for step, found in walk(Attempt(loaded, listener, client, user, reactor, parts)):
            _show(step, found)
    except Refused as refused:
        _show("refused", f"{refused.refusal.value}: {refused.reason}")
        return 1
    return 0


def _show(step: str, found: str) -> None:
    say(f"{step:<9} {found}")


EXPLAIN = Command(
    "explain",
    "Show step by step what would happen to a login; no password is needed.",
    add_arguments,
    run,
    """
    mmp explain /etc/mmp/mmp.toml alice@example.com
    mmp explain /etc/mmp/mmp.toml alice@example.com --service pop3 --from 192.0.2.7
    """,
)
