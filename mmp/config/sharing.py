"""What several hosts count together: the table of their shared store."""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import urlsplit

from attrs import frozen

from mmp.config.kinds import File, Period, SharedPrefix, SharedURL
from mmp.model import Endpoint

PORTS: Final = {"redis": 6379, "rediss": 6379, "memcached": 11211}
"""Where a store listens unless the URL says otherwise, by its scheme."""


@frozen(kw_only=True)
class Shared:
    """``[shared]``: limits, throttle, bans and kicks over several hosts."""

    url: SharedURL = ""
    """Store that the hosts share: redis://, rediss:// in TLS, or memcached://; empty means this host alone."""

    ca: File = ""
    """File of CAs of the store's certificate; empty means the system's trust."""

    password_file: File = ""
    """File that holds the password for the store."""

    key_file: File = ""
    """File with one secret for all hosts, to compare wrong passwords by; empty means that each has its own."""

    prefix: SharedPrefix = "mmp"
    """What names in the store begin with; hosts with the same one count together."""

    lease: Period = 30.0
    """How long what a host holds still counts when it has died; the same on all hosts."""

    on_failure: Literal["local", "refuse"] = "local"
    """While the store is out of reach: count on this host alone, or let nobody in."""

    @property
    def scheme(self) -> str:
        """What kind of store it is."""
        return urlsplit(self.url).scheme

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        url = urlsplit(self.url)
        return Endpoint(url.hostname or "", url.port or PORTS[url.scheme])

    @property
    def user(self) -> str | None:
        """Who we are there."""
        return urlsplit(self.url).username

    @property
    def database(self) -> int | None:
        """Which of its numbered databases is used."""
        number = urlsplit(self.url).path.strip("/")
        return int(number) if number else None
