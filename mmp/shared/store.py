"""What is asked of a store that several hosts share: a few kinds of questions, many at once, whichever store it is.

Of each limit and key every host writes one number, how many slots it holds, and writes it again long before it expires.
What all hold is the sum of these numbers. So nothing that is lost or said twice makes it wrong for longer than a lease.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred

from mmp.policy.badness import Penalties


@frozen
class Slot:
    """One slot that is wanted: with it, this host holds ``own`` under the key, and all hosts may hold ``most``."""

    key: bytes
    own: int
    most: int
    observed: bool


@frozen
class Take:
    """Take a slot under each, unless one that is more than observed is full.

    The reply is a number in which the first bit tells of the first slot whether it is full, and so on.
    """

    slots: tuple[Slot, ...]


@frozen
class Hold:
    """This host holds so many under the key."""

    key: bytes
    own: int


@frozen
class Count:
    """Count an event that takes up ``step`` seconds of a ``period``; see ``policy.rate``.

    The reply is 0.0, or in how many seconds there is room for it.
    """

    key: bytes
    step: float
    period: float


@frozen
class Uncount:
    """An event that was counted has not happened."""

    key: bytes
    step: float


@frozen
class Look:
    """The reply is what is Known under the keys of a household, an account, and somebody who is vouched for."""

    household: bytes
    user: bytes
    vouched: bytes


@frozen
class Fail:
    """Count a failure, unless this very one, by its digest, has been counted before; see ``policy.badness``."""

    key: bytes
    digest: bytes
    penalties: Penalties


@frozen
class Forget:
    """Know nothing more under the key."""

    key: bytes


@frozen
class Vouch:
    """Know for so many seconds that somebody is vouched for."""

    key: bytes
    seconds: float


Question = Take | Hold | Count | Uncount | Look | Fail | Forget | Vouch


class StoreError(Exception):
    """The store is not to be had, or answers nonsense; the text says why."""


class Store(Protocol):
    """A store, as one host uses it. What is asked first is answered first."""

    def connect(self, lost: Callable[[str], None], /) -> Deferred[None]:
        """Connect, or fail with StoreError; ``lost`` is told once why the connection has ended that was made."""

    def ask(self, questions: Sequence[Question], /) -> Deferred[list[Any]]:
        """Return the replies, or fail with StoreError."""

    def disconnect(self) -> None:
        """Let go of it at once; ``lost`` is told."""
