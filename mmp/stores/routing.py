"""Which hosts a login may go to, and in which order they are tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import define, field

TRIES = 2
"""Hosts that one login tries; who waits for three has long given up."""


class Hosts(Protocol):
    """Knows where to go, and learns where not to."""

    def order(self, mail_host: str, /) -> Sequence[str]:
        """Return the hosts to try for a user with this mailHost, at least one."""

    def failed(self, host: str, /) -> None:
        """A host was away, or no use."""


class MailHost:
    """The one store that keeps the user's mail. The Connector knows which of its addresses to avoid."""

    def order(self, mail_host: str) -> Sequence[str]:
        """Return the mailHost."""
        return (mail_host,)

    def failed(self, host: str) -> None:
        """Do nothing: there is no other."""


@define(eq=False)
class InTurn:
    """Several hosts of which any will do, each used in its turn; one that failed is used only after the others.

    ``retry_after`` is for how many seconds of ``clock``.
    """

    hosts: Sequence[str]
    retry_after: float
    clock: Callable[[], float]
    _turn: int = field(default=0, init=False)
    _avoided: dict[str, float] = field(factory=dict, init=False)

    def order(self, mail_host: str) -> Sequence[str]:  # noqa: ARG002 - it is not asked where the mail is
        """Return whose turn it is, and who is next."""
        first = self._turn % len(self.hosts)
        self._turn += 1
        rotated = [*self.hosts[first:], *self.hosts[:first]]
        return sorted(rotated, key=self._is_avoided)[:TRIES]

    def failed(self, host: str) -> None:
        """Avoid the host for a while."""
        self._avoided[host] = self.clock() + self.retry_after

    def _is_avoided(self, host: str) -> bool:
        return self._avoided.get(host, 0.0) > self.clock()
