"""What monitoring is told of the proxy: its metrics, whether it lives, and whether logins can succeed."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any, Protocol

from attrs import define, field

from mmp import __version__
from mmp.admin.http import Page, Reply, judged, metrics, plain
from mmp.admin.reachable import any_reachable
from mmp.admin.state import State
from mmp.model import Endpoint
from mmp.observe.exposition import exposition
from mmp.observe.metrics import Counts, Key
from mmp.shared.asking import Asked, Question


class Proxy(Protocol):
    """What the supervisor lets monitoring know."""

    @property
    def draining(self) -> bool:
        """Whether it is ending."""

    @property
    def badguys(self) -> int:
        """How many addresses are remembered as bad."""

    @property
    def apart(self) -> str:
        """Why other hosts that count together with this one cannot be asked; empty if they can."""

    @property
    def serving(self) -> int:
        """How many workers accept connections."""

    @property
    def directories(self) -> Collection[Endpoint]:
        """The servers that keep the directory; none if it needs none."""

    def store_port(self, service: str, /) -> int:
        """Return the port of stores for a service."""

    def seconds_left(self) -> Mapping[str, float]:
        """Return for how long each certificate that clients are shown is still good."""

    def count(self) -> Awaitable[tuple[Counts, int]]:
        """Return what all workers have counted, dead ones too, and how many live."""

    def ask(self, asked: Asked, /) -> Sequence[Question]:
        """Ask all workers that serve or drain."""


@define(eq=False)
class Monitoring:
    """Makes the pages."""

    reactor: Any
    proxy: Proxy
    _moved: dict[Key, int] = field(factory=dict, init=False)

    def pages(self) -> dict[str, Page]:
        """Return them by their paths."""
        return {"/metrics": self.metrics, "/healthz": self.healthz, "/readyz": self.readyz}

    async def healthz(self) -> Reply:
        """Tell that this process lives."""
        return plain(200, f"mmp {__version__}")

    async def readyz(self) -> Reply:
        """Tell whether logins can succeed, as far as that does not depend on who it is."""
        reasons = {}
        if self.proxy.draining:
            reasons["proxy"] = "draining"
        elif not self.proxy.serving:
            reasons["proxy"] = "no worker serves"
        state = await State.gather(self.proxy.ask({"question": "gauges"}))
        if not await self._is_there(state.directories_down().values(), self.proxy.directories):
            reasons["directory"] = "; ".join(state.directories_down().values())
        stores = [(each["backend"], each["service"], each["why"]) for each in state.stores(())]
        where = [Endpoint(store, self.proxy.store_port(service)) for store, service, _ in stores]
        if not await self._is_there([why for *_, why in stores if why], where):
            reasons["stores"] = "; ".join(f"{store}: {why}" for store, _, why in stores)
        return judged(reasons)

    async def _is_there(self, failures: Collection[str], where: Collection[Endpoint]) -> bool:
        """Tell whether one is; if workers have seen all of them fail, try."""
        return len(failures) < max(len(where), 1) or await any_reachable(self.reactor, where)

    async def metrics(self) -> Reply:
        """Tell all numbers there are."""
        state = await State.gather(self.proxy.ask({"question": "gauges"}))
        counts, workers = await self.proxy.count()
        self._add_moving(counts, state)
        return metrics(exposition(counts, self._gauges(state, workers)))

    def _add_moving(self, counts: Counts, state: State) -> None:
        """Add what sessions that last have moved; a counter never falls, even if one ends at this very moment."""
        for key, octets in state.numbers.items():
            if key[0] == "relay_bytes_total":
                counts.add(key, octets)
        for key in [key for key in {*counts.counts, *self._moved} if key[0] == "relay_bytes_total"]:
            self._moved[key] = counts.counts[key] = max(counts.counts.get(key, 0), self._moved.get(key, 0))

    def _gauges(self, state: State, workers: int) -> dict[Key, float]:
        gauges: dict[Key, float] = {
            ("workers",): workers,
            ("badguys",): self.proxy.badguys,
            ("shared_state_up",): float(not (self.proxy.apart or state.alone())),
        }
        gauges |= {("certificate_expiry_seconds", name): left for name, left in self.proxy.seconds_left().items()}
        gauges |= {key: number for key, number in state.numbers.items() if key[0] in {"sessions", "backend_sessions"}}
        seen = {key: why for key, (why, _) in state.seen.items() if key[0] == "store"}
        return gauges | {("backend_up", *store): float(not why) for (_, *store), why in seen.items()}
