"""A worker's answers to what the supervisor asks on an operator's behalf."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

from attrs import frozen

from mmp.admin.sessions import Sessions
from mmp.observe.metrics import Counted
from mmp.observe.trace import Traces
from mmp.shared.asking import Asked, Page


@frozen
class Answers:
    """Answers each question by its name."""

    sessions: Sessions
    counted: Counted
    traces: Traces
    forget: Callable[[str], int]
    """Forgets what is remembered of a user, and returns how many answers that was."""

    def __call__(self, asked: Asked) -> Iterator[Page]:
        """Return the pages of the answer."""
        return _ANSWERS[asked["question"]](self, asked)

    def who(self, asked: Asked) -> Iterator[Page]:
        """Tell of sessions."""
        return self.sessions.listed(asked["wanted"])

    def kick(self, asked: Asked) -> Iterator[Page]:
        """End sessions, over time if so many ``seconds`` are given."""
        if seconds := asked.get("seconds"):
            return self.sessions.ended_slowly(asked["wanted"], asked["why"], seconds)
        return self.sessions.ended(asked["wanted"], asked["why"])

    def flush(self, asked: Asked) -> Iterator[Page]:
        """Forget a user."""
        yield [self.forget(asked["user"])]

    def trace(self, asked: Asked) -> Iterator[Page]:
        """Tell of a user's sessions as they go on, for so many ``seconds``, or until no more is wanted."""
        return self.traces.pages(asked["user"], asked["seconds"])

    def gauges(self, _asked: Asked) -> Iterator[Page]:
        """Tell what was last seen of stores and directories, and of the sessions in numbers; as ``State`` takes it."""
        yield [[*key, [seen.why, seen.at]] for key, seen in self.counted.seen.items()]
        yield [["worker", str(os.getpid()), len(self.sessions)]]
        for numbers in self.sessions.numbers():
            yield [[*key, number] for key, number in numbers.items()]


_ANSWERS: Mapping[str, Callable[[Answers, Asked], Iterator[Page]]] = {
    "who": Answers.who,
    "kick": Answers.kick,
    "flush": Answers.flush,
    "trace": Answers.trace,
    "gauges": Answers.gauges,
}
