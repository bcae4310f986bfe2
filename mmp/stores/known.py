"""What all stores are known to offer, so that it can be offered to clients of whose store nothing is known yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from attrs import define, field
from twisted.logger import Logger
from twisted.python.failure import Failure

from mmp.interfaces import ClientCore, Log
from mmp.model import Service
from mmp.net.channel import Channel
from mmp.net.running import Running
from mmp.net.wheel import Deadline
from mmp.stores.dial import Dial, StoreError

STORES_LIMIT = 1000
"""Stores remembered; of more, those heard of last."""

INTERVAL = 600.0
"""Seconds after which stores are asked again; a login tells the same in between."""


class Asked(ClientCore, Protocol):
    """A core that can be used without a login."""

    def log_out(self) -> None:
        """Queue a goodbye, after Ready."""


@define(eq=False)
class Known:
    """The capabilities of each store, and those that all have, in the words of the one heard of last.

    Of SIZE the least counts (RFC 1870, 4); of any other with parameters only what is the same everywhere.
    """

    common: tuple[bytes, ...] = field(default=(), init=False)
    mechanisms: frozenset[bytes] | None = field(default=None, init=False)
    """The SASL mechanisms that all have; None as long as nothing was heard of any."""
    _by_host: dict[str, tuple[tuple[bytes, ...], frozenset[bytes]]] = field(factory=dict, init=False)

    def learn(self, host: str, capabilities: tuple[bytes, ...], mechanisms: frozenset[bytes]) -> None:
        """Remember what a store offers."""
        if self._by_host.get(host) == (capabilities, mechanisms):
            return
        self._by_host.pop(host, None)
        self._by_host[host] = capabilities, mechanisms
        if len(self._by_host) > STORES_LIMIT:
            del self._by_host[next(iter(self._by_host))]
        self.common = _common(capabilities, [lines for lines, _ in self._by_host.values()])
        self.mechanisms = mechanisms.intersection(*(names for _, names in self._by_host.values()))

    def takes(self, mechanism: str) -> bool:
        """Tell whether all stores take a mechanism, as far as is known: nothing is of stores not heard of yet."""
        return self.mechanisms is None or mechanism.encode("ascii") in self.mechanisms


def _common(lines: Sequence[bytes], stores: Sequence[Sequence[bytes]]) -> tuple[bytes, ...]:
    sizes = [_size(store) for store in stores]
    offered = [frozenset(store) for store in stores]
    found = (line for line in lines if _size((line,)) is None and all(line in store for store in offered))
    least = min((size for size in sizes if size), default=0)
    size = () if None in sizes else (b"SIZE %d" % least if least else b"SIZE",)
    return (*found, *size)


def _size(lines: Sequence[bytes]) -> int | None:
    """Return the number behind SIZE, 0 if there is no limit, None if there is no SIZE."""
    for line in lines:
        keyword, _, parameter = line.upper().partition(b" ")
        if keyword == b"SIZE":
            return int(parameter) if parameter.isdigit() and len(parameter) <= 20 else 0  # noqa: PLR2004 - RFC 1870, 4
    return None


@define(eq=False)
class Survey:
    """Asks the stores that are configured what they offer, before somebody logs in."""

    dial: Dial
    service: Service
    hosts: Sequence[str]
    known: Known
    make_core: Callable[[], Asked]
    log: Log
    _log: ClassVar = Logger()

    def start(self) -> None:
        """Ask all of them now, and again every now and then."""
        for host in self.hosts:
            Running(self.ask(host), self._asked).go_on()
        Deadline(self.dial.wheel, INTERVAL, self.start)

    def _asked(self, error: BaseException | None) -> None:
        if error is not None:
            self._log.failure("unexpected error when a relay was asked what it offers", Failure(error))

    async def ask(self, host: str) -> None:
        """Connect, listen, say goodbye; a store that is away is told to the log alone."""
        core = self.make_core()
        channel = Channel(core, self.dial.handshake(host))
        try:
            await self.dial.make_ready(None, host, channel, core)
            self.known.learn(host, core.capabilities, core.mechanisms)
            core.log_out()
            channel.write(core.data_to_send())
        except StoreError as error:
            self.log.event(
                "backend", "warn", result="failed", service=self.service, backend=host, reason=f"{core.phase}: {error}"
            )
        except BaseException:
            channel.abort()
            raise
        channel.close()
