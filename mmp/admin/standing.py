"""What limits, throttle and bans would make of a login now, as ``mmp explain`` tells it: nothing is counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mmp.policy.sessions import household
from mmp.shared.admission import octets_of
from mmp.shared.digests import of_user
from mmp.shared.local import Home


def standing(
    home: Home, address: str, names: Sequence[str], *, shared: str = "", apart: str = ""
) -> Iterator[dict[str, Any]]:
    """Yield a row for each that is in force; ``names`` are the user as typed and as known, and the store.

    All rows have ``what``, ``found`` in words, and ``refuses``. They tell of this host alone; the last says so where
    hosts count together in a ``shared`` store, which may be ``apart`` for a reason.
    """
    typed, user, backend = names
    octets = octets_of(address)
    if not octets:
        return
    yield from _bans(home, octets)
    yield from _sessions(home, octets, user, backend)
    yield from _rates(home, household(octets), together=bool(shared) and not apart)
    yield from _throttle(home, household(octets), typed)
    if shared:
        known = f"this host counts alone, since {shared} is away: {apart}"
        counted = f"rates are counted at {shared}; of sessions and failures other hosts may know more"
        yield _row("shared", known if apart else counted)


def _row(what: str, found: str, *, refuses: bool = False) -> dict[str, Any]:
    return {"what": what, "found": found, "refuses": refuses}


def _bans(home: Home, octets: bytes) -> Iterator[dict[str, Any]]:
    now = home.now()
    if (network := home.bans.covering(now, octets)) is not None:
        _, reason = home.bans.of(now, network) or (0.0, "")
        yield _row("ban", f"{network}{reason and ', ' + reason}", refuses=True)


def _sessions(home: Home, octets: bytes, user: str, backend: str) -> Iterator[dict[str, Any]]:
    limits = home.rules.sessions
    for claim in limits.at_the_door(octets) + limits.of_account(user, backend):
        held = home.counts.held(claim)
        found = f"{held} of {claim.most} sessions{', only observed' if claim.observed else ''}"
        yield _row(claim.limit, found, refuses=held >= claim.most and not claim.observed)


def _rates(home: Home, origin: bytes, *, together: bool) -> Iterator[dict[str, Any]]:
    for limit, most, seconds in home.rates_of(origin):
        observed = limit in home.rules.observed
        room = f"room again in {seconds:.0f} s" if seconds else "there is room"
        found = f"{most} of all hosts" if together else f"{most}; {room}"
        found += ", only observed" if observed else ""
        yield _row(limit, found, refuses=bool(seconds) and not observed and not together)


def _throttle(home: Home, origin: bytes, typed: str) -> Iterator[dict[str, Any]]:
    bad = home.throttle.badness(home.now(), origin, of_user(typed))
    if bad.vouched:
        yield _row("throttle", "this user has just logged in from there, and waits for nothing")
    elif home.throttle.observe and (bad.address or bad.user):
        yield _row("throttle", f"would wait {max(bad.address, bad.user):.1f} s, only observed")
    elif bad.address or bad.user:
        which = "address" if bad.address >= bad.user else "account"
        found = (
            f"waits {max(bad.address, bad.user):.1f} s, since the {which} is bad; failures from there: {bad.failures}"
        )
        yield _row("throttle", found)
