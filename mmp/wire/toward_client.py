"""What every protocol's conversation with a client has in common up to the login, whatever the words are.

Noticing TLS where it does not belong: RFC 8446, 5.1; the exchange of a SASL mechanism: RFC 4422, 3.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType

from attrs import define, field

from mmp.errors import LocalProtocolError, RemoteProtocolError
from mmp.model import Credentials, Refusal
from mmp.wire import overheard
from mmp.wire.buffer import Buffer
from mmp.wire.events import Login
from mmp.wire.sasl import ServerMechanism

COMMANDS_LIMIT = 100
"""Commands before login: what Postfix allows of idle ones (smtpd_junk_command_limit)."""
ERRORS_LIMIT = 10
"""Commands that make no sense before login: Dovecot's login process has had 10 and now has 3; for submission, 10."""

_TLS_RECORD = b"\x16"
"""The octet that a ClientHello begins with (RFC 8446, 5.1)."""


class State(enum.Enum):
    """Where the conversation stands, with the steps of a login told apart; each protocol has its own names for some."""

    CONNECTED = "connection established"
    READY = "ready"
    AUTHENTICATING = "in a SASL exchange"
    LOGGING_IN = "login pending"
    RESPONDING = "login pending, in a SASL exchange"
    STARTING_TLS = "TLS negotiation"
    AUTHENTICATED = "authenticated"
    ENDED = "ended"

    __hash__ = object.__hash__  # enum's own is written in Python, and every step of every login would run it


_NEXT: Mapping[tuple[State, str], State] = MappingProxyType(
    {
        (State.CONNECTED, "greeting"): State.READY,
        (State.CONNECTED, "TLS"): State.CONNECTED,
        (State.READY, "STARTTLS"): State.STARTING_TLS,
        (State.STARTING_TLS, "TLS"): State.READY,
        (State.READY, "step"): State.AUTHENTICATING,
        (State.AUTHENTICATING, "step"): State.AUTHENTICATING,
        (State.READY, "credentials"): State.LOGGING_IN,
        (State.AUTHENTICATING, "credentials"): State.LOGGING_IN,
        (State.LOGGING_IN, "challenge"): State.RESPONDING,
        (State.RESPONDING, "response"): State.LOGGING_IN,
        (State.LOGGING_IN, "success"): State.AUTHENTICATED,
        (State.LOGGING_IN, "refusal"): State.READY,
        (State.RESPONDING, "refusal"): State.READY,
        (State.AUTHENTICATING, "error"): State.READY,
        (State.READY, "error"): State.READY,
        (State.ENDED, "refusal"): State.ENDED,  # a login answered too late
        **{(state, "end"): State.ENDED for state in State},
    },
)
LISTENING = READY, AUTHENTICATING, RESPONDING = State.READY, State.AUTHENTICATING, State.RESPONDING
"""The states in which it is the client's turn. Such names of members are for what each login does: to find one in its
class takes Python 3.11 half a microsecond."""
_AUTHENTICATED, _ENDED = State.AUTHENTICATED, State.ENDED


@define(eq=False, repr=False)
class Conversation:
    """One client's: where it stands, what has come and is to be sent, and how much patience is used up.

    What a client says of itself, ``greeting`` and ``ttl``, goes into the Login (``mmp.wire.events``).
    """

    _protocol: str
    """What is spoken here, for those who speak something else."""
    state: State = field(default=State.CONNECTED, init=False)
    received: Buffer = field(factory=Buffer, init=False)
    greeting: str = field(default="", init=False)
    ttl: int | None = field(default=None, init=False)
    onlooker: overheard.Onlooker | None = field(default=None, init=False)
    """Shown what is said, as far as anybody may see it."""
    _replies: list[bytes] = field(factory=list, init=False)
    _mechanism: ServerMechanism = field(init=False)
    """Of the SASL exchange under way; unset outside one."""
    _unheard: bool = field(default=True, init=False)
    """Whether nothing has come yet."""
    _commands: int = field(default=0, init=False)
    _errors: int = field(default=0, init=False)

    def to(self, event: str) -> None:
        """Go where an event leads; LocalProtocolError if it has no place here."""
        try:
            self.state = _NEXT[self.state, event]
        except KeyError:
            raise LocalProtocolError(f"{event} while {self.state.value}") from None

    def say(self, line: bytes, shown: bytes | None = None) -> None:
        """Queue a line, given without its end; nothing is said after the end.

        ``shown`` stands for a line in which there is something of the client's.
        """
        if self.state is not _ENDED:
            self._replies.append(line + b"\r\n")
            if self.onlooker is not None:
                self.onlooker.said(line if shown is None else shown)

    def ask(self, line: bytes) -> None:
        """Queue a challenge of SASL's."""
        self.say(line, overheard.CHALLENGE)

    def data_to_send(self) -> bytes:
        """Return and forget what is queued."""
        if not self._replies:
            return b""
        octets = b"".join(self._replies)
        self._replies.clear()
        return octets

    def feed(self, octets: bytes) -> None:
        """Buffer what the client sent; after the end nobody wants it."""
        if self.state is not _ENDED:
            self.received.feed(octets)

    def trailing(self) -> bytes:
        """Return and forget what the client sent behind its login."""
        if self.state is not _AUTHENTICATED:
            raise LocalProtocolError(f"trailing() while {self.state.value}")
        return self.received.rest()

    def tls_started(self) -> None:
        """Forget everything learned in the clear."""
        self.to("TLS")
        self.received.clear()
        self.greeting = ""
        self.ttl = None

    def end(self, last_words: bytes, shown: bytes | None = None) -> None:
        """Queue a last line; nothing is heard or said after it."""
        if self.state is not State.STARTING_TLS:  # a handshake has no room for words
            self.say(last_words, shown)
        self.to("end")
        self.received.clear()

    # SASL

    def step(
        self,
        mechanism: ServerMechanism,
        response: bytes | None,
        ask: Callable[[bytes], None],
    ) -> Login | None:
        """Go a step in a mechanism: ask the client for more, or return the Login; SASLError as it falls."""
        answer = mechanism.next(response)
        if isinstance(answer, Credentials):
            return self.log_in(answer)
        self.to("step")
        self._mechanism = mechanism
        ask(answer)
        return None

    def take_mechanism(self) -> ServerMechanism:
        """Take the mechanism out of the exchange under way: it is over unless another step puts it back."""
        self._hear_response()
        mechanism = self._mechanism
        del self._mechanism
        return mechanism

    def take_response(self) -> None:
        """Know that the client has answered the challenge of a pending login."""
        self.to("response")
        self._hear_response()

    def _hear_response(self) -> None:
        if self.onlooker is not None:
            self.onlooker.heard(overheard.RESPONSE)

    def log_in(self, credentials: Credentials) -> Login:
        """Return the Login, which is pending from now on."""
        self.to("credentials")
        return Login(credentials, greeting=self.greeting, ttl=self.ttl)

    # Patience

    def notice_tls(self) -> None:
        """End a TLS handshake at its first octet: it may hold no end of a line for long."""
        if self._unheard and self.received:
            self._unheard = False
            if self.received.startswith(_TLS_RECORD):
                raise self._strange()

    def count_command(self, name: bytes, argument: bytes, goodbye: Callable[[Refusal], None], *, known: bool) -> None:
        """Let an onlooker see which command has come, and count it.

        RemoteProtocolError, after a goodbye, if it is one too many.
        """
        if self.onlooker is not None:
            self.onlooker.heard(overheard.command(name if known else b"", argument))
        if not (known or self._commands):  # a browser made to speak to this port gets no further
            raise self._strange()
        self._commands += 1
        if self._commands > COMMANDS_LIMIT:
            goodbye(Refusal.TOO_MANY_ERRORS)
            raise RemoteProtocolError(f"more than {COMMANDS_LIMIT} commands before login")

    def count_error(self, goodbye: Callable[[Refusal], None]) -> None:
        """Count a command that made no sense and is answered; RemoteProtocolError, after a goodbye, if it is the last.

        If it was a step of a SASL exchange, that is over.
        """
        self.to("error")
        self._errors += 1
        if self._errors == ERRORS_LIMIT:
            goodbye(Refusal.TOO_MANY_ERRORS)
            raise RemoteProtocolError(f"{ERRORS_LIMIT} errors")

    def _strange(self) -> RemoteProtocolError:
        return RemoteProtocolError(f"This is a port for {self._protocol}")
