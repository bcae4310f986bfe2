"""Stands behind the login, and keeps a client from becoming somebody else at a store that has UNAUTHENTICATE.

RFC 5804, 2 and 4; UNAUTHENTICATE: 2.14.1. Only commands of the RFC pass, and only well-formed: Cyrus runs what is
behind a mistake in the same line as a command, and the literal behind a mistake too. Memory is bounded.
"""

from __future__ import annotations

import enum
import re
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar

from attrs import define, field

from mmp.errors import RemoteProtocolError
from mmp.wire.buffer import Buffer, taken
from mmp.wire.events import LoggedIn
from mmp.wire.managesieve import grammar
from mmp.wire.managesieve.reader import LINE_LIMIT

UNANSWERED_LIMIT = 10_000
"""Commands that wait for the store's answer at a time."""
REFUSED_LIMIT = 20
"""Commands refused by us, after which the connection ends: what no client has reason to say it says by intent."""
NAME_LIMIT = 1024
"""Octets of a script's name where a literal is about: Cyrus looks for a command behind one that is too long."""
SCRIPT_LIMIT = 2**31 - 1
"""Octets of a script: the largest number that no store reads as another one."""

_STANDING = b"UNAUTHENTICATE"
_HEAD, _TAIL = 32, 32
"""Octets at the beginning of a store's line that tell what it is, and at its end that may announce a literal."""
_LITERAL = rb"\{(?:0|[1-9][0-9]{0,9})\+\}\r\n"
_STRING = rb'(?:"(?:[^"\\\r\n\0]|\\["\\])*+"|%b)' % _LITERAL
_COMMAND = re.compile(
    rb"(?:CAPABILITY|LISTSCRIPTS|LOGOUT|NOOP(?: %b)?|(?:GETSCRIPT|SETACTIVE|DELETESCRIPT|CHECKSCRIPT) %b"
    rb"|(?:PUTSCRIPT|RENAMESCRIPT) %b %b|HAVESPACE %b [0-9]{1,10})\r\n" % ((_STRING,) * 5),
    re.IGNORECASE,
)
_BEGUN = re.compile(
    rb"(?:(?P<script>CHECKSCRIPT|PUTSCRIPT %b)|(?:PUT|GET|DELETE)SCRIPT|SETACTIVE|RENAMESCRIPT(?: %b)?|NOOP|HAVESPACE)"
    rb" \{(?P<size>0|[1-9][0-9]{0,9})\+\}\r\n" % (_STRING, _STRING),
    re.IGNORECASE,
)
"""A command up to a literal; there is none that might be taken for something else."""
_QUOTED = re.compile(rb'"(.*)"')
_LINE = re.compile(rb"[^\r\n\0]*+(?<!\})\r\n")
"""What all take for one line, and nothing more."""
_STATUS = re.compile(rb"(?:OK|NO|BYE)[ \r\n]", re.IGNORECASE)
_WITHHELD = re.compile(rb'"(?:%b|STARTTLS)"[ \r\n]' % _STANDING, re.IGNORECASE)
_NOT_HERE = b'NO "Not available here"\r\n'


class Place(enum.Enum):
    """What comes next from the client."""

    LINE = enum.auto()
    LITERAL = enum.auto()
    NOTHING = enum.auto()
    """The connection ends."""


class Due(enum.Enum):
    """What the store owes the client."""

    RESPONSE = enum.auto()
    CAPABILITIES = enum.auto()


class Kind(enum.Enum):
    """What a line of the store is."""

    UNKNOWN = enum.auto()
    """Too little of it has come."""
    STATUS = enum.auto()
    """The end of a response."""
    DATA = enum.auto()
    WITHHELD = enum.auto()
    """A capability that is not to be had here."""


def guard(logged_in: LoggedIn) -> Guard | None:
    """Return a guard for a store that has said this of itself; None if nobody can become somebody else there."""
    return Guard() if _STANDING in logged_in.capabilities else None


@define(eq=False, repr=False)
class Guard:
    """Filters one connection, both directions; satisfies ``mmp.interfaces.Guard``. It begins between two commands."""

    waits: ClassVar[bool] = False
    """It is never the store that decides what the client's octets are: no literal waits for an answer."""

    _place: Place = field(default=Place.LINE, init=False)
    _received: Buffer = field(factory=Buffer, init=False)
    _text: bytes = field(default=b"", init=False)
    """What has come of the present command, without its literals."""
    _counted: int = field(default=0, init=False)
    """Octets of a literal still to come from the client."""
    _due: deque[Due | bytes] = field(factory=deque, init=False)
    """What the client is owed, in order: responses of the store, and our own in full."""
    _refused: int = field(default=0, init=False)
    _why: str = field(default="", init=False)
    """Why the connection ends, for the log."""
    _kind: Kind = field(default=Kind.UNKNOWN, init=False)
    """Of the store's present line."""
    _head: bytes = field(default=b"", init=False)
    """What is held back of it until its kind is known."""
    _tail: bytes = field(default=b"", init=False)
    """The end of what has come of it."""
    _skipped: int = field(default=0, init=False)
    """Octets of a literal still to come from the store."""
    _for_store: list[bytes] = field(factory=list, init=False)
    _for_client: list[bytes] = field(factory=list, init=False)

    def from_client(self, octets: bytes) -> bytes:
        """Return what may go to the store; RemoteProtocolError once the client has heard why it is let go."""
        self.stop_if_ended()
        if self._place is not Place.NOTHING:
            self._received.feed(octets)
            self._go_on()
        return taken(self._for_store)

    def from_store(self, octets: bytes) -> bytes:
        """Return what the store said, with our own answers each in its place; RemoteProtocolError as from_client.

        Its lists of capabilities are without those that are not to be had here.
        """
        self.stop_if_ended()
        start = 0
        while start < len(octets):
            start = self._part(octets, start)
        return taken(self._for_client)

    def answers(self) -> bytes:
        """Return and forget what the client is to hear at once, since the store owes it nothing before that."""
        return taken(self._for_client)

    def stop_if_ended(self) -> None:
        """Raise RemoteProtocolError once the client has heard why it is let go."""
        if self._place is Place.NOTHING and not (self._due or self._for_client):
            raise RemoteProtocolError(self._why)

    # What the store says

    def _part(self, octets: bytes, start: int) -> int:
        """Pass on a literal, a line, or the part of one that has come; return where it ends."""
        if self._skipped:
            end = min(len(octets), start + self._skipped)
            self._skipped -= end - start
            self._pass_on(octets[start:end])
            return end
        end = octets.find(b"\n", start) + 1
        part = octets[start : end or len(octets)]
        self._tail = (self._tail + part[-_TAIL:])[-_TAIL:]
        if self._kind is Kind.UNKNOWN:
            self._head += part
            if end or len(self._head) >= _HEAD:
                self._kind, part, self._head = self._kind_of(self._head), self._head, b""
        if self._kind is not Kind.UNKNOWN:
            self._pass_on(part)
        if end:
            self._line_ended()
        return end or len(octets)

    def _kind_of(self, head: bytes) -> Kind:
        if _STATUS.match(head):
            return Kind.STATUS
        is_listed = not self._due or self._due[0] is not Due.RESPONSE  # a script may be called so
        return Kind.WITHHELD if is_listed and _WITHHELD.match(head) else Kind.DATA

    def _pass_on(self, part: bytes) -> None:
        if self._kind is not Kind.WITHHELD:
            self._for_client.append(part)

    def _line_ended(self) -> None:
        announced, self._tail = grammar.announced(self._tail), b""
        if announced is not None:
            self._skipped = announced
            return
        kind, self._kind = self._kind, Kind.UNKNOWN
        if kind is Kind.STATUS and self._due and isinstance(self._due[0], Due):
            self._due.popleft()
        self._answer_in_turn()

    def _answer_in_turn(self) -> None:
        while self._due and isinstance(reply := self._due[0], bytes) and self._kind is Kind.UNKNOWN and not self._head:
            self._for_client.append(reply)
            self._due.popleft()

    # What the client says

    def _go_on(self) -> None:
        try:
            while self._received and self._STEPS[self._place](self):
                pass
        except RemoteProtocolError:
            self._end("a line without end", "Line too long")

    def _line(self) -> bool:
        line = self._received.line(LINE_LIMIT)
        if line is None:
            return False
        is_first = not self._text
        self._text += line
        if _COMMAND.fullmatch(self._text):
            self._let_pass(line, is_first=is_first)
            self._text = b""
        elif begun := _BEGUN.fullmatch(self._text):
            self._begin_literal(line, begun, is_first=is_first)
        elif is_first and _LINE.fullmatch(line):
            self._text = b""
            if line != b"\r\n":  # nobody waits for an answer to that
                self._refuse()
        else:
            self._end("what may be a command or not", "Unclear command")
        return True

    def _begin_literal(self, line: bytes, begun: re.Match[bytes], *, is_first: bool) -> None:
        size = int(begun["size"])
        quoted = _QUOTED.search(line)
        if size > (SCRIPT_LIMIT if begun["script"] else NAME_LIMIT) or (quoted and len(quoted[0]) > NAME_LIMIT):
            self._end("a string that may be too long", "Too long")
            return
        if quoted and not line.isascii():  # to Cyrus that is a mistake in quotes, and the literal behind it commands
            line = line.replace(quoted[0], grammar.literal(grammar.unquoted(quoted[0]), b"+"))
        self._let_pass(line, is_first=is_first)
        if size and self._place is Place.LINE:
            self._place, self._counted = Place.LITERAL, size

    def _let_pass(self, line: bytes, *, is_first: bool) -> None:
        if is_first:
            if len(self._due) == UNANSWERED_LIMIT:
                self._end("too many commands without an answer", "Too many commands")
                return
            self._due.append(Due.CAPABILITIES if grammar.keyword(line) == b"CAPABILITY" else Due.RESPONSE)
        self._for_store.append(line)

    def _literal(self) -> bool:
        octets = self._received.take(min(self._counted, len(self._received))) or b""
        self._for_store.append(octets)
        self._counted -= len(octets)
        if not self._counted:
            self._place = Place.LINE
        return True

    _STEPS: ClassVar[Mapping[Place, Callable[[Guard], bool]]] = MappingProxyType(
        {Place.LINE: _line, Place.LITERAL: _literal, Place.NOTHING: lambda _: False}
    )
    """Each returns whether it could use what has come."""

    # What we say

    def _refuse(self) -> None:
        self._refused += 1
        if self._refused > REFUSED_LIMIT or len(self._due) == UNANSWERED_LIMIT:
            self._end("commands to become somebody else, again and again", "Too many commands")
        else:
            self._due.append(_NOT_HERE)
            self._answer_in_turn()

    def _end(self, why: str, words: str) -> None:
        """Say BYE as soon as the store is between two lines: to a command that is not whole it may owe no answer."""
        self._place, self._why = Place.NOTHING, why
        self._received.clear()
        self._due.clear()
        self._due.append(f'BYE "{words}"\r\n'.encode("ascii"))
        self._answer_in_turn()
