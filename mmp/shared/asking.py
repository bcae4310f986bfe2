"""Questions of the supervisor to its workers, answered page by page, so that both serve others in between.

The next page is made when it is wanted: whoever reads slowly costs no memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mmp.shared import link as wire
from mmp.shared.link import Kind, Link, Part

Asked = Mapping[str, Any]
"""A question, as JSON has it."""
Page = list[Any]
Answers = Callable[[Asked], Iterator[Page]]

PIECE = 16384
"""Octets of a page in one frame at most."""
PATIENCE = 3.0
"""Seconds that a worker has for a page; one that is stuck must not keep what the others say from whoever asks."""


class Question:
    """One question to one worker, as the supervisor has it."""

    def __init__(self, asker: Asker, number: int) -> None:
        self._asker = asker
        self._number = number
        self._waiting: Deferred[bytes | None] | None = None
        self._page: bytes | None = None
        self._pieces = b""
        self._part = Part.GOES_ON

    def page(self) -> Deferred[bytes | None]:
        """Return the next page, a JSON list, perhaps an empty one; None once there is none.

        None as well when the worker is gone or does not answer. Ask again only after the page has come.
        """
        if self._page is not None:
            page, self._page = self._page, None
            return succeed(page)
        if self._part is Part.LAST:
            return succeed(None)
        if self._part is Part.MORE:
            self._part = Part.GOES_ON
            self._asker.want(Kind.MORE, self._number)
        self._waiting = Deferred(self._cancelled)
        return self._waiting.addTimeout(PATIENCE, self._asker.clock, onTimeoutCancel=lambda *_: None)

    def _cancelled(self, _waiting: Deferred[bytes | None]) -> None:
        self._waiting = None
        self.close()

    def close(self) -> None:
        """Want no more of it."""
        if self._part is not Part.LAST:
            self._part = Part.LAST
            self._asker.forget(self._number)

    def received(self, part: Part, piece: bytes) -> None:
        """Take a piece of the present page."""
        self._pieces += piece
        self._part = part
        if part is not Part.GOES_ON:
            page, self._pieces = self._pieces, b""
            self._hand_on(page)

    def lost(self) -> None:
        """The worker is gone; a page that had come in time may still be had."""
        self._part = Part.LAST
        if self._waiting is not None:
            self._hand_on(None)

    def _hand_on(self, page: bytes | None) -> None:
        if self._waiting is None:
            self._page = page
        else:
            waiting, self._waiting = self._waiting, None
            waiting.callback(page)


class Asker:
    """The supervisor's end of one link, as far as questions go."""

    def __init__(self, link: Link, clock: IReactorTime) -> None:
        self.clock = clock
        self._link = link
        self._asked: dict[int, Question] = {}
        self.number = 0
        """The last question's; it also numbers those that another program has asked on the same link before."""

    def ask(self, asked: Asked) -> Question:
        """Ask; the first page is on its way."""
        self.number += 1
        question = self._asked[self.number] = Question(self, self.number)
        self._link.send(Kind.ASK, wire.NUMBER.pack(self.number) + _json(asked))
        return question

    def want(self, kind: Kind, number: int) -> None:
        """Say whether more of a question is wanted."""
        self._link.send(kind, wire.NUMBER.pack(number))

    def forget(self, number: int) -> None:
        """Want no more of a question."""
        del self._asked[number]
        self.want(Kind.ENOUGH, number)

    def received(self, payload: bytes) -> None:
        """Take a piece of a page."""
        number, part = wire.PIECE.unpack_from(payload)
        question = self._asked.get(number)
        if question is None:  # given up while this was on its way
            return
        if part == Part.LAST:
            del self._asked[number]
        question.received(Part(part), payload[wire.PIECE.size :])

    def end(self) -> None:
        """Want no more of any question."""
        for question in tuple(self._asked.values()):
            question.close()

    def lost(self) -> None:
        """Tell whoever waits that the worker is gone."""
        asked, self._asked = self._asked, {}
        for question in asked.values():
            question.lost()


class Answerer:
    """The worker's end; what goes wrong with an answer ends it, and nothing else."""

    _log = Logger()

    def __init__(self, link: Link, answers: Answers) -> None:
        self._link = link
        self._answers = answers
        self._going_on: dict[int, Iterator[Page]] = {}

    @property
    def under_way(self) -> int:
        """How many questions may be gone on with."""
        return len(self._going_on)

    def received(self, kind: Kind, payload: bytes) -> None:
        """Take a question, or what is wanted of one."""
        (number,) = wire.NUMBER.unpack_from(payload)
        if kind is Kind.ASK:
            self._going_on[number] = self._answers(json.loads(payload[wire.NUMBER.size :]))
        if kind is Kind.ENOUGH:
            self._going_on.pop(number, None)
        elif number in self._going_on:
            self._send(number, self._next(number))

    def _next(self, number: int) -> Page | None:
        """Return the next page, None if that was all."""
        try:
            page = next(self._going_on[number], None)
        except Exception:  # noqa: BLE001 - nobody's session may end for the sake of an answer
            self._log.failure("unexpected error in an answer to the supervisor")
            page = None
        if page is None:
            del self._going_on[number]
        return page

    def _send(self, number: int, page: Page | None) -> None:
        octets = _json(page or [])
        for start in range(0, len(octets), PIECE):
            is_end = start + PIECE >= len(octets)
            part = Part.GOES_ON if not is_end else Part.LAST if page is None else Part.MORE
            self._link.send(Kind.PAGE, wire.PIECE.pack(number, part) + octets[start : start + PIECE])


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
