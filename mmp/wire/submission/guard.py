"""Stands behind the login: keeps a client from commands that would use our standing at the relay, and has mail counted.

RFC 5321, 4.1, 4.2 and 4.5.2; pipelining: RFC 2920, 3; BDAT: RFC 3030, 2; BURL: RFC 4468; ETRN: RFC 1985; XCLIENT and
XFORWARD as Postfix has them. It follows just enough to know what is a command, and lets pass only what every relay must
take for the same: what is a command to one reader and text to another could be used to smuggle. Memory is bounded.
"""

from __future__ import annotations

import enum
import re
from collections import deque
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import ClassVar, Protocol

from attrs import define, field

from mmp.errors import RemoteProtocolError
from mmp.wire.buffer import Buffer, taken
from mmp.wire.events import LoggedIn
from mmp.wire.submission.listing import Listing

LINE_LIMIT = 4096
"""Octets in a command: twice what Postfix reads at once."""
UNANSWERED_LIMIT = 10_000
"""Commands that wait for the relay's answer at a time: as many recipients as a client may name in one go."""
REFUSED_LIMIT = 20
"""Commands refused by us, after which the connection ends: what no client has reason to say it says by intent."""

_COMMAND = re.compile(rb"([A-Za-z][A-Za-z0-9]{0,39})(?: [^\r\n\0]*+)?\r\n")
_BDAT = re.compile(rb"BDAT ([0-9]{1,15})(?: LAST)?\r\n", re.IGNORECASE)
_LONE_DOT = re.compile(rb"(\r\n|\r|\n)\.(\r\n|\n|\r(?=[^\n]))")
_UNDECIDED = re.compile(rb"(?:\r\n?|\n)(?:\.\r?)?\Z")
"""The end of what has come of a message, if a lone dot could yet come of it: four octets at most."""

_PASSING = frozenset(b"EHLO HELO MAIL RCPT DATA BURL RSET VRFY EXPN HELP NOOP ETRN QUIT".split())
"""Commands of one line, with one reply. Behind others, such as Exchange's XEXCH50, the relay could expect octets, and
by some, such as XCLIENT or SEND, a client could get around us."""
_NOT_NOW: Mapping[bytes, bytes] = MappingProxyType(
    {
        b"AUTH": b"503 5.5.1 Already logged in\r\n",
        b"STARTTLS": b"503 5.5.1 Not behind the login\r\n",  # it would hide from us what follows
    }
)
_NOT_HERE = b"502 5.5.1 Not available here\r\n"
_WITHHELD = frozenset(
    b"STARTTLS CHUNKING BINARYMIME XCLIENT XFORWARD PROXY XPROXY XPROXYEHLO XPEHLO XEXCH50 TURN ATRN".split()
)
"""What the relay may offer and a client cannot use; AUTH goes on to say how the client has logged in."""
_UNCLEAR = b"500 5.5.2 A command is a verb, arguments behind a space, and CR LF\r\n"
_NO_CHUNKS = b"502 5.5.1 No chunks here, but DATA\r\n"
_UNCLEAR_CHUNK = b"501 5.5.4 BDAT takes a number of octets and perhaps LAST\r\n"
_UNCLEAR_END = b"521 5.5.2 A line of one dot ends a message, and has CR LF before and behind it\r\n"
_TOO_LONG = b"500 5.5.2 Line too long\r\n"
_TOO_MANY = b"421 4.7.0 Too many commands\r\n"
_OUT_OF_STEP = b"421 4.3.0 The relay is out of step\r\n"
"""It has answered what has not come, as a message before its end; nobody knows what it takes for commands now."""

_METERED: Mapping[bytes, str] = MappingProxyType({b"MAIL": "messages_per_hour", b"RCPT": "recipients_per_hour"})
_EXCEEDED: Mapping[str, bytes] = MappingProxyType(
    {
        "messages_per_hour": b"450 4.7.1 Too many messages in too short a time, try again later\r\n",
        "recipients_per_hour": b"450 4.7.1 Too many recipients in too short a time, try again later\r\n",
    }
)


class Meter(Protocol):
    """Counts what one user submits."""

    @property
    def limits(self) -> Collection[str]:
        """The limits that there are, by their names in the configuration."""

    def ask(self, limit: str, told: Callable[[bool], None], /) -> None:
        """Ask whether there is room for one more; ``told`` is called with the answer, perhaps at once."""

    def settle(self, *, accepted: bool) -> None:
        """Tell whether the relay has accepted it: of all for which there was room, in that order."""


class Place(enum.Enum):
    """What comes next from the client."""

    COMMAND = enum.auto()
    DATA = enum.auto()
    """A message if the relay asks for one, else a command: who does not wait (RFC 2920, 3.1) is made to."""
    MESSAGE = enum.auto()
    CHUNK = enum.auto()
    """The octets behind BDAT: they come though we have refused it."""
    ASKED = enum.auto()
    """A command, but not before the meter has told whether there is room for the one before it."""
    NOTHING = enum.auto()
    """The connection ends."""


class Due(enum.Enum):
    """A reply that the relay owes."""

    REPLY = enum.auto()
    KEYWORDS = enum.auto()
    """To EHLO."""
    INVITATION = enum.auto()
    """To DATA."""
    COUNTED = enum.auto()
    """To something that the meter has made room for."""


_ANSWERED_BY: Mapping[bytes, Due] = MappingProxyType({b"DATA": Due.INVITATION, b"EHLO": Due.KEYWORDS})


def guard(logged_in: LoggedIn, meter: Meter | None = None) -> Guard | None:
    """Return a guard for a relay that has said this of itself; None if there is no standing to guard, and no meter."""
    keywords = {line.upper().partition(b" ")[0] for line in logged_in.capabilities}
    is_needed = meter is not None or keywords & {b"XCLIENT", b"XFORWARD"}
    return Guard(meter) if is_needed else None


@define(eq=False, repr=False)
class Guard:
    """Filters one connection, both directions; satisfies ``mmp.interfaces.Guard``.

    It begins where nothing is unanswered. A refusal takes its place among the replies of the relay.
    """

    _meter: Meter | None = None
    _place: Place = field(default=Place.COMMAND, init=False)
    _received: Buffer = field(factory=Buffer, init=False)
    _asked: tuple[bytes, str] = field(default=(b"", ""), init=False)
    """The command that waits for the meter, and the limit."""
    _counted: int = field(default=0, init=False)
    """Octets of a chunk still to come."""
    _tail: bytes = field(default=b"", init=False)
    """The end of what has come of a message, as long as a lone dot could come of it."""
    _sent: int = field(default=0, init=False)
    """How many octets of it the relay has already: those of the CR LF that ended DATA."""
    _due: deque[Due | bytes] = field(factory=deque, init=False)
    """What the client is owed, in order: replies of the relay, and our own in full."""
    _refused: int = field(default=0, init=False)
    _why: str = field(default="", init=False)
    """Why the connection ends, for the log."""
    _head: bytes = field(default=b"", init=False)
    """The first octets of the relay's present line, which tell whether it is a reply's last."""
    _listing: Listing | None = field(default=None, init=False)
    """Filters the present reply, if it lists what the relay offers."""
    _within_reply: bool = field(default=False, init=False)
    _for_store: list[bytes] = field(factory=list, init=False)
    _for_client: list[bytes] = field(factory=list, init=False)

    def from_client(self, octets: bytes) -> bytes:
        """Return what may go to the relay; RemoteProtocolError once the client has heard why it is let go."""
        self.stop_if_ended()
        if self._place is not Place.NOTHING:
            self._received.feed(octets)
            self._go_on()
        return taken(self._for_store)

    def from_store(self, octets: bytes) -> bytes:
        """Return what the relay said, with our own answers each in its place; RemoteProtocolError as from_client."""
        self.stop_if_ended()
        start = 0
        while end := octets.find(b"\n", start) + 1:
            self._pass_on(octets[start:end])
            self._line_ended()
            start = end
        self._pass_on(octets[start:])
        return taken(self._for_client)

    @property
    def waits(self) -> bool:
        """Whether it waits for the meter, or for the answer to DATA, and has not looked at what is behind that."""
        return self._place is Place.ASKED or (self._place is Place.DATA and bool(self._received))

    def answers(self) -> bytes:
        """Return and forget what the client is to hear at once, since the relay owes it nothing before that."""
        return taken(self._for_client)

    def stop_if_ended(self) -> None:
        """Raise RemoteProtocolError once the client has heard why it is let go."""
        if self._place is Place.NOTHING and not self._due:
            raise RemoteProtocolError(self._why)

    # What the relay says

    def _pass_on(self, part: bytes) -> None:
        if part:
            self._for_client.append(self._filtered(part))
            self._head += part[: 4 - len(self._head)]
            self._within_reply = True

    def _filtered(self, part: bytes) -> bytes:
        if self._due and self._due[0] is Due.KEYWORDS:
            if self._listing is None:
                self._listing = Listing(_WITHHELD)
            return self._listing.passed(part)
        return part

    def _line_ended(self) -> None:
        head, self._head = self._head, b""
        if head[3:4] == b"-":
            return
        self._within_reply = False
        self._listing = None
        if self._due and isinstance(self._due[0], Due):
            self._replied(self._due.popleft(), head)
        elif self._place is not Place.NOTHING and not head.startswith(b"421"):
            self._end("a reply of the relay to nothing", _OUT_OF_STEP)
        self._answer_in_turn()

    def _replied(self, due: Due | bytes, head: bytes) -> None:
        if due is Due.INVITATION:
            self._invited(head)
        elif due is Due.COUNTED and self._meter is not None:
            self._meter.settle(accepted=head.startswith(b"2"))

    def _invited(self, head: bytes) -> None:
        self._place = Place.MESSAGE if head.startswith(b"3") else Place.COMMAND
        self._tail, self._sent = b"\r\n", 2

    def _answer_in_turn(self) -> None:
        while self._due and not self._within_reply and isinstance(reply := self._due[0], bytes):
            self._for_client.append(reply)
            self._due.popleft()

    # What the client says

    def _go_on(self) -> None:
        try:
            while self._received and self._STEPS[self._place](self):
                pass
        except RemoteProtocolError:
            self._end("a command without end", _TOO_LONG)

    def _command(self) -> bool:
        line = self._received.line(LINE_LIMIT)
        if line is None:
            return False
        match = _COMMAND.fullmatch(line)
        verb = match[1].upper() if match else b""
        if not verb:
            self._refuse(_UNCLEAR)
        elif verb == b"BDAT":
            self._begin_chunk(line)
        elif verb not in _PASSING:
            self._refuse(_NOT_NOW.get(verb, _NOT_HERE))
        elif self._meter is not None and _METERED.get(verb) in self._meter.limits:
            self._ask(self._meter, line, _METERED[verb])
        else:
            self._let_pass(line, _ANSWERED_BY.get(verb, Due.REPLY))
        return True

    def _ask(self, meter: Meter, line: bytes, limit: str) -> None:
        self._place, self._asked = Place.ASKED, (line, limit)
        meter.ask(limit, self._told)

    def _told(self, granted: bool) -> None:  # noqa: FBT001 - all that there is to tell
        line, limit = self._asked
        self._place = Place.COMMAND
        if granted:
            self._let_pass(line, Due.COUNTED)
        elif not self._is_full():
            self._owe(_EXCEEDED[limit])

    def _is_full(self) -> bool:
        """Tell whether too much is unanswered, and end it then."""
        full = len(self._due) >= UNANSWERED_LIMIT
        if full:
            self._end(f"more than {UNANSWERED_LIMIT} commands without an answer", _TOO_MANY)
        return full

    def _let_pass(self, line: bytes, due: Due) -> None:
        if self._is_full():
            return
        self._for_store.append(line)
        self._due.append(due)
        if due is Due.INVITATION:
            self._place = Place.DATA

    def _begin_chunk(self, line: bytes) -> None:
        """Refuse it, since relays differ in when they take its octets for commands, and in how many they count to.

        Exim does after a mistake between two chunks, and has 32 bits. They come whatever the answer, so that it must be
        certain how many.
        """
        match = _BDAT.fullmatch(line)
        if match is None:
            self._end("a chunk of unclear size", _UNCLEAR_CHUNK)
            return
        self._counted = int(match[1])
        self._place = Place.CHUNK if self._counted else Place.COMMAND
        self._refuse(_NO_CHUNKS)

    def _chunk(self) -> bool:
        self._counted -= len(self._received.take(min(self._counted, len(self._received))) or b"")
        if not self._counted:
            self._place = Place.COMMAND
        return True

    def _message(self) -> bool:
        """Let a message pass up to its end, and end the connection where readers might not agree about that."""
        text = self._tail + self._received.rest()
        match = _LONE_DOT.search(text) if b"\n." in text or b"\r." in text else None
        if match is None:
            undecided = _UNDECIDED.search(text, max(0, len(text) - 4))
            self._pass_message(text, undecided.start() if undecided else len(text))
        elif match.groups() == (b"\r\n", b"\r\n"):
            self._pass_message(text, match.end())
            self._received.feed(self._tail)
            self._due.append(Due.REPLY)
            self._place = Place.COMMAND
        else:
            self._end("an unclear end of a message", _UNCLEAR_END)
        return True

    def _pass_message(self, text: bytes, end: int) -> None:
        self._for_store.append(text[self._sent : end])
        self._tail, self._sent = text[end:], max(0, self._sent - end)

    _STEPS: ClassVar[Mapping[Place, Callable[[Guard], bool]]] = MappingProxyType(
        {
            Place.COMMAND: _command,
            Place.DATA: lambda _: False,
            Place.MESSAGE: _message,
            Place.CHUNK: _chunk,
            Place.ASKED: lambda _: False,
            Place.NOTHING: lambda _: False,
        }
    )
    """Each returns whether it could use what has come."""

    # What we say

    def _refuse(self, reply: bytes) -> None:
        self._refused += 1
        if self._refused > REFUSED_LIMIT:
            self._end("commands with our standing, again and again", _TOO_MANY)
        else:
            self._owe(reply)

    def _end(self, why: str, reply: bytes) -> None:
        self._place, self._why = Place.NOTHING, why
        self._received.clear()
        self._owe(reply)

    def _owe(self, reply: bytes) -> None:
        self._due.append(reply)
        self._answer_in_turn()
