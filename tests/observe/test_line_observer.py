"""Twisted's own events and unexpected exceptions end in the same log."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

from twisted.logger import ILogObserver, LogBeginner, Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from twisted.python.log import LogPublisher as LegacyPublisher
from zope.interface.verify import verifyObject

from mmp.interfaces import Level
from mmp.model import Credentials
from mmp.observe.log import LineObserver


class Events:
    """A log that remembers."""

    def __init__(self) -> None:
        self.written: list[dict[str, object]] = []

    def heeds(self, level: Level) -> bool:
        return True

    def event(self, name: str, level: Level = "info", /, **facts: object) -> None:
        known = {key: str(value) for key, value in facts.items() if value not in {None, ""}}
        self.written.append({"event": name, "level": level} | known)

    def tell(self, name: str, level: Level, facts: dict[str, object], /) -> None:
        self.event(name, level, **facts)


def written(say: Callable[[Logger], object]) -> dict[str, object]:
    events = Events()
    say(Logger("some.where", observer=LineObserver(events)))
    (event,) = events.written
    return event


def log_in(secret: bytes) -> None:
    try:
        int(secret)
    except ValueError:
        {}[Credentials("PLAIN", "alice", secret)]


def fail() -> Failure:
    try:
        log_in(b"open sesame")
    except KeyError:
        return Failure()
    raise AssertionError


def test_it_is_an_observer() -> None:
    verifyObject(ILogObserver, LineObserver(Events()))


def test_a_message_keeps_its_level_origin_and_words() -> None:
    assert written(lambda logger: logger.emit(LogLevel.warn, "{count} of\n{what}", count=3, what="them")) == {
        "event": "message",
        "level": "warn",
        "system": "some.where",
        "text": "3 of\nthem",
    }


def test_an_exception_is_told_by_class_places_and_cause_from_the_inside_out() -> None:
    event = written(lambda logger: logger.failure("in a session", fail(), session="a1"))
    assert (event["event"], event["level"], event["text"]) == ("unexpected", "critical", "in a session")
    assert (event["session"], event["error"]) == ("a1", "builtins.KeyError")
    inner, outer = str(event["traceback"]).split("; ")
    assert inner.startswith(__file__)
    assert inner.endswith(" log_in")
    assert outer.endswith(" fail")
    assert str(event["cause"]).startswith(f"builtins.ValueError at {__file__}:")


def test_an_exception_that_quotes_a_secret_does_not_bring_it_into_the_log() -> None:
    event = written(lambda logger: logger.failure("in a session", fail()))
    assert "sesame" not in str(event)


def test_a_cause_that_was_disowned_is_not_told() -> None:
    def disown() -> Failure:
        try:
            try:
                log_in(b"open sesame")
            except KeyError:
                raise RuntimeError from None
        except RuntimeError:
            return Failure()

    assert "cause" not in written(lambda logger: logger.failure("", disown()))


def test_causes_that_run_in_a_ring_end() -> None:
    first, second = RuntimeError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert written(lambda logger: logger.failure("", Failure(first)))["cause"] == "builtins.KeyError"


def test_what_the_operating_system_said_is_kept() -> None:
    failure = Failure(FileNotFoundError(2, "No such file or directory", "tls/mail.pem"))
    reason = written(lambda logger: logger.failure("", failure))["reason"]
    assert reason == "[Errno 2] No such file or directory: 'tls/mail.pem'"


def test_twisted_s_older_way_of_logging_keeps_the_caller_s_words_only() -> None:
    events = Events()
    publisher = LegacyPublisher(publishPublisher=LogPublisher(LineObserver(events)))
    publisher.msg(failure=fail(), why="while polling", isError=1)
    publisher.msg("no exception", isError=1)
    event, other = events.written
    assert (event["event"], event["level"], event["text"]) == ("unexpected", "critical", "while polling")
    assert (other["event"], other["text"]) == ("message", "no exception")
    assert "sesame" not in str(event)


def test_an_event_without_anything_is_still_a_line() -> None:
    events = Events()
    LineObserver(events)({})
    assert events.written == [{"event": "message", "level": "info"}]


def test_every_level_of_twisted_is_one_of_ours() -> None:
    assert [written(lambda logger, at=level: logger.emit(at, "x"))["level"] for level in LogLevel.iterconstants()] == [
        "debug",
        "info",
        "warn",
        "error",
        "critical",
    ]


def test_what_is_printed_and_warned_becomes_events_too() -> None:
    class Streams:
        stdout = stderr = None

    class Warnings:
        showwarning = staticmethod(warnings.showwarning)

    events = Events()
    beginner = LogBeginner(LogPublisher(), io.StringIO(), Streams, Warnings)
    beginner.beginLoggingTo([LineObserver(events)])
    print("hello", file=Streams.stdout)
    Warnings.showwarning(DeprecationWarning("old"), DeprecationWarning, "x.py", 3)
    said = [event["text"] for event in events.written]
    assert said[0] == "hello"
    assert "old" in str(said[1])
