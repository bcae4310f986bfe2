"""Who is slowed down, banned, or submits too much, as ``mmp badguys`` tells it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from mmp.admin.sessions import stamp
from mmp.policy.bans import network_of
from mmp.shared.local import Home


def badguys(home: Home, wall_clock: float) -> Iterator[dict[str, Any]]:
    """Yield a row for each; all have the same keys."""
    now = home.now()

    def when(until: float) -> str | None:
        return None if math.isinf(until) else stamp(wall_clock + until - now)

    for household, badness, failures, until, waiting in home.throttle.listed(now):
        network = str(network_of(household))
        yield _row("penalty", when(until), network=network, badness=badness, failures=failures, waiting=waiting)
    for banned, until, reason in home.bans.listed(now):
        yield _row("ban", when(until), network=str(banned), reason=reason)
    for (limit, user), until in home.exceeded.items():
        if until > now:
            yield _row("limit", when(until), user=user.decode("utf-8", "replace"), reason=limit)


def _row(kind: str, until: str | None, **facts: object) -> dict[str, Any]:
    nothing = {"network": "", "user": "", "badness": 0.0, "failures": 0, "waiting": 0, "reason": ""}
    return {"kind": kind, **nothing, **facts, "until": until}
