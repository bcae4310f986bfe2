"""Stands behind the login, and keeps a client from commands by which it could become somebody else at the store.

RFC 9051, 2.2, 4.3 and 7.6; IDLE: RFC 2177; LITERAL+ and LITERAL-: RFC 7888; UNAUTHENTICATE: RFC 8437; COMPRESS: RFC
4978. It follows just enough to know what is a command, and lets pass only what every store must take for the same: what
is a command to one reader and a literal to another could be used to smuggle. So the store is asked about every literal,
also where the client does not wait: one that it has not agreed to, such as Dovecot's of a command with a mistake before
it, it takes for commands. Memory is bounded.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar

from attrs import define, field

from mmp.errors import RemoteProtocolError
from mmp.wire.buffer import Buffer, taken
from mmp.wire.events import LoggedIn
from mmp.wire.imap import grammar, replies
from mmp.wire.imap.grammar import Announcement
from mmp.wire.imap.listing import Listing
from mmp.wire.imap.response import STATUSES

LINE_LIMIT = 64 * 1024
"""Octets in a line: what Dovecot takes of a command (imap_max_line_length), which may name many messages."""
UNANSWERED_LIMIT = 10_000
"""Commands that wait for the store's answer at a time."""
REFUSED_LIMIT = 20
"""Commands refused by us, after which the connection ends: what no client has reason to say it says by intent."""
LITERAL_LIMIT = 2**31 - 1
"""Octets in a literal: the largest number that no store reads as another one (32 bits in RFC 3501, 9)."""

_REMEMBERED = 32
"""Lists of capabilities."""
_HEAD, _TAIL = 100, 32
"""Octets at the beginning of a store's line that tell what it is, and at its end that may announce a literal."""
_FORBIDDEN = replies.STANDING | frozenset(b"LOGIN AUTHENTICATE STARTTLS COMPRESS".split())
"""Neither is there another login; the last two would hide from us what follows."""
_TAKING_LITERALS = (grammar.COMMANDS_AFTER_LOGIN - {b"IDLE"}) | frozenset(  # it has another use for "+"
    b"DELETEACL ESEARCH GETACL GETANNOTATION GETMETADATA GETQUOTA GETQUOTAROOT ID LISTRIGHTS MYRIGHTS NOTIFY REPLACE"
    b" SETACL SETANNOTATION SETMETADATA SETQUOTA SORT THREAD XLIST".split()
)
_QUOTED = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_EAGER = b"+}\r\n"
_ANNOUNCED = re.compile(rb"(?:[ (]|\A)~?\{[0-9]++\+?\}\r\n\Z")


class Place(enum.Enum):
    """What comes next from the client."""

    COMMAND = enum.auto()
    ANSWER = enum.auto()
    """A literal if the store agrees, else a command: who does not wait (RFC 9051, 4.3) is made to."""
    LITERAL = enum.auto()
    REST = enum.auto()
    """More of a command, behind a literal."""
    IDLE = enum.auto()
    """DONE, and nothing else (RFC 2177, 3)."""
    NOTHING = enum.auto()
    """The connection ends."""


def guard(logged_in: LoggedIn) -> Guard | None:
    """Return a guard for a store that has said this of itself; None if nobody can become somebody else there."""
    return Guard() if _is_needed(logged_in.capabilities) else None


@lru_cache(_REMEMBERED)
def _is_needed(capabilities: tuple[bytes, ...]) -> bool:
    """Tell whether there is something to be guarded; remembered, since stores say the same to most of their users."""
    return not replies.STANDING.isdisjoint(map(bytes.upper, capabilities))


@define(eq=False, repr=False)
class Guard:
    """Filters one connection, both directions; satisfies ``mmp.interfaces.Guard``.

    It begins between two commands. A refusal is said between two responses of the store.
    """

    _place: Place = field(default=Place.COMMAND, init=False)
    _received: Buffer = field(factory=Buffer, init=False)
    _tag: bytes = field(default=b"", init=False)
    """Of the present command."""
    _refusing: bool = field(default=False, init=False)
    """Whether we have refused it, or the store has before its end; then nothing more of it passes."""
    _counted: int = field(default=0, init=False)
    """Octets of a literal still to come from the client."""
    _eager: bool = field(default=False, init=False)
    """Whether the client does not wait for the answer to that literal, and must not see it either."""
    _unanswered: set[bytes] = field(factory=set, init=False)
    """Tags of commands."""
    _idle: bytes = field(default=b"", init=False)
    """The tag of an IDLE that the store has not yet agreed to; until it has, the end of that IDLE waits with us."""
    _refused: int = field(default=0, init=False)
    _why: str = field(default="", init=False)
    """Why the connection ends, for the log."""
    _owed: list[bytes] = field(factory=list, init=False)
    """What we have to say as soon as the store is between two responses."""
    _head: bytes = field(default=b"", init=False)
    _tail: bytes = field(default=b"", init=False)
    """Beginning and end of what has come of the store's present line."""
    _listing: Listing = field(factory=Listing, init=False)
    _is_data: bool = field(default=False, init=False)
    """Whether this line belongs to a response that can hold literals."""
    _skipped: int = field(default=0, init=False)
    """Octets of a literal still to come from the store."""

    @property
    def waits(self) -> bool:
        """Whether it waits for the store's ``+`` or refusal, and has not looked at what is behind that."""
        is_early = self._place is Place.ANSWER or (self._place is Place.IDLE and bool(self._idle))
        return is_early and bool(self._received)

    def from_client(self, octets: bytes) -> bytes:
        """Return what may go to the store; RemoteProtocolError once the client has heard why it is let go."""
        self.stop_if_ended()
        passed: list[bytes] = []
        if self._place is not Place.NOTHING:
            self._received.feed(octets)
            self._go_on(passed)
        return b"".join(passed)

    def from_store(self, octets: bytes) -> bytes:
        """Return what the store said, with our own answers between its responses; RemoteProtocolError likewise.

        Its lists of capabilities are without those that are not to be had here.
        """
        self.stop_if_ended()
        said: list[bytes] = []
        start = 0
        while start < len(octets):
            is_line = not (self._skipped or self._is_data)
            is_for_us = is_line and self._eager and (self._head or octets[start : start + 1]).startswith(b"+")
            end = self._part(octets, start)
            part = octets[start:end]
            if not is_for_us:
                said.append(self._listing.passed(part) if is_line else part)
            said.append(self.answers())
            start = end
        return b"".join(said)

    def answers(self) -> bytes:
        """Return and forget what the client is to hear at once, unless the store is in the middle of a response."""
        if self._head or self._skipped or self._is_data:
            return b""
        return taken(self._owed)

    def stop_if_ended(self) -> None:
        """Raise RemoteProtocolError once the client has heard why it is let go."""
        if self._place is Place.NOTHING and not self._owed:
            raise RemoteProtocolError(self._why)

    # What the store says

    def _part(self, octets: bytes, start: int) -> int:
        """Take notice of a literal, a line, or the part of one that has come; return where it ends."""
        if self._skipped:
            end = min(len(octets), start + self._skipped)
            self._skipped -= end - start
            return end
        end = octets.find(b"\n", start) + 1
        part = octets[start : end or len(octets)]
        self._head += part[: _HEAD - len(self._head)]
        self._tail = (self._tail + part[-_TAIL:])[-_TAIL:]
        if end:
            self._line_ended()
        return end or len(octets)

    def _line_ended(self) -> None:
        (head, tail), self._head, self._tail = (self._head, self._tail), b"", b""
        if not self._is_data:
            tag, kind, *_ = *head.split(maxsplit=2), b"", b""
            self._is_data = tag == b"*" and kind.upper() not in STATUSES
            self._answered(tag)
        announced = grammar.announcement(tail) if self._is_data else None
        if announced is None:
            self._is_data = False
        else:
            self._skipped = announced.size

    def _answered(self, tag: bytes) -> None:
        """The store goes on with a command (``+``), or is done with one."""
        if tag == b"+":
            if self._place is Place.ANSWER:
                self._place, self._eager = Place.LITERAL, False
            self._idle = b""
            return
        self._unanswered.discard(tag)
        if tag == self._idle:
            self._idle = b""
        if tag == self._tag and self._place in {Place.ANSWER, Place.IDLE}:
            self._refusing = self._eager  # its literal comes all the same, and the rest
            self._place, self._eager = Place.LITERAL if self._eager else Place.COMMAND, False

    # What the client says

    def _go_on(self, passed: list[bytes]) -> None:
        try:
            while self._received and self._STEPS[self._place](self, passed):
                pass
        except RemoteProtocolError:
            self._end("a line without end", b"Line too long")

    def _line(self, passed: list[bytes]) -> bool:
        line = self._received.line(LINE_LIMIT)
        if line is None:
            return False
        first = self._place is Place.COMMAND
        name = self._begin(line) if first else b""
        announced = grammar.announcement(line)
        if announced is not None and not (announced.size <= LITERAL_LIMIT and _is_clear(line)):
            self._end("what may be a literal or not", b"Unclear literal")
        elif not (first or self._refusing or _is_clean(line)):
            self._end("what may be the end of a command or not", b"Unclear end of a command")
        elif first:
            self._judge(name, line, announced)
        if self._place is Place.NOTHING:
            return False
        if announced is not None and not (first or self._refusing or self._tag in self._unanswered):
            passed.append(b"\r\n")  # it has been answered, so the store agrees to no more of it, and waits for its end
            self._refusing = True
        if not self._refusing:
            passed.append(line if announced is None or announced.client_waits else line[: -len(_EAGER)] + b"}\r\n")
            if first:  # behind a literal it may have been answered already
                self._unanswered.add(self._tag)
        self._after(name, announced)
        return True

    def _begin(self, line: bytes) -> bytes:
        """Begin a command, and return its name; empty if it has none."""
        match = grammar.COMMAND.match(line)
        tag = match or grammar.TAG.match(line)
        self._tag = tag[1] if tag else b"*"
        self._refusing = False
        return match[2].upper() if match else b""

    def _judge(self, name: bytes, line: bytes, announced: Announcement | None) -> None:
        """Refuse what must not pass."""
        if not (name and _is_clean(line)):
            self._refuse(b"BAD A command is a tag, a name, and CR LF behind its arguments")
        elif name in _FORBIDDEN:
            self._refuse(b"NO [CANNOT] Not available here")
        elif self._tag in self._unanswered:
            self._refuse(b"BAD This tag waits for an answer already")
        elif len(self._unanswered) == UNANSWERED_LIMIT:
            self._end("too many commands without an answer", b"Too many commands")
        elif announced is not None and name not in _TAKING_LITERALS:
            self._refuse(b"BAD This command takes no literals")

    def _after(self, name: bytes, announced: Announcement | None) -> None:
        """Settle what comes behind a line."""
        if announced is None or (self._refusing and announced.client_waits):
            self._place = Place.IDLE if name == b"IDLE" and not self._refusing else Place.COMMAND
            if self._place is Place.IDLE:
                self._idle = self._tag
            return
        self._counted = announced.size
        self._place = Place.LITERAL if self._refusing else Place.ANSWER
        self._eager = not (self._refusing or announced.client_waits)

    def _literal(self, passed: list[bytes]) -> bool:
        octets = self._received.take(min(self._counted, len(self._received))) or b""
        if not self._refusing:
            passed.append(octets)
        self._counted -= len(octets)
        if not self._counted:
            self._place = Place.REST
        return True

    def _done(self, passed: list[bytes]) -> bool:
        if self._idle:  # two + on their way could be taken for one another
            return False
        line = self._received.line(LINE_LIMIT)
        if line is None:
            return False
        if line.upper() != b"DONE\r\n":
            self._end("something else than DONE", b"Expected DONE")
            return False
        passed.append(line)
        self._place = Place.COMMAND
        return True

    _STEPS: ClassVar[Mapping[Place, Callable[[Guard, list[bytes]], bool]]] = MappingProxyType(
        {
            Place.COMMAND: _line,
            Place.ANSWER: lambda _guard, _passed: False,
            Place.LITERAL: _literal,
            Place.REST: _line,
            Place.IDLE: _done,
            Place.NOTHING: lambda _guard, _passed: False,
        }
    )
    """Each returns whether it could use what has come."""

    # What we say

    def _refuse(self, reply: bytes) -> None:
        self._refused += 1
        self._refusing = True
        if self._refused > REFUSED_LIMIT:
            self._end("commands to become somebody else, again and again", b"Too many commands")
        else:
            self._owed.append(self._tag + b" " + reply + b"\r\n")

    def _end(self, why: str, words: bytes) -> None:
        self._place, self._why = Place.NOTHING, why
        self._received.clear()
        self._owed.append(b"* BYE " + words + b"\r\n")


def _is_clean(line: bytes) -> bool:
    """Tell whether all take this for one line."""
    return line.endswith(b"\r\n") and b"\r" not in line[:-2] and b"\0" not in line


def _is_clear(line: bytes) -> bool:
    """Tell whether what announces a literal is no part of a quoted string or an atom."""
    return b'"' not in _QUOTED.sub(b"", line) and _ANNOUNCED.search(line) is not None
