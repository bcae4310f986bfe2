"""The side of submission that we play toward the store, a relay for mail, up to the login.

RFC 5321, 3 and 4; STARTTLS: RFC 3207, 4; AUTH: RFC 4954, 4 and 6; XCLIENT as Postfix has it.
"""

from __future__ import annotations

import binascii
import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar, NoReturn

from attrs import define, field

from mmp.errors import LocalProtocolError, RemoteProtocolError
from mmp.model import Origin, Refusal, Replay
from mmp.wire.buffer import Buffer
from mmp.wire.events import BackendEvent, Challenge, LoggedIn, LoginRefused, Ready, StartTLS
from mmp.wire.submission import grammar, render, replies
from mmp.wire.submission.reply import Reply, ReplyReader


class State(enum.Enum):
    """Where the conversation stands; the value says what is awaited, for the log."""

    GREETING = "greeting"
    EHLO = "capabilities"
    STARTTLS = "STARTTLS"
    STARTING_TLS = "TLS negotiation"
    READY = "ready"
    XCLIENT = "XCLIENT"
    EHLO_AFTER_XCLIENT = "capabilities after XCLIENT"
    LOGIN = "login"
    CHALLENGED = "the client's response"
    AUTHENTICATED = "authenticated"
    QUIT = "quit"


_NEXT: Mapping[tuple[State, str], State] = MappingProxyType(
    {
        (State.GREETING, "EHLO"): State.EHLO,
        (State.EHLO, "STARTTLS"): State.STARTTLS,
        (State.STARTTLS, "220"): State.STARTING_TLS,
        (State.STARTING_TLS, "EHLO"): State.EHLO,
        (State.EHLO, "ready"): State.READY,
        (State.READY, "XCLIENT"): State.XCLIENT,
        (State.XCLIENT, "220"): State.EHLO_AFTER_XCLIENT,
        (State.READY, "login"): State.LOGIN,
        (State.XCLIENT, "login"): State.LOGIN,
        (State.EHLO_AFTER_XCLIENT, "login"): State.LOGIN,
        (State.EHLO_AFTER_XCLIENT, "logged in"): State.AUTHENTICATED,
        (State.LOGIN, "334"): State.CHALLENGED,
        (State.CHALLENGED, "response"): State.LOGIN,
        (State.LOGIN, "logged in"): State.AUTHENTICATED,
        **{(state, "end"): State.QUIT for state in State},
    },
)
_LISTENING = frozenset(State) - {State.STARTING_TLS, State.CHALLENGED, State.AUTHENTICATED, State.QUIT}


@define(kw_only=True, eq=False, repr=False)
class Client:
    """The conversation with one store; satisfies ``mmp.interfaces.ClientCore``.

    ``hostname`` is our own name. With ``starttls`` nothing but EHLO and STARTTLS is ever said in the clear.
    """

    _starttls: bool
    _hostname: str
    _state: State = field(default=State.GREETING, init=False)
    _received: Buffer = field(factory=Buffer, init=False)
    _reader: ReplyReader = field(factory=ReplyReader, init=False)
    _queue: list[bytes] = field(factory=list, init=False)
    _capabilities: tuple[bytes, ...] = field(default=(), init=False)
    _standing: tuple[bytes, ...] = field(default=(), init=False)
    """Those of them that offer what only we may use, while we speak for ourselves."""
    _steps: list[bytes] = field(factory=list, init=False)
    """What is still to be said of the login, each when the store asks for it; nothing if XCLIENT does it all."""
    _greeting: str = field(default="", init=False)
    """The client's own name, where the store is told who came."""
    _relaying: bool = field(default=False, init=False)
    """Whether the mechanism of the pending login lets the store ask the client for more."""
    _unspeakable: tuple[bytes, ...] = field(default=(), init=False)
    """The password, plain and encoded, while the login is pending: a store may repeat it, a log must not."""

    @property
    def phase(self) -> str:
        """What is awaited, in words for the log."""
        return self._state.value

    @property
    def buffered(self) -> int:
        """How many received bytes are not yet consumed."""
        return len(self._received)

    @property
    def capabilities(self) -> tuple[bytes, ...]:
        """The lines of EHLO's answer behind the first, as far as they are known."""
        return self._capabilities

    def receive_data(self, octets: bytes) -> None:
        """Buffer what the store sent; once it is no use, nobody wants it."""
        if self._state is not State.QUIT:
            self._received.feed(octets)

    def next_event(self) -> BackendEvent | None:
        """Return the next event, or None when more bytes are needed; RemoteProtocolError when the store is no use."""
        try:
            while self._state in _LISTENING:
                reply = self._reader.next(self._received)
                if reply is None:
                    return None
                event = self._ANSWERED[self._state](self, reply)
                if event is not None:
                    return event
        except RemoteProtocolError:
            self._end()
            raise
        return None

    def data_to_send(self) -> bytes:
        """Return and forget what is to be written to the store."""
        octets = b"".join(self._queue)
        self._queue.clear()
        return octets

    def tls_started(self) -> None:
        """TLS is in force toward the store: forget what it sent before and ask what it offers."""
        self._starttls = False
        self._received.clear()
        self._capabilities = ()
        self._ask_capabilities()

    def log_in(self, replay: Replay) -> None:
        """Queue the login, and XCLIENT ahead of it if the store is to be told who came and takes that.

        At a store without AUTH, XCLIENT alone logs in a user whom we have judged ourselves (``origin.user``).
        LocalProtocolError unless Ready was reported. Refused(BACKEND_UNAVAILABLE) if the store offers no usable way,
        Refused(BAD_CREDENTIALS) if the secret cannot be said in the protocol. LoggedIn tells of XCLIENT and XFORWARD
        even if the store offers them no more once it knows who came.
        """
        if self._state is not State.READY:
            raise LocalProtocolError(f"log_in() while {self.phase}")
        offered = render.parameters(self._capabilities)
        taken = offered.get(b"XCLIENT", frozenset()) if replay.origin else frozenset()
        if replay.origin and replay.origin.user and b"AUTH" not in offered and b"LOGIN" in taken:
            self._tell_origin(replay.origin, render.xclient(replay.origin, taken, replay.origin.user))
            return
        self._steps = render.login(replay, offered.get(b"AUTH", ()))
        self._relaying = replay.mechanism != "PLAIN"
        self._unspeakable = (replay.secret, self._steps[-1].rpartition(b" ")[2].rstrip())
        if replay.origin and taken:
            self._tell_origin(replay.origin, render.xclient(replay.origin, taken, ""))
        else:
            self._begin_login()

    def respond(self, octets: bytes) -> None:
        """Queue the answer to the Challenge just reported."""
        self._to("response")
        line = binascii.b2a_base64(octets, newline=False)
        self._unspeakable += (octets, line)
        self._queue.append(line + b"\r\n")

    def log_out(self) -> None:
        """Queue a goodbye in place of a login; nothing is listened to any more."""
        self._end()
        self._queue.append(b"QUIT\r\n")

    # What is received

    def _greeted(self, reply: Reply) -> None:
        if reply.code != b"220":
            raise RemoteProtocolError(f"The store does not greet: {self._words(reply)}")
        self._ask_capabilities()

    def _ehlo_answered(self, reply: Reply) -> Ready | None:
        self._learn(reply)
        if not self._starttls:
            self._standing = tuple(line for line in self._capabilities if render.gives_standing(line))
            self._to("ready")
            return Ready()
        if b"STARTTLS" not in render.parameters(self._capabilities):
            raise RemoteProtocolError("The store does not offer STARTTLS")
        self._to("STARTTLS")
        self._queue.append(b"STARTTLS\r\n")
        return None

    def _starttls_answered(self, reply: Reply) -> StartTLS:
        """Agree, unless clear text follows that somebody may have slipped in to pass for the store's under TLS."""
        if reply.code != b"220":
            raise RemoteProtocolError(f"The store refuses STARTTLS: {self._words(reply)}")
        if self._received:
            raise RemoteProtocolError("Bytes behind the store's answer to STARTTLS")
        self._to("220")
        return StartTLS()

    def _spoken_unasked(self, reply: Reply) -> NoReturn:
        raise RemoteProtocolError(f"The store speaks without being asked: {self._words(reply)}")

    def _xclient_answered(self, reply: Reply) -> LoginRefused | None:
        """Begin anew if the store agrees (220, a greeting); a store that does not may still take AUTH."""
        if reply.code == b"220":
            self._to("220")
            self._queue.append(render.ehlo(self._greeting, self._hostname))
            return None
        if reply.code == b"421" or not self._steps:
            return self._refused(Refusal.BACKEND_UNAVAILABLE, reply)
        self._begin_login()
        return None

    def _ehlo_answered_again(self, reply: Reply) -> LoggedIn | None:
        self._learn(reply)
        if self._steps:
            self._begin_login()
            return None
        return self._logged_in(b"")

    def _login_answered(self, reply: Reply) -> LoggedIn | LoginRefused | Challenge | None:
        if reply.code == b"334":
            return self._asked(reply)
        if reply.code != b"235":
            return self._refused(replies.REFUSAL_BY_CODE.get(reply.code, Refusal.BACKEND_UNAVAILABLE), reply)
        if self._steps:
            raise RemoteProtocolError("The store agrees to a login that it has not heard")
        return self._logged_in(replies.text(grammar.without_status(reply.lines[-1])))

    def _asked(self, reply: Reply) -> Challenge | None:
        if self._steps:
            self._queue.append(self._steps.pop(0))
            return None
        if not self._relaying:
            raise RemoteProtocolError("The store asks for more than there is to say")
        challenge = grammar.challenge(reply.text)
        self._to("334")
        return Challenge(challenge)

    def _logged_in(self, text: bytes) -> LoggedIn:
        self._unspeakable = ()
        self._to("logged in")
        unsaid = (line for line in self._standing if line not in self._capabilities)
        return LoggedIn((*self._capabilities, *unsaid), text, self._received.rest())

    def _refused(self, refusal: Refusal, reply: Reply) -> LoginRefused:
        words = self._words(reply)
        self._end()
        return LoginRefused(refusal, words)

    _ANSWERED: ClassVar[Mapping[State, Callable[[Client, Reply], BackendEvent | None]]] = MappingProxyType(
        {
            State.GREETING: _greeted,
            State.EHLO: _ehlo_answered,
            State.STARTTLS: _starttls_answered,
            State.READY: _spoken_unasked,
            State.XCLIENT: _xclient_answered,
            State.EHLO_AFTER_XCLIENT: _ehlo_answered_again,
            State.LOGIN: _login_answered,
        },
    )

    # What is said and known

    def _ask_capabilities(self) -> None:
        self._to("EHLO")
        self._queue.append(render.ehlo(self._hostname, self._hostname))

    def _tell_origin(self, origin: Origin, xclient: bytes) -> None:
        self._to("XCLIENT")
        self._greeting = origin.greeting
        self._queue.append(xclient)

    def _begin_login(self) -> None:
        self._to("login")
        self._queue.append(self._steps.pop(0))

    def _learn(self, reply: Reply) -> None:
        if reply.code != b"250":
            raise RemoteProtocolError(f"The store refuses EHLO: {self._words(reply)}")
        self._capabilities = reply.lines[1:]

    def _words(self, reply: Reply) -> str:
        """Return a reply as the store worded it, fit for a log: bounded, printable, without the password."""
        text = b"%b %b" % (reply.code, reply.text)
        for secret in filter(None, self._unspeakable):
            text = text.replace(secret, b"***")
        return replies.text(text).decode(errors="replace")

    def _end(self) -> None:
        self._to("end")
        self._received.clear()
        self._queue.clear()
        self._steps.clear()
        self._unspeakable = ()

    def _to(self, event: str) -> None:
        try:
            self._state = _NEXT[self._state, event]
        except KeyError:
            raise LocalProtocolError(f"{event} while {self._state.value}") from None
