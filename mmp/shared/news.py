"""Bans and kicks of all hosts: who makes one announces it in the store, and the others fetch what they have not heard.

The store numbers what is announced, and keeps of each subject what was said last. So whoever was away misses nothing,
and a nudge that is lost only makes others late.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any, Final

from attrs import define
from twisted.internet.interfaces import IDelayedCall

from mmp.policy.bans import Network
from mmp.shared.exchange import Exchange
from mmp.shared.local import Home
from mmp.shared.others import Elsewhere
from mmp.shared.store import Announce, Fetch, Heard, Item

REMEMBERED: Final = 30 * 86400.0
"""Seconds for which it is known that a ban was lifted, to hosts that were away meanwhile."""
KICK: Final = 60.0
"""Seconds for which a host that was away still ends sessions."""
POLL: Final = 2.0
"""Seconds after which news are fetched without a nudge."""
UNSAID: Final = 50_000
"""Subjects that the store has not been told of."""

_BAN, _KICK = "ban", "kick"


@define(eq=False)
class _Word:
    """Something said of a subject: until when it holds, 0 if it is a lift, for how long it is kept, and why."""

    until: float
    kept: float
    text: str
    on_its_way: bool = False


class News:
    """What one host says and hears; ``names`` are those that news have in the store."""

    def __init__(
        self, reactor: Any, exchange: Exchange, names: tuple[bytes, bytes, bytes], home: Home, elsewhere: Elsewhere
    ) -> None:
        self._reactor = reactor
        self._exchange = exchange
        exchange.nudged = self.fetch
        self._names = names
        self._home = home
        self._elsewhere = elsewhere
        self._era = ""
        """Which store it is: one that has lost what it knew is another."""
        self._heard = 0
        """The number of the last item that we know of."""
        self._all: set[str] | None = set()
        """The subjects that this store knows of, while everything in it is new to us."""
        self._unsaid: dict[str, _Word] = {}
        self._fetching = self._once_more = False
        self._poll: IDelayedCall | None = None
        for network, seconds, reason in elsewhere.untold():
            if seconds:
                self.ban(network, seconds, reason)
            else:
                self.lift(network)

    # Saying: each returns False if there are too many things to be said

    def ban(self, network: Network, seconds: float, reason: str) -> bool:
        """Announce a ban."""
        return self._say(f"{_BAN} {network}", seconds, seconds, reason)

    def lift(self, network: Network) -> bool:
        """Announce that a ban is lifted."""
        return self._say(f"{_BAN} {network}", 0.0, REMEMBERED, "")

    def kick(self, target: str) -> bool:
        """Announce that sessions are ended."""
        return self._say(f"{_KICK} {target}", KICK, KICK, "")

    def _say(self, subject: str, seconds: float, kept: float, text: str) -> bool:
        if len(self._unsaid) >= UNSAID and subject not in self._unsaid:
            return False
        self._unsaid[subject] = _Word(self._home.now() + seconds if seconds else 0.0, kept, text)
        if self._all is None:
            self._announce(subject)
        return True

    def _announce(self, subject: str) -> None:
        word = self._unsaid[subject]

        def missed() -> None:
            word.on_its_way = False

        def answered(_reply: object) -> None:
            if self._unsaid.get(subject) is word:
                self._forget(subject)

        word.on_its_way = True
        left = max(0.0, word.until - self._home.now())
        self._exchange.tell(Announce(self._names, subject, left, word.kept, word.text), missed, answered)

    def _forget(self, subject: str) -> None:
        """Have no more to say of it."""
        del self._unsaid[subject]
        kind, _, name = subject.partition(" ")
        if kind == _BAN and (network := _network(name)) is not None:
            self._elsewhere.told(network)

    # Hearing

    def start(self) -> None:
        """Fetch what there is, again and again."""
        self._poll = self._reactor.callLater(POLL, self.start)
        self.fetch()

    def stop(self) -> None:
        """Fetch no more."""
        if self._poll is not None and self._poll.active():
            self._poll.cancel()

    def fetch(self) -> None:
        """Fetch what has not been heard."""
        if self._fetching:
            self._once_more = True
        else:
            self._fetching, self._once_more = True, False
            self._exchange.tell(Fetch(self._names, self._era, self._heard), self._not_heard, self._hear)

    def _not_heard(self) -> None:
        self._fetching = False

    def _hear(self, heard: Heard) -> None:
        self._fetching = False
        if heard.anew:
            self._era, self._all = heard.era, set()
        self._heard = heard.number
        for item in heard.items:
            self._take_in(item)
        if heard.goes_on or self._once_more:
            self.fetch()
        else:
            self._tell_what_is_missing()

    def _take_in(self, item: Item) -> None:
        if self._all is not None:
            self._all.add(item.subject)
        kind, _, name = item.subject.partition(" ")
        if item.own:
            return
        if (word := self._unsaid.get(item.subject)) is not None:
            longer = word.until and item.seconds > word.until - self._home.now()
            if kind != _BAN or word.on_its_way or not longer:  # what we have to say is newer, or of two bans the longer
                return
            self._forget(item.subject)
        if kind == _KICK and self._all is None and item.seconds > 0:
            self._elsewhere.kicked(name)
        elif kind == _BAN and (network := _network(name)) is not None:
            if item.seconds > 0:
                self._elsewhere.banned(network, item.seconds, item.text)
            else:
                self._elsewhere.lifted(network)

    def _tell_what_is_missing(self) -> None:
        """Tell what is not said yet; a store that is new to us, or has lost what it knew, all that it does not know."""
        known, self._all = self._all, None
        now = self._home.now()
        for network, until, reason in self._home.bans.listed(now):
            if known is None:
                break
            if (subject := f"{_BAN} {network}") not in known and len(self._unsaid) < UNSAID:
                self._unsaid.setdefault(subject, _Word(until, until - now, reason))
        for subject, word in list(self._unsaid.items()):
            if 0.0 < word.until <= now:
                self._forget(subject)
            elif not word.on_its_way:
                self._announce(subject)


def _network(name: str) -> Network | None:
    """Return the network; None if it is none, as only another version would write it."""
    try:
        return ip_network(name)
    except ValueError:
        return None
