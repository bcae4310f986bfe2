"""Bans as the supervisor has them: told to workers and to the log, listed, and kept in a file over a restart.

The file is JSON, written anew beside the old one and then put in its place, so that there is always a whole one.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_network
from itertools import chain
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall

from mmp.interfaces import Log
from mmp.policy.bans import Network
from mmp.shared.local import Home

SOON: Final = 0.5
"""Seconds in which further bans come into the same file."""
VERSION: Final = 1
SAME: Final = 2.0
"""Seconds between the ends of bans that are the same."""
LIFTED: Final = 0
"""Until when a network is banned whose ban was lifted, as the file has it."""
ANOTHER: Final = "another"
"""The host that is named in the log for what was done elsewhere."""


@frozen
class Ban:
    """A network that is banned, for so many seconds, which may be infinite; 0: a ban that was lifted.

    ``untold``: other hosts are yet to be told.
    """

    network: Network
    seconds: float
    reason: str = ""
    untold: bool = False


def read(path: str, wall_clock: float) -> list[Ban]:
    """Return the bans that a file has and that are not over, and the lifts that are untold; none if there is no file.

    OSError or ValueError if it cannot be read, or is something else.
    """
    try:
        text = Path(path).read_bytes()
    except FileNotFoundError:
        return []
    try:
        state = json.loads(text)
        bans = [_read_one(each, wall_clock) for each in state["bans"]]
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"has no bans as this version writes them: {error!r}") from None
    return [ban for ban in bans if ban is not None]


def _read_one(each: Any, wall_clock: float) -> Ban | None:
    """Return a ban, or a lift; None for a ban that is over, which is no lift: others may have banned it for longer."""
    network, until, reason = ip_network(each["network"]), each["until"], str(each["reason"])
    untold = each.get("untold") is True
    if untold and until == LIFTED:
        return Ban(network, 0.0, untold=True)
    seconds = math.inf if until is None else float(until) - wall_clock
    return Ban(network, seconds, reason, untold) if seconds > 0 else None


def write(path: str, bans: Iterable[Ban], wall_clock: float) -> None:
    """Put a file with these bans in place of what is there; OSError if that cannot be."""
    state = {
        "version": VERSION,
        "bans": [
            {
                "network": str(ban.network),
                "until": _until(ban, wall_clock),
                "reason": ban.reason,
                **({"untold": True} if ban.untold else {}),
            }
            for ban in bans
        ],
    }
    fresh = f"{path}.new"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    Path(fresh).replace(path)


def _until(ban: Ban, wall_clock: float) -> float | None:
    if math.isinf(ban.seconds):
        return None
    return round(wall_clock + ban.seconds, 3) if ban.seconds else LIFTED


class KeptBans:
    """The bans of a home."""

    def __init__(self, reactor: Any, home: Home, log: Log, path: str, wall_clock: Callable[[], float]) -> None:
        self._reactor = reactor
        self._home = home
        self._log = log
        self._path = path
        self._wall_clock = wall_clock
        self._due: IDelayedCall | None = None
        self._untold: dict[Network, bool] = {}
        """Networks of which other hosts are yet to be told that they are banned, or that the ban was lifted: if so."""
        home.too_many_failures, home.would_ban = self._banned_by_threshold, self._would_ban

    def open(self) -> None:
        """Take up what was kept."""
        try:
            kept = read(self._path, self._wall_clock())
        except (OSError, ValueError) as error:
            self._log.event("state", "error", result="not read", path=self._path, reason=str(error))
            return
        bans = [ban for ban in kept if ban.seconds]
        for ban in bans:
            self._home.ban(ban.network, ban.seconds, ban.reason)
        self._untold.update((ban.network, not ban.seconds) for ban in kept if ban.untold)
        if bans:
            self._log.event("state", result="read", path=self._path, bans=len(bans))

    def close(self) -> None:
        """Write what is not yet written."""
        if self._due is not None:
            self._due.cancel()
            self._write()

    def ban(self, network: Network, seconds: float, reason: str, by: int) -> None:
        """Ban a network for so many seconds."""
        self._ban(network, seconds, reason, by)

    def _banned_by_threshold(self, network: Network, seconds: float, failures: int) -> None:
        now = self._home.now()
        until, _ = self._home.bans.of(now, network) or (0.0, "")
        if until < now + seconds:  # else somebody has banned it for longer
            self._ban(network, seconds, f"{failures} failures", None)

    def _would_ban(self, network: Network, seconds: float, failures: int) -> None:
        self._log.event("ban", result="observed", network=network, seconds=seconds, reason=f"{failures} failures")

    def _ban(self, network: Network, seconds: float, reason: str, by: int | None) -> None:
        if self._home.others.banned(network, seconds, reason) or network in self._untold:
            self._untold[network] = False
        self._put(network, seconds, reason, by=by)

    def _put(self, network: Network, seconds: float, reason: str, **who: object) -> None:
        self._home.ban(network, seconds, reason)
        told = None if math.isinf(seconds) else round(seconds, 3)
        self._log.event("ban", "warn", result="banned", network=network, seconds=told, reason=reason, **who)
        self._write_soon()

    def lift(self, network: Network, by: int) -> int:
        """Lift every ban that covers the network or lies in it; return how many that were."""
        lifted = self._home.unban(network)
        for each in lifted:
            if self._home.others.lifted(each) or each in self._untold:
                self._untold[each] = True
            self._log.event("ban", result="lifted", network=each, by=by)
        if lifted:
            self._write_soon()
        return len(lifted)

    # Other hosts

    def learn(self, network: Network, seconds: float, reason: str) -> None:
        """Take over a ban of another host, unless it is one that is known."""
        now = self._home.now()
        until, known = self._home.bans.of(now, network) or (0.0, "")
        if known != reason or not (until == now + seconds or abs(until - now - seconds) < SAME):
            self._put(network, seconds, reason, host=ANOTHER)

    def unlearn(self, network: Network) -> None:
        """Take over that a ban is lifted."""
        if self._home.unban_one(network):
            self._log.event("ban", result="lifted", network=network, host=ANOTHER)
            self._write_soon()

    def told(self, network: Network) -> None:
        """Know that they are told."""
        if network in self._untold:
            del self._untold[network]
            self._write_soon()

    def untold(self) -> list[Ban]:
        """Return what they are yet to be told; a ban that is over is nothing to tell."""
        now, of, untold = self._home.now(), self._home.bans.of, []
        for network, lifted in list(self._untold.items()):
            if (ban := of(now, network)) is not None:
                until, reason = ban
                untold.append(Ban(network, until - now, reason, untold=True))
            elif lifted:
                untold.append(Ban(network, 0.0, untold=True))
            else:
                del self._untold[network]
        return untold

    def listed(self) -> Iterator[Ban]:
        """Yield each ban; none may be banned meanwhile."""
        now = self._home.now()
        return (Ban(network, until - now, reason) for network, until, reason in self._home.bans.listed(now))

    # For the program that replaces this one

    def state(self) -> dict[str, bool]:
        """Return what ``restore`` takes; the bans are in the state of the home."""
        return {str(network): lifted for network, lifted in self._untold.items()}

    def restore(self, state: Mapping[str, bool] | Iterable[str]) -> None:
        """Take what ``state`` told; an older program names the networks alone, and those not banned are lifted."""
        untold = state if isinstance(state, Mapping) else dict.fromkeys(state, True)
        self._untold.update((ip_network(network), lifted) for network, lifted in untold.items())

    def _write_soon(self) -> None:
        if self._due is None:
            self._due = self._reactor.callLater(SOON, self._write)

    def _write(self) -> None:
        self._due = None
        try:
            told = (ban for ban in self.listed() if ban.network not in self._untold)
            write(self._path, chain(told, self.untold()), self._wall_clock())
        except OSError as error:
            self._log.event("state", "error", result="not written", path=self._path, reason=str(error))
