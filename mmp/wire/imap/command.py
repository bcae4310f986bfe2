"""Cuts what a client sends into commands: lines, and literals between them (RFC 9051, 2.2.1 and 4.3; RFC 7888).

What can pile up is bounded. Past a bound a command is refused if its end is certain; otherwise the connection has to
end, since reading on could take the octets of a literal for commands.
"""

from __future__ import annotations

from attrs import define, field

from mmp.errors import RemoteProtocolError
from mmp.wire.buffer import Buffer
from mmp.wire.imap import grammar
from mmp.wire.imap.grammar import Announcement, Malformed

LINE_LIMIT = 8192
"""Octets in a line, CRLF included: what RFC 7162, 4, asks a server to take."""
SASL_LIMIT = 64 * 1024
"""Octets in a line that holds a SASL response: access tokens that list groups and rights grow beyond 8 KiB."""
LITERAL_LIMIT = 64 * 1024
LITERALS_LIMIT = 16
COMMAND_LIMIT = 2 * LITERAL_LIMIT
"""Octets in a command before its last line: LOGIN has two literals."""
_AUTHENTICATE_LONGEST = 128
"""Octets within which tag and name of AUTHENTICATE are seen."""

_TOO_LARGE = "Literal too large, or one too many"


@define(eq=False, repr=False)
class Command:
    """A command as far as it has come: its lines in one text, and the literals that the text only announces.

    ``announced`` is a literal at the end of the text of which nobody has said yet whether it may come.
    """

    text: bytes = b""
    literals: list[bytes] = field(factory=list)
    announced: Announcement | None = None


@define(eq=False, repr=False)
class CommandReader:
    """Takes commands out of a buffer, one after the other."""

    _command: Command | None = field(default=None, init=False)
    """What has begun."""
    _refused: bool = field(default=False, init=False)
    _awaited: int | None = field(default=None, init=False)
    _announcements: int = field(default=0, init=False)
    _size: int = field(default=0, init=False)

    def next(self, received: Buffer, *, response: bool = False) -> Command | None:
        """Return a command that is whole, or one that announces a literal; None while there is neither.

        To an announcement ``go_on`` or ``refuse`` is the answer. With ``response`` it is a SASL response that is due
        instead of a command. RemoteProtocolError if a line is too long.
        """
        while self._awaited is None or self._take_literal(received, self._awaited):
            # nearly always no limit is reached, and which it would be does not matter
            limit = LINE_LIMIT if len(received) < LINE_LIMIT else self._limit(received, response=response)
            line = received.line(limit)
            if line is None:
                return None
            command = self._command
            if command is None:
                command = self._command = Command()
            command.text += line
            command.announced = grammar.announcement(line)
            self._size += len(line)
            if self._refused:
                self.refuse()
                continue
            if command.announced is None:
                self._begin()
            return command
        return None

    def go_on(self, announced: Announcement) -> None:
        """Let the announced literal come; Malformed if it is beyond the limits."""
        if not self._fits(announced):
            raise Malformed(_TOO_LARGE)
        self._await(announced)

    def refuse(self) -> None:
        """Forget the command and pass over what is still to come of it.

        A literal for which the client does not wait comes all the same, with more of the command behind it. Too large a
        one must be read to its end or answered by closing (RFC 7888, 4): RemoteProtocolError.
        """
        announced = None if self._command is None else self._command.announced
        if announced is None or announced.client_waits:
            self._begin()
            return
        self._command = Command()
        self._refused = True
        if not self._fits(announced):
            raise RemoteProtocolError(_TOO_LARGE)
        self._await(announced)

    def _limit(self, received: Buffer, *, response: bool) -> int:
        begun = self._command is not None or self._refused
        sasl = not begun and (response or grammar.AUTHENTICATE.match(received.front(_AUTHENTICATE_LONGEST)))
        return SASL_LIMIT if sasl else LINE_LIMIT

    def _begin(self) -> None:
        self._command = None
        self._awaited = None
        self._refused = False
        self._announcements = self._size = 0

    def _take_literal(self, received: Buffer, awaited: int) -> bool:
        """Take the awaited literal; return whether a line comes next."""
        octets = received.take(awaited)
        if octets is None:
            return False
        self._awaited = None
        if self._command is not None and not self._refused:
            self._command.literals.append(octets)
        return True

    def _fits(self, announced: Announcement) -> bool:
        return (
            announced.size <= LITERAL_LIMIT
            and self._size + announced.size <= COMMAND_LIMIT
            and self._announcements < LITERALS_LIMIT
        )

    def _await(self, announced: Announcement) -> None:
        self._awaited = announced.size
        self._size += announced.size
        self._announcements += 1
