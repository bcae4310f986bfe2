"""What each command does to a running proxy, in the supervisor."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any, Protocol

import twisted
from attrs import asdict, define, evolve, field, frozen
from cryptography.hazmat.backends.openssl import backend
from twisted.internet.interfaces import IReactorTime

from mmp import __version__
from mmp.admin.badguys import badguys
from mmp.admin.control import CommandError, Request, Send
from mmp.admin.matching import matching
from mmp.admin.standing import standing
from mmp.admin.state import State, everything
from mmp.admin.tracing import Trace
from mmp.interfaces import Log
from mmp.model import Endpoint
from mmp.policy.bans import Network
from mmp.policy.networks import unmapped
from mmp.shared.asking import Asked, Question
from mmp.shared.kept_bans import ANOTHER, KeptBans
from mmp.shared.local import Home

EMPTY = b"[]"
LONGEST = 512
"""Characters of a name at most."""
MOST_DISABLED = 50
PAGE = 200
"""Rows in a page of bad ones."""
LONGEST_DRAIN = 366 * 86400
"""Seconds."""
LONGEST_TRACE = 86400
"""Seconds."""
MOST_TRACES = 8
"""At a time."""
SPREAD = 30.0
"""Seconds over which the sessions of a disabled store are ended, unless told otherwise."""


@frozen
class WorkerState:
    """A worker, as ``mmp status`` shows it."""

    pid: int
    sessions: int
    state: str


@frozen
class ListenerState:
    """Where clients connect, as ``mmp status`` shows it; ``min_version`` is the oldest TLS, empty if there is none."""

    service: str
    address: str
    port: int
    tls: str
    min_version: str


class Proxy(Protocol):
    """What the supervisor lets commands know and do."""

    @property
    def started(self) -> str:
        """When it was started (RFC 3339)."""

    @property
    def draining(self) -> bool:
        """Whether it is ending."""

    @property
    def disabled(self) -> Collection[str]:
        """The stores that no login may go to."""

    @property
    def listeners(self) -> Sequence[ListenerState]:
        """Where clients connect."""

    @property
    def directories(self) -> Collection[Endpoint]:
        """The servers that keep the directory; none if it needs none."""

    @property
    def shared_store(self) -> str:
        """Where hosts share what they know; empty if this one is alone."""

    @property
    def apart(self) -> str:
        """Why other hosts that count together with this one cannot be asked; empty if they can."""

    @property
    def home(self) -> Home:
        """What is held, and who is bad."""

    @property
    def bans(self) -> KeptBans:
        """Who is banned."""

    def workers(self) -> Sequence[WorkerState]:
        """Return those that serve or drain, with as many sessions as they had a few seconds ago."""

    @property
    def clock(self) -> IReactorTime:
        """The clock of this process."""

    def ask(self, asked: Asked, /) -> Sequence[Question]:
        """Ask all workers that serve or drain."""

    def ask_others(self, asked: Asked, known: Collection[int], /) -> Mapping[int, Question]:
        """The same, but for those with these numbers; by process number."""

    def disable(self, stores: Iterable[str], /) -> None:
        """Let no login go to these stores, given in lower case, and to all others."""

    def reload(self) -> Sequence[str]:
        """Read the configuration anew; return what is wrong with it."""

    def drain(self, seconds: float | None, /) -> None:
        """Stop accepting, and end with the last session or after so many seconds, the grace if that is None."""


@frozen
class Order:
    """A request: who gives it, as the number of a user of the system, and where pages of the answer go."""

    request: Request
    user: int
    send: Send

    def text(self, key: str) -> str:
        """Return what the request has under a key."""
        value = self.request.get(key)
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST:
            raise CommandError(f"{key} is missing, or too long")
        return value


@define(eq=False)
class Commands:
    """Does what is ordered."""

    proxy: Proxy
    log: Log
    _traces: int = field(default=0, init=False)

    async def __call__(self, request: Request, user: int, send: Send) -> Mapping[str, Any]:
        """Return the end of the answer; CommandError if the request makes no sense."""
        command = _COMMANDS.get(str(request.get("command")))
        if command is None:
            raise CommandError("this proxy has no such command: it may be older than the mmp that asks")
        return await command(self, Order(request, user, send))

    async def status(self, _order: Order) -> Mapping[str, Any]:
        """Tell how the proxy is."""
        state = await self._state()
        down, why = state.directories_down(), self.proxy.apart or state.alone()
        workers = [evolve(each, sessions=state.sessions_of(each.pid, each.sessions)) for each in self.proxy.workers()]
        return {
            "version": __version__,
            "versions": versions(),
            "pid": os.getpid(),
            "started": self.proxy.started,
            "draining": self.proxy.draining,
            "workers": [asdict(each) for each in workers],
            "listeners": [asdict(each) for each in self.proxy.listeners],
            "sessions": sum(each.sessions for each in workers),
            "directory": {
                "up": not down or len(down) < len(self.proxy.directories),
                "down": down,
                "warnings": state.warnings(),
                "watched": state.watched(),
            },
            "shared": {"up": not why, "why": why, "url": self.proxy.shared_store},
        }

    async def who(self, order: Order) -> Mapping[str, Any]:
        """Send what is known of sessions."""
        asked = {"question": "who", "wanted": _wanted(order.request)}
        for question in self.proxy.ask(asked):
            try:
                while (page := await question.page()) is not None:
                    if page != EMPTY:
                        await order.send(
                            page
                        )  # as it is: reading it would cost us as much as making it cost the worker
            finally:
                question.close()
        return {}

    async def kick(self, order: Order) -> Mapping[str, Any]:
        """End the sessions of a user, from an address, or one."""
        target = order.text("target")
        elsewhere = {"elsewhere": True} if self.proxy.home.others.kicked(target) else {}
        return {"count": await self._kick(target, by=order.user), **elsewhere}

    async def kick_too(self, target: str) -> None:
        """End sessions here that another host has ended there."""
        await self._kick(target, host=ANOTHER)

    async def _kick(self, target: str, **who: object) -> int:
        count = await self._end_sessions({"target": target}, "kicked", 0.0)
        self.log.event("kick", target=target, sessions=count, **who)
        return count

    async def _end_sessions(self, wanted: Mapping[str, str], why: str, seconds: float) -> int:
        asked = {"question": "kick", "wanted": wanted, "why": why, "seconds": seconds}
        return sum([number async for number in everything(self.proxy.ask(asked))])

    async def flush(self, order: Order) -> Mapping[str, Any]:
        """Forget what is remembered of a user."""
        asked = {"question": "flush", "user": order.text("user")}
        return {"count": sum([number async for number in everything(self.proxy.ask(asked))])}

    async def trace(self, order: Order) -> Mapping[str, Any]:
        """Send what a user's sessions say from now on."""
        user, seconds = order.text("user"), order.request.get("seconds", 0)
        if not (isinstance(seconds, int | float) and 0 < seconds <= LONGEST_TRACE):
            raise CommandError(f"seconds is no number above 0 and up to {LONGEST_TRACE}")
        if self._traces == MOST_TRACES:
            raise CommandError(f"{MOST_TRACES} users are traced already")
        self._traces += 1
        self.log.event("trace", result="begun", user=user, seconds=seconds, by=order.user)
        try:
            await Trace(self.proxy, user, seconds, order.send).run()
        finally:
            self._traces -= 1
            self.log.event("trace", result="ended", user=user, by=order.user)
        return {}

    async def reload(self, _order: Order) -> Mapping[str, Any]:
        """Take in a changed configuration."""
        if mistakes := self.proxy.reload():
            raise CommandError("\n".join(mistakes))
        return {}

    async def drain(self, order: Order) -> Mapping[str, Any]:
        """Let the proxy end; asked again only another time makes a difference, since only a signal ends it at once."""
        seconds = order.request.get("seconds")
        if seconds is not None and not (isinstance(seconds, int | float) and 0 <= seconds <= LONGEST_DRAIN):
            raise CommandError("seconds is no time to drain in")
        if not self.proxy.draining or seconds is not None:
            self.log.event("drain", result="ordered", seconds=seconds, by=order.user)
            self.proxy.drain(seconds)
        return {}

    async def backends(self, order: Order) -> Mapping[str, Any]:
        """Tell of every store that somebody's mail was on since the workers began."""
        state = await self._state()
        await order.send(json.dumps(state.stores(self.proxy.disabled)).encode())
        return {}

    async def disable(self, order: Order) -> Mapping[str, Any]:
        """Let no login go to a store."""
        store, kick = order.text("backend").lower(), order.request.get("kick", False)
        seconds = order.request.get("seconds", SPREAD)
        if not isinstance(seconds, int | float):
            raise CommandError("seconds is no number")
        if len(disabled := {*self.proxy.disabled, store}) > MOST_DISABLED:
            raise CommandError(f"no more than {MOST_DISABLED} stores can be disabled")
        self.proxy.disable(disabled)
        kicked = await self._end_sessions({"backend": store}, "store disabled", max(seconds, 0.1)) if kick else 0
        self.log.event("backend", result="disabled", backend=store, sessions=kicked if kick else None, by=order.user)
        return {"count": 1, "kicked": kicked}

    async def enable(self, order: Order) -> Mapping[str, Any]:
        """Let logins go to a store again."""
        store = order.text("backend").lower()
        if store not in self.proxy.disabled:
            return {"count": 0}
        self.proxy.disable({*self.proxy.disabled} - {store})
        self.log.event("backend", result="enabled", backend=store, by=order.user)
        return {"count": 1}

    async def ban(self, order: Order) -> Mapping[str, Any]:
        """Keep a network out, for so many seconds, or until that is lifted."""
        network, seconds = _network(order), order.request.get("seconds")
        reason = order.request.get("reason", "")
        if not (seconds is None or (isinstance(seconds, int | float) and 0 < seconds < math.inf)):
            raise CommandError("seconds is no number above 0")
        if not _is_short(reason):
            raise CommandError("reason is no short text")
        self.proxy.bans.ban(network, math.inf if seconds is None else seconds, reason, order.user)
        return {"count": 1}

    async def unban(self, order: Order) -> Mapping[str, Any]:
        """Lift every ban that covers a network or lies in it."""
        return {"count": self.proxy.bans.lift(_network(order), order.user)}

    async def badguys(self, order: Order) -> Mapping[str, Any]:
        """Tell who is slowed down, who is banned, and who submits too much."""
        rows = list(badguys(self.proxy.home, time.time()))
        for start in range(0, len(rows), PAGE):
            await order.send(json.dumps(rows[start : start + PAGE]).encode())
        return {}

    async def standing(self, order: Order) -> Mapping[str, Any]:
        """Tell what limits, throttle and bans would make of a login."""
        names = tuple(str(order.request.get(name, ""))[:LONGEST] for name in ("typed", "user", "backend"))
        shared, apart = self.proxy.shared_store, self.proxy.apart
        rows = list(standing(self.proxy.home, order.text("address"), names, shared=shared, apart=apart))
        await order.send(json.dumps(rows).encode())
        return {}

    async def _state(self) -> State:
        return await State.gather(self.proxy.ask({"question": "gauges"}))


def _network(order: Order) -> Network:
    try:
        return unmapped(ip_network(order.text("network"), strict=False))
    except ValueError as error:
        raise CommandError(f"network: {error}") from None


def _wanted(request: Request) -> dict[str, str]:
    """Return the properties that sessions are wanted to have."""
    wanted = request.get("wanted", {})
    if not isinstance(wanted, dict) or not all(map(_is_short, wanted.values())):
        raise CommandError("wanted is no object of short strings")
    try:
        matching(wanted)
    except (KeyError, ValueError) as error:
        raise CommandError(f"no such property of a session: {error}") from None
    return wanted


def _is_short(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST


def versions() -> dict[str, str]:
    """Return the versions of what matters most, of OpenSSL the one that is loaded: the wheel brings its own."""
    return {
        "python": platform.python_version(),
        "twisted": twisted.__version__,
        "openssl": backend.openssl_version_text(),
    }


_COMMANDS: Mapping[str, Callable[[Commands, Order], Awaitable[Mapping[str, Any]]]] = {
    "status": Commands.status,
    "who": Commands.who,
    "kick": Commands.kick,
    "flush": Commands.flush,
    "trace": Commands.trace,
    "reload": Commands.reload,
    "drain": Commands.drain,
    "backends": Commands.backends,
    "disable": Commands.disable,
    "enable": Commands.enable,
    "ban": Commands.ban,
    "unban": Commands.unban,
    "badguys": Commands.badguys,
    "standing": Commands.standing,
}
