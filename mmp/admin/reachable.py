"""Whether somebody listens where a directory or a store should be: asked only when workers say they are down.

Workers find out by themselves, but only those who get logins; where none come any more, since we are not ready, nobody
would ever find that all is well again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol

from mmp.model import Endpoint

PATIENCE = 2.0
"""Seconds for each attempt to connect."""
MOST = 20
"""Attempts that are made for one answer."""


async def any_reachable(reactor: Any, where: Iterable[Endpoint]) -> bool:
    """Tell whether one of these accepts a connection."""
    attempts = [_connect(reactor, each) for each in list(where)[:MOST]]
    found = [await attempt for attempt in attempts]  # all are under way at once
    return any(found)


def _connect(reactor: Any, where: Endpoint) -> Deferred[bool]:
    factory = Factory.forProtocol(Protocol)
    factory.noisy = False
    connecting = HostnameEndpoint(reactor, where.host, where.port, timeout=PATIENCE).connect(factory)
    return connecting.addCallbacks(_hang_up, lambda _: False)


def _hang_up(protocol: Any) -> bool:
    protocol.transport.abortConnection()
    return True
