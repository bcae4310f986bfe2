"""Addresses to host names, believed only if the name leads back to the address; asked in threads of their own.

Those who come decide how slow their name servers are, which must not keep the stores' names from being looked up.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

PATIENCE: Final = 3.0
"""Seconds that a client waits at the door for its name."""
THREADS: Final = 20
UNDER_WAY: Final = 500
"""Addresses asked about at a time; of more, nothing is known."""
REMEMBER: Final = 300.0
REMEMBER_DOUBT: Final = 30.0
"""Seconds, if nothing was found out."""
MOST: Final = 10_000
"""Addresses remembered."""

Name = str | None
"""Empty if the address has none; None if it is not known, or leads to another address."""


class HostNames:
    """Looks each address up once for all who ask at the same time."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._threads = ThreadPool(minthreads=0, maxthreads=THREADS, name="host names")
        self._known: OrderedDict[str, tuple[float, Name]] = OrderedDict()
        self._asked: dict[str, list[Deferred[Name]]] = {}

    async def name(self, address: str) -> Name:
        """Return the name of an address, in time."""
        until, name = self._known.get(address, (0.0, None))
        if self._reactor.seconds() < until:
            return name
        if address not in self._asked and len(self._asked) >= UNDER_WAY:
            return None
        return await self._look_up(address).addTimeout(PATIENCE, self._reactor, lambda *_: None)

    def _look_up(self, address: str) -> Deferred[Name]:
        asking = address in self._asked
        waiters = self._asked.setdefault(address, [])
        waiting: Deferred[Name] = Deferred(waiters.remove)
        waiters.append(waiting)
        if not asking:
            if not self._threads.started:
                self._threads.start()
            looking = deferToThreadPool(self._reactor, self._threads, _system_name, address)
            looking.addBoth(self._found, address)
        return waiting

    def _found(self, result: Name | Failure, address: str) -> None:
        name = None if isinstance(result, Failure) else result
        self._known[address] = self._reactor.seconds() + (REMEMBER_DOUBT if name is None else REMEMBER), name
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        waiters = self._asked.pop(address)
        while waiters:  # one that is called may cancel another, which then leaves the list
            waiters.pop(0).callback(name)

    def close(self) -> None:
        """Wait for the threads; a worker, which ends with all of its threads, need not."""
        if self._threads.started:
            self._threads.stop()


def _system_name(address: str) -> Name:
    try:
        name, _ = socket.getnameinfo((address, 0), socket.NI_NAMEREQD)
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            return ""
        raise
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    leads_back = any(each[4][0] == address for each in found)
    return name.rstrip(".").lower() if leads_back else None
