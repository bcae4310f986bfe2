"""What every protocol's conversation with a store has in common up to the login, whatever the words are."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Generic, TypeVar

from attrs import define, field

from mmp.errors import LocalProtocolError, RemoteProtocolError
from mmp.model import Replay
from mmp.wire import overheard
from mmp.wire.buffer import Buffer
from mmp.wire.events import Challenge
from mmp.wire.sasl import SASLError, lines

_SPACE = re.compile(rb"[ \r\n]")


class Phase(enum.Enum):
    """Where a conversation with a store stands, in its protocol's words; the value says in a log what is awaited."""

    __hash__ = object.__hash__  # enum's own is written in Python, and every step of every login would run it


S = TypeVar("S", bound=Phase)


@define(eq=False, repr=False)
class Conversation(Generic[S]):
    """One with a store: where it stands, what has come and is to be sent, and what is left to say of the login.

    It begins in ``state``; ``moves`` tell where each event leads; in ``over`` nothing is listened to any more.
    """

    state: S
    _over: S
    _moves: Mapping[tuple[S, str], S]
    received: Buffer = field(factory=Buffer, init=False)
    steps: list[bytes] = field(factory=list, init=False)
    """What is still to be said of the login, each when the store asks for it."""
    _queue: list[bytes] = field(factory=list, init=False)
    relaying: bool = field(default=False, init=False)
    """Whether the mechanism of the pending login lets the store ask the client for more."""
    _secrets: tuple[bytes, ...] = field(default=(), init=False)
    """The password while the login is pending: a store may repeat it, a log must not."""
    _said: tuple[bytes, ...] = field(default=(), init=False)
    """The lines that have it in their last words, perhaps encoded."""
    onlooker: overheard.Onlooker | None = field(default=None, init=False)
    """Shown what is said, as far as anybody may see it."""
    _lines: overheard.Lines = field(init=False)
    """Of what an onlooker is shown; unset without one."""

    @property
    def phase(self) -> str:
        """What is awaited, in words for the log."""
        return str(self.state.value)

    def to(self, event: str) -> None:
        """Go where an event leads; LocalProtocolError if it has no place here."""
        try:
            self.state = self._moves[self.state, event]
        except KeyError:
            raise LocalProtocolError(f"{event} while {self.phase}") from None

    def look_on(self, onlooker: overheard.Onlooker) -> None:
        """Show somebody from now on what is said."""
        self.onlooker, self._lines = onlooker, overheard.Lines()

    def say(self, octets: bytes, shown: bytes | None = None) -> None:
        """Queue what is to be sent; ``shown`` stands for what is secret."""
        self._queue.append(octets)
        if self.onlooker is not None:
            self.onlooker.said(octets if shown is None else shown)

    def data_to_send(self) -> bytes:
        """Return and forget what is queued."""
        if not self._queue:
            return b""
        octets = b"".join(self._queue)
        self._queue.clear()
        return octets

    @property
    def _unspeakable(self) -> tuple[bytes, ...]:
        """The password, plain and as it was said."""
        return (*self._secrets, *map(_last_word, self._said))

    def feed(self, octets: bytes) -> None:
        """Buffer what the store sent; once it is no use, nobody wants it."""
        if self.state is not self._over:
            self.received.feed(octets)
            if self.onlooker is not None:
                for line in self._lines.shown(octets, self._unspeakable):
                    self.onlooker.heard(line)

    def end(self) -> None:
        """Have done with the store: nothing is sent, heard or kept any more."""
        self.state = self._over
        self.received.clear()
        self._queue.clear()
        self.steps.clear()
        self._secrets = self._said = ()

    # The login

    def prepare(self, replay: Replay, steps: list[bytes]) -> None:
        """Take the lines that log in, with the password in the last."""
        self.steps = steps
        self.relaying = replay.mechanism != "PLAIN"
        self._secrets, self._said = (replay.secret,), (steps[-1],)

    def next_step(self) -> None:
        """Say what is next of the login."""
        self.say(self.steps.pop(0), overheard.HIDDEN)

    def begin(self, tag: bytes = b"") -> None:
        """Say the first of the login: it has a command's name, and that alone may be seen."""
        step = self.steps.pop(0)
        if self.onlooker is None:
            self.say(tag + step)
            return
        name, _, argument = step.partition(b" ")
        self.say(tag + step, tag + overheard.command(name.rstrip(b"\r\n"), argument))

    def challenged(self, text: bytes, event: str = "challenge") -> Challenge:
        """Return what the store asks of the client; RemoteProtocolError if there is nobody to ask, or it is garbled."""
        if not self.relaying or (self.state, event) not in self._moves:
            raise RemoteProtocolError("The store asks for more than there is to say")
        try:
            challenge = lines.decoded(text)
        except SASLError:
            raise RemoteProtocolError("The store's challenge is no base64") from None
        self.to(event)
        return Challenge(challenge)

    def respond(self, octets: bytes, line: bytes) -> None:
        """Queue the client's answer, of which this is the line."""
        self._secrets += (octets,)
        self._said += (line,)
        self.say(line, overheard.RESPONSE)

    def log_in(self, event: str) -> bytes:
        """Go where a login that succeeded leads, and return what the store has sent behind it: it's the client's."""
        self._secrets = self._said = ()
        self.to(event)
        return self.received.rest()

    def without_password(self, text: bytes) -> bytes:
        """Return the store's words, fit for a log as far as the password goes."""
        return overheard.without(text, self._unspeakable)


def _last_word(line: bytes) -> bytes:
    return _SPACE.split(line.rstrip(b"\r\n"))[-1].strip(b'"')
