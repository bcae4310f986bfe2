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


@frozen
class Strike:
    """Count a failure, unless this very one, by its digest, has been counted before; see ``policy.bans.Threshold``.

    The reply is 1 if it was one too many, and counting begins anew, else 0.
    """

    key: bytes
    digest: bytes
    after: int
    window: float


@frozen
class Announce:
    """Something to be known to all hosts of a subject: it holds for so many seconds, and is kept for so many.

    It replaces what was said of the subject before. Each announcement has a number, one more than the last.
    """

    keys: tuple[bytes, bytes, bytes]
    subject: str
    seconds: float
    kept: float
    text: str


@frozen
class Fetch:
    """The reply is what was Heard after the announcement of this number, some of it at least.

    All of it if the store is not of this ``era``, or knows less than that.
    """

    keys: tuple[bytes, bytes, bytes]
    era: str
    number: int


@frozen
class Item:
    """An announcement: whether this host has made it, for how many seconds it still holds, and the rest."""

    subject: str
    own: bool
    seconds: float
    text: str


@frozen
class Heard:
    """Announcements in their order, the number of the last; ``anew``: from the first. ``goes_on``: there are more."""

    era: str
    number: int
    anew: bool
    goes_on: bool
    items: tuple[Item, ...]


Question = Take | Hold | Count | Uncount | Look | Fail | Forget | Vouch | Strike | Announce | Fetch


class StoreError(Exception):
    """The store is not to be had, or answers nonsense; the text says why."""


class Store(Protocol):
    """A store, as one host uses it. What is asked first is answered first."""

    @property
    def announces(self) -> bool:
        """Whether it answers Announce and Fetch."""

    def connect(self, lost: Callable[[str], None], nudged: Callable[[], object], /) -> Deferred[None]:
        """Connect, or fail with StoreError; ``lost`` is told once why the connection has ended that was made.

        ``nudged`` is told when somebody has announced something.
        """

    def ask(self, questions: Sequence[Question], /) -> Deferred[list[Any]]:
        """Return the replies, or fail with StoreError."""

    def disconnect(self) -> None:
        """Let go of it at once; ``lost`` is told."""
