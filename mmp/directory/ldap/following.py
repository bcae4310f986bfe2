"""Follows the changes of a directory on one connection to a server, by whichever way the server offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from mmp.directory.changes import Changes, comparable
from mmp.directory.entry import Entry
from mmp.directory.ldap.controls import (
    CONTENT_SYNCHRONIZATION,
    PERSISTENT_SEARCH,
    ends_refresh,
    persist,
    previous_name,
    synchronize,
    tells_of_many,
)
from mmp.directory.ldap.link import Answer, Link
from mmp.directory.ldap.requests import ANY_ENTRY, names_below, read
from mmp.directory.ldap.responses import (
    INTERMEDIATE_RESPONSE,
    SEARCH_RESULT_ENTRY,
    UNAVAILABLE_CRITICAL_EXTENSION,
    read_name,
)

_STATE: Final = "contextCSN"
"""The attribute at the top of an OpenLDAP database that has its state."""
_PROBE_EVERY: Final = 30.0
"""Seconds."""
_MOST_BEFORE: Final = 1000
"""Responses about what was changed between our look at the state and the search: with more we start anew, since a
server that does not remember what was deleted tells us of all that it has."""


class NotOfferedError(Exception):
    """The server has no way to tell of changes, or not of these."""


@define(eq=False)
class Following:
    """``base`` is where the entries are whose changes are followed; empty for all that there may be users in.

    ``begun`` is called, with the way's name, once every change from then on is told.
    """

    link: Link
    base: str
    clock: IReactorTime
    timeout: float
    changes: Changes
    begun: Callable[[str], None]
    _way: str = field(default="", init=False)
    _refreshing: int = field(default=0, init=False)
    _before: int = field(default=0, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)

    async def until_it_ends(self) -> str:
        """Follow, and return why it is over; NotOfferedError, ConnectionError or TimeoutError."""
        try:
            return await self._until_it_ends()
        finally:
            self._cancel_timer()

    async def _until_it_ends(self) -> str:
        root = await self._read("", ("supportedControl", "namingContexts"))
        bases = self._bases(root.get("namingContexts"))
        why = "the server offers neither content synchronization nor persistent search"
        for control, follow in ((CONTENT_SYNCHRONIZATION, self._synchronize), (PERSISTENT_SEARCH, self._persist)):
            if control in root.get("supportedControl"):
                try:
                    return await follow(bases)
                except NotOfferedError as error:
                    why = str(error)
        raise NotOfferedError(why)

    def _bases(self, contexts: Sequence[str]) -> Mapping[str, str]:
        """Return where to follow, each with the top of its database; one that is called cn is a log, not of people."""
        if not self.base:
            people = [each for each in contexts if each.isprintable() and not each.lower().startswith("cn=")]
            return dict(zip(people, people, strict=True))
        holding = next((context for context in contexts if _is_within(self.base, context)), self.base)
        return {self.base: holding}

    async def _synchronize(self, bases: Mapping[str, str]) -> str:
        searches = []
        for base, context in bases.items():
            states = (await self._read(context, (_STATE,))).get(_STATE)
            if not states:
                raise NotOfferedError(f"content synchronization: no {_STATE} at {context} that we can read")
            searches.append(names_below(base) + synchronize(states))
        self._refreshing = len(searches)
        self._schedule(self.timeout, self._give_up)
        return await self._follow(searches, "content synchronization")

    async def _persist(self, bases: Mapping[str, str]) -> str:
        self._refreshing = 0
        ended = self._follow([names_below(base) + persist() for base in bases], "persistent search")
        try:  # the server does not say that it has begun, but has read that before it reads this
            await self._read("", ())
        except BaseException:
            ended.addErrback(lambda _: "")  # it fails with the connection, which has been told
            raise
        if not ended.called:
            self._begin()
        return await ended

    def _follow(self, searches: Sequence[bytes], way: str) -> Deferred[str]:
        self._way = way
        ended: Deferred[str] = Deferred()
        for search in searches:
            self.link.follow(search, self._heard).addBoth(self._end, ended)
        return ended

    def _end(self, outcome: Answer | Failure, ended: Deferred[str]) -> None:
        if ended.called:
            return
        if isinstance(outcome, Failure):
            ended.errback(outcome)
        elif outcome.result.code == UNAVAILABLE_CRITICAL_EXTENSION:
            ended.errback(NotOfferedError(f"{self._way}: {outcome.result}"))
        else:
            ended.callback(f"{self._way}: {outcome.result}")

    def _heard(self, tag: int, message: bytes, start: int, stop: int) -> None:
        if self._refreshing:
            self._heard_before(tag, message, start, stop)
        elif tag == SEARCH_RESULT_ENTRY:
            self.changes.entry(read_name(message, start, stop))
            if previous := previous_name(message, stop):
                self.changes.entry(previous)
        elif tag == INTERMEDIATE_RESPONSE and tells_of_many(message, start, stop):
            self.changes.everything()

    def _heard_before(self, tag: int, message: bytes, start: int, stop: int) -> None:
        """Wait for the end of what has changed between our look at the state and the search: all is asked anew then."""
        self._before += 1
        if self._before > _MOST_BEFORE:
            self._give_up()
        elif tag == INTERMEDIATE_RESPONSE and ends_refresh(message, start, stop):
            self._refreshing -= 1
            if not self._refreshing:
                self._begin()

    def _give_up(self) -> None:
        self.link.abort(f"{self._way}: it does not come to its beginning")

    def _begin(self) -> None:
        self._schedule(_PROBE_EVERY, self._probe)
        self.changes.everything()
        self.begun(self._way)

    def _schedule(self, seconds: float, call: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self.clock.callLater(seconds, call)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _probe(self) -> None:
        """See that the server is still there: it may have nothing to tell for days, and a link may die unnoticed."""
        self._schedule(_PROBE_EVERY, self._probe)
        asked = self.link.search(read("", ANY_ENTRY, (), self.timeout))
        asked.addErrback(lambda failure: self.link.abort(failure.getErrorMessage()))

    async def _read(self, name: str, attributes: Sequence[str]) -> Entry:
        """Return the entry of this name, empty if there is none for us."""
        answer = await self.link.search(read(name, ANY_ENTRY, attributes, self.timeout))
        return answer.entries[0] if answer.entries else Entry(name, {})


def _is_within(name: str, context: str) -> bool:
    """Tell whether an entry of this name would be in the database of that name."""
    name, context = comparable(name), comparable(context)
    return name == context or not context or name.endswith(f",{context}")
