"""What is refused or slowed down to protect the rest: the tables of limits, of the throttle and of access."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Final, Literal

from attrs import frozen

from mmp.config.kinds import Between, ClientRule, Count, Duration, Network, Positive, Timeout
from mmp.policy.access import AccessRules, Rule

EVERY_IPV4: Final = IPv4Network("0.0.0.0/0")
EVERY_IPV6: Final = IPv6Network("::/0")

LimitName = Literal[
    "sessions",
    "per_address",
    "per_user",
    "per_backend",
    "connections_per_minute",
    "logins_per_minute",
    "messages_per_hour",
    "recipients_per_hour",
]


@frozen(kw_only=True)
class AddressLimit:
    """One entry of ``[limits] per_address``; the one with the most specific network counts."""

    network: Network = EVERY_IPV4
    """Clients it is for."""

    sessions: Count = 20
    """Simultaneous sessions of each; 0 means any number."""

    prefix: Annotated[int, Between(0, 128)] = 0
    """Addresses that agree in so many bits are counted as one; 0 means 32 of IPv4 and 64 of IPv6."""

    mode: Literal["enforce", "observe"] = "enforce"
    """Whether it refuses, or only tells in the log when it would."""


@frozen(kw_only=True)
class Limits:
    """``[limits]``: how many sessions there may be, over all services."""

    observe: tuple[LimitName, ...] = ()
    """Limits, by name, that only tell in the log what they would have refused."""

    sessions: Count = 0
    """Simultaneous sessions in all; 0 means no limit."""

    per_address: tuple[AddressLimit, ...] = (
        AddressLimit(),
        AddressLimit(network=EVERY_IPV6, prefix=64),
    )
    """Simultaneous sessions of each client address."""

    per_user: Count = 0
    """Simultaneous sessions of each user; 0 means no limit."""

    per_backend: Count = 0
    """Simultaneous sessions on each store; 0 means no limit."""

    connections_per_minute: Count = 0
    """Connections from each client address; 0 means no limit."""

    logins_per_minute: Count = 0
    """Login attempts from each client address; 0 means no limit."""

    messages_per_hour: Count = 0
    """Messages that each user may submit; 0 means no limit."""

    recipients_per_hour: Count = 0
    """Recipients to whom each user may submit messages; 0 means no limit."""


@frozen(kw_only=True)
class Throttle:
    """``[throttle]``: how clients are slowed down whose logins fail."""

    mode: Literal["enforce", "observe"] = "enforce"
    """Whether attempts are delayed and addresses banned, or it is only told in the log which would be."""

    penalty: Duration = 2.0
    """What each failed login adds to the delay of further attempts from its address; none means no throttle."""

    max_penalty: Duration = 60.0
    """Longest delay."""

    decay: Timeout = 900.0
    """How long after the last failure an address is as good as any other."""

    linear: bool = False
    """Whether the delay shrinks evenly over that time, instead of ending with it."""

    table_size: Positive = 10_000
    """Addresses that are remembered; for one more, the one whose last failure is longest ago is forgotten."""

    exempt: tuple[Network, ...] = ()
    """Networks that are never delayed and whose failures are not counted."""

    per_user: bool = False
    """Whether failures count against the account as well, from wherever they come."""

    ban_after: Annotated[int, Between(0, 1000)] = 0
    """Failures within ban_window that ban an address for ban_time; 0 means never."""

    ban_window: Timeout = 600.0
    """Time in which failures are counted for that."""

    ban_time: Timeout = 3600.0
    """How long such a ban lasts."""


@frozen(kw_only=True)
class Access:
    """``[access]``: who may connect at all."""

    allow: tuple[ClientRule, ...] = ()
    """Who may in any case: services, a colon, and addresses, networks or host names."""

    deny: tuple[ClientRule, ...] = ()
    """Who else may not; whoever no rule speaks of may connect."""

    reverse_dns: bool = False
    """Whether the host name of a client is looked up where a rule needs it."""

    @property
    def rules(self) -> AccessRules:
        """All of them."""
        allowing = (Rule.parse(f"+{text}") for text in self.allow)
        return AccessRules((*allowing, *(Rule.parse(f"-{text}") for text in self.deny)), closed=False)
