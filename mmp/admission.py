"""Makes what counts sessions and slows guesses down, from the configuration: rules for the home, parts for who asks."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from mmp import interfaces
from mmp.config.schema import Config, Listener
from mmp.cores import METERED
from mmp.interfaces import Deadlines, Log
from mmp.net.access import AccessDoor
from mmp.net.reverse import HostNames
from mmp.policy.admission import NoThrottle, OpenDoor, Unlimited
from mmp.policy.badness import Penalties
from mmp.policy.sessions import AddressRule, AddressRules, SessionLimits
from mmp.session.record import Record
from mmp.shared.admission import BanDoor, Door, Limits, Throttle
from mmp.shared.desk import Desk
from mmp.shared.local import Rules
from mmp.shared.metering import Meter
from mmp.shared.others import Nobody, Others


def rules(config: Config) -> Rules:
    """Return what is decided by."""
    limits, throttle = config.limits, config.throttle
    by_address = (
        AddressRule(rule.network, rule.sessions, rule.prefix, "per_address" in limits.observe or rule.mode == "observe")
        for rule in limits.per_address
    )
    return Rules(
        sessions=SessionLimits(
            sessions=limits.sessions,
            per_address=AddressRules(by_address),
            per_user=limits.per_user,
            per_backend=limits.per_backend,
            observed=limits.observe,
        ),
        connections_per_minute=limits.connections_per_minute,
        logins_per_minute=limits.logins_per_minute,
        messages_per_hour=limits.messages_per_hour,
        recipients_per_hour=limits.recipients_per_hour,
        penalties=Penalties(
            penalty=throttle.penalty,
            most=throttle.max_penalty,
            decay=throttle.decay,
            linear=throttle.linear,
            size=throttle.table_size,
        ),
        per_user=throttle.per_user,
        observe_throttle=throttle.mode == "observe",
        ban_after=throttle.ban_after,
        ban_window=throttle.ban_window,
        ban_time=throttle.ban_time,
        never_banned=(
            *throttle.exempt,
            *(each for listener in config.listener for each in listener.proxy_protocol_from),
        ),
        observed=limits.observe,
    )


def beyond_reach(config: Config, now: Callable[[], float]) -> Others:
    """Return what other hosts are to a worker that cannot even reach its own."""
    return Nobody(now, refusing=bool(config.shared.url) and config.shared.on_failure == "refuse")


@frozen
class Admission:
    """The parts of one worker; where nothing is limited, they are those that cost nothing."""

    config: Config
    desk: Desk
    clock: IReactorTime
    log: Log
    names: HostNames

    def door(self, listener: Listener) -> interfaces.Door:
        """Return what admits connections."""
        limits, access = self.config.limits, self.config.access
        limited = limits.sessions or limits.connections_per_minute or any(each.sessions for each in limits.per_address)
        unbanned = BanDoor(self.desk, Door(self.desk, self.log) if limited else OpenDoor())
        if not access.rules.rules:
            return unbanned
        return AccessDoor(access.rules, listener.tls, self.names.name if access.reverse_dns else None, unbanned)

    def limits(self) -> interfaces.Limits:
        """Return what admits sessions."""
        limits = self.config.limits
        return Limits(self.desk, self.log) if limits.per_user or limits.per_backend else Unlimited()

    def meter(self, record: Record) -> Meter | None:
        """Return what counts the submissions of a session, None if nothing does."""
        if record.client.service is not METERED:
            return None
        limits = self.config.limits
        metered = frozenset(name for name in ("messages_per_hour", "recipients_per_hour") if getattr(limits, name))
        if not metered:
            return None
        return Meter(self.desk, metered, self.log, record.facts())

    def throttle(self, listener: Listener, deadlines: Deadlines) -> interfaces.Throttle:
        """Return what slows guesses down; a load balancer in front of this listener never is, only its clients are."""
        throttle = self.config.throttle
        if not (throttle.penalty or throttle.ban_after or self.config.limits.logins_per_minute):
            return NoThrottle()
        exempt = (*throttle.exempt, *listener.proxy_protocol_from)
        return Throttle(self.desk, self.clock, deadlines, self.log, exempt)
