"""Ends the sessions of those whom the directory would not let in any more, when it tells of changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mmp.admin.sessions import Sessions, end
from mmp.directory.changes import MOST, Changed, comparable
from mmp.errors import Refused
from mmp.model import Client, Standing
from mmp.net.listen import Arrival
from mmp.net.relay import Relay
from mmp.session.record import Record

_AT_ONCE: Final = 8
"""Sessions that are looked at at a time: those who log in meanwhile need the directory more."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
"""Seconds until the directory is asked again that could not say."""

_Session = tuple[Relay | Arrival, Record, Standing]


class Reviews:
    """Looks at the sessions of a worker once more, some at a time, and serves others in between."""

    _log = Logger()

    def __init__(
        self, sessions: Sessions, objection: Callable[[Client, Standing], Awaitable[str]], clock: IReactorTime
    ) -> None:
        """``objection`` tells why a session would not be let in now, empty if it would; Refused if nobody can say."""
        self._sessions = sessions
        self._objection = objection
        self._clock = clock
        self._changed: Changed = ()
        self._unanswered: Changed = ()
        self._pause = _FIRST_PAUSE
        self._running = False

    def changed(self, changed: Changed) -> None:
        """Look at the sessions that these entries have let in, or at all; what comes meanwhile is done behind it."""
        self._changed = _together(self._changed, changed)
        if not self._running:
            self._running = True
            Deferred.fromCoroutine(self._run()).addErrback(self._failed)

    async def _run(self) -> None:
        while _is_something(self._changed):
            changed, self._changed = self._changed, ()
            for batch in self._sessions.standing():
                concerned = [each for each in batch if _is_concerned(each[2], changed)]
                for start in range(0, len(concerned), _AT_ONCE):
                    some = concerned[start : start + _AT_ONCE]
                    await gatherResults(map(self._begin, some), consumeErrors=True)
                await deferLater(self._clock, 0)
        self._running = False
        if _is_something(self._unanswered):
            unanswered, self._unanswered = self._unanswered, ()
            self._clock.callLater(self._pause, self.changed, unanswered)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        else:
            self._pause = _FIRST_PAUSE

    def _failed(self, failure: Failure) -> None:
        """Say what is our mistake; the next change is looked at all the same."""
        self._running = False
        self._log.failure("unexpected error in a review of sessions", failure)

    def _begin(self, session: _Session) -> Deferred[None]:
        return Deferred.fromCoroutine(self._review(*session))

    async def _review(self, session: Relay | Arrival, record: Record, standing: Standing) -> None:
        try:
            why = await self._objection(record.client, standing)
        except Refused:
            self._unanswered = _together(self._unanswered, [comparable(standing.user)])
            return
        except Exception:  # noqa: BLE001 - what one entry brings to light must not keep the others' sessions
            self._log.failure("unexpected error in the review of session {session}", session=record.client.session)
            return
        if why and not record.finished and record.standing is standing:
            end(session, f"directory: {why}")


def _together(one: Changed, other: Changed) -> Changed:
    both = None if one is None or other is None else {*one, *other}
    return None if both is None or len(both) > MOST else both


def _is_something(changed: Changed) -> bool:
    return changed is None or bool(changed)


def _is_concerned(standing: Standing, changed: Changed) -> bool:
    if changed is None:
        return True
    return comparable(standing.user) in changed or (bool(standing.domain) and comparable(standing.domain) in changed)
