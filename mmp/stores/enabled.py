"""Stores that an operator has taken out of service."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define

from mmp.errors import Refused
from mmp.model import Refusal
from mmp.stores.routing import Hosts


@define(eq=False)
class Enabled:
    """Those hosts alone that are not ``disabled``, which has lower-case names and may change at any time."""

    hosts: Hosts
    disabled: Collection[str]

    def order(self, mail_host: str) -> Sequence[str]:
        """Return the hosts to try; Refused if there is none."""
        hosts = self.hosts.order(mail_host)
        if not self.disabled:
            return hosts
        for host in hosts:
            if host.lower() in self.disabled:
                self.hosts.failed(host)  # so that others have their turn before it
        enabled = [host for host in hosts if host.lower() not in self.disabled]
        if not enabled:
            raise Refused(Refusal.BACKEND_UNAVAILABLE, f"store {hosts[0]}: disabled")
        return enabled

    def failed(self, host: str) -> None:
        """A host was away, or no use."""
        self.hosts.failed(host)
