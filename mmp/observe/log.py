"""The log: one line per event, as text or JSON, each written at once to a descriptor opened for appending."""

from __future__ import annotations

import enum
import fcntl
import json
import os
import re
import socket
import stat
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Literal, cast

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from twisted.python.reflect import qual
from zope.interface import implementer

from mmp.interfaces import Level, Log
from mmp.model import Endpoint

Style = Literal["text", "json"]

_RANKS: Mapping[Level, int] = {"debug": 0, "info": 1, "warn": 2, "error": 3, "critical": 4}
_LONGEST_VALUE = 1000
"""Characters of one value; a client chooses the length of its names, not that of our lines."""
_is_bare = re.compile(r"[!#-<>-\[\]-~]+").fullmatch
"""Printable ASCII without space, quote, backslash and the sign between key and value."""
_IN_BARE_WORDS = bytes(octet for octet in range(0x21, 0x7F) if octet not in b'"=\\')
"""The same, as octets."""
_UNADORNED = frozenset({int, float, Endpoint})
"""Types whose ``str`` is what a line says of them: most of what is no text already."""
_to_json = json.JSONEncoder(separators=(",", ":")).encode


_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def open_log(path: str = "") -> int:
    """Return a descriptor to append to the file, or to standard error if there is no path; raise OSError.

    Writing to it does not wait for a reader.
    """
    return os.open(path, _APPENDING, 0o640) if path else _open_standard_error()


def _open_standard_error() -> int:
    kind = os.fstat(2).st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISSOCK(kind):
        # Opened anew: O_NONBLOCK on the description we were started with would hold for the shell's other programs too.
        with suppress(OSError):  # a pipe that was another user's
            return os.open("/proc/self/fd/2", _APPENDING)
    descriptor = os.dup(2)
    if stat.S_ISREG(kind):  # shared, so that what the interpreter itself prints there is not written over
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)
    elif not stat.S_ISSOCK(kind):  # a socket (systemd's journal) is told with every line not to wait
        os.set_blocking(descriptor, False)
    return descriptor


class Appender:
    """Writes whole lines to a descriptor that it owns, never waits, and counts the lines it could not write."""

    def __init__(self, descriptor: int) -> None:
        self.lost = 0
        self.lost_ever = 0
        self._torn = False
        self._take(descriptor)

    def append(self, line: bytes) -> bool:
        """Write the line, which ends with a newline, in one call; say whether all of it was taken."""
        if self._torn:
            line = b"\n" + line
        try:
            written = self._write(line)
        except OSError:
            written = 0
        if complete := written == len(line):
            self._torn = False
        else:
            self._torn = self._torn or written > 0
            self.lost += 1
            self.lost_ever += 1
        return complete

    def reopen(self, descriptor: int) -> None:
        """Write to this descriptor from now on and close the one before."""
        self._close()
        self._torn = False
        self._take(descriptor)

    def _take(self, descriptor: int) -> None:
        self._write: Callable[[bytes], int]
        self._close: Callable[[], None]
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            connection = socket.socket(fileno=descriptor)
            self._write = lambda line: connection.send(line, socket.MSG_DONTWAIT)
            self._close = connection.close
        else:
            self._write = partial(os.write, descriptor)
            self._close = partial(os.close, descriptor)


class EventLog:
    """Writes each event as one line: the ``Log`` of ``mmp.interfaces``.

    After lines were lost, the next one that is written says how many: ``lost=3``.
    """

    def __init__(
        self, descriptor: int, style: Style = "text", level: Level = "info", now: Callable[[], float] = time.time
    ) -> None:
        self._appender = Appender(descriptor)
        self._render = _json_line if style == "json" else _text_line
        self._least = _RANKS[level]
        self._now = now
        self._second = -1
        self._stamp = ""

    def event(self, name: str, level: Level = "info", /, **facts: object) -> None:
        """Write one event. The facts are not named ``time``, ``level``, ``event`` or ``lost``."""
        self.tell(name, level, facts)

    def tell(self, name: str, level: Level, facts: dict[str, object], /) -> None:
        """Write one event."""
        if _RANKS[level] < self._least:
            return
        appender = self._appender
        try:
            if lost := appender.lost:
                facts["lost"] = lost
            if appender.append(self._render(self._time(), level, name, facts)):
                appender.lost -= lost
        except Exception:  # noqa: BLE001 - some object's __str__ failed; no session may end for the sake of its log
            appender.lost += 1

    def heeds(self, level: Level) -> bool:
        """Tell whether events of this level are written."""
        return _RANKS[level] >= self._least

    @property
    def lost(self) -> int:
        """How many lines could not be written, ever."""
        return self._appender.lost_ever

    def reopen(self, descriptor: int) -> None:
        """Write to this descriptor, which the log owns from now on."""
        self._appender.reopen(descriptor)

    def _time(self) -> str:
        """Return the time in UTC to the millisecond (RFC 3339)."""
        milliseconds = int(self._now() * 1000)
        second = milliseconds // 1000
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._stamp}{f'{1000 + milliseconds % 1000}'[1:]}Z"  # ``:03`` takes longer than all the rest


@implementer(ILogObserver)
class LineObserver:
    """Takes what Twisted says, and exceptions nobody expected, into the same log, each as one line.

    Of an exception only its class and the places it went through are written: its message may quote what it choked on,
    and that can be a password. Those of the operating system and of imports quote no more than a path.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    def __call__(self, event: LogEvent) -> None:
        """Write the event. Never raises."""
        level = cast("Level", (event.get("log_level") or LogLevel.info).name)
        facts = {"system": event.get("log_namespace"), "session": event.get("session")}
        older = event.get("failure") if event.get("isError") else None  # twisted.python.log
        failure = event.get("log_failure") or older
        text = event.get("why") if older else formatEvent(event)  # the formatted one would hold the whole traceback
        if failure is None:
            self._log.event("message", level, **facts, text=text)
        else:
            self._log.event("unexpected", level, **facts, text=text, **_failed(failure))


def _failed(failure: Failure) -> dict[str, object]:
    """Return the facts about an exception: its class, the places it went through from the inside out, its causes."""
    exception = failure.value
    if exception is None:
        return {}
    return {
        "error": qual(type(exception)),
        "reason": exception if isinstance(exception, OSError | ImportError) else None,
        "traceback": "; ".join(f"{path}:{line} {function}" for function, path, line, *_ in reversed(failure.frames)),
        "cause": "; ".join(_causes(exception)),
    }


def _causes(exception: BaseException) -> Iterator[str]:
    seen = {id(exception)}
    while cause := exception.__cause__ or (None if exception.__suppress_context__ else exception.__context__):
        if id(cause) in seen:
            return
        seen.add(id(cause))
        *_, place = [None, *traceback.extract_tb(cause.__traceback__)]
        yield qual(type(cause)) + (f" at {place.filename}:{place.lineno} {place.name}" if place else "")
        exception = cause


def _text_line(stamp: str, level: str, name: str, facts: Mapping[str, object]) -> bytes:
    words = [stamp, level, name]
    for key, value in facts.items():  # as _known does, without a call for each
        kind = type(value)
        if kind is str:
            if value:
                words.append(f"{key}={value}")
        elif value is not None:
            words.append(f"{key}={value.__str__() if kind in _UNADORNED else _word(value)}")
    line = " ".join(words).encode("utf-8", "surrogatepass")  # such octets are none of a bare line
    if not _is_bare_line(line, len(words) - 3):
        line = " ".join([*words[:3], *(f"{key}={_quoted(value)}" for key, value in _known(facts))]).encode()
    return line + b"\n"


def _known(facts: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    return (fact for fact in facts.items() if fact[1] is not None and fact[1] != "")


def _is_bare_line(line: bytes, words: int) -> bool:
    """Whether none of the values wants quoting: nearly always, and seen of all at once in a tenth of the time."""
    return len(line) <= _LONGEST_VALUE and line.translate(None, _IN_BARE_WORDS) == b"  " + b" =" * words


def _json_line(stamp: str, level: str, name: str, facts: Mapping[str, object]) -> bytes:
    known = {key: _plain(value) for key, value in _known(facts)}
    return _to_json({"time": stamp, "level": level, "event": name, **known}).encode() + b"\n"


def _plain(value: object) -> str | int | float:
    """Return what JSON can say of the value, and never more than a line should hold."""
    if not isinstance(value, str):
        if isinstance(value, enum.Enum):
            value = value.value
        if isinstance(value, (int, float)):
            return value
        value = value.decode("ascii", "backslashreplace") if isinstance(value, bytes) else str(value)
    return value if len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE] + "…"


def _word(value: object) -> str:
    """Return the value as text, not yet quoted."""
    if type(value) in _UNADORNED:
        return str(value)
    plain = _plain(value)
    return plain if isinstance(plain, str) else str(plain).lower()


def _quoted(value: object) -> str:
    """Return the value as it is where that is unmistakable, else as a JSON string, so that it cannot begin a line."""
    text = _word(value)
    if isinstance(value, (int, float)) or _is_bare(text):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


class Silent:
    """A log for where only the outcome matters."""

    def event(self, name: str, level: Level = "info", /, **facts: object) -> None:
        """Let it pass."""

    def tell(self, name: str, level: Level, facts: dict[str, object], /) -> None:
        """Let it pass."""

    def heeds(self, level: Level) -> bool:  # noqa: ARG002 - a log's
        """Heed nothing."""
        return False
