"""The side of submission that we play toward the store, a relay for mail, up to the login.

RFC 5321, 3 and 4; STARTTLS: RFC 3207, 4; AUTH: RFC 4954, 4 and 6; XCLIENT as Postfix has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import ClassVar, NoReturn

from attrs import define, field

from mmp.errors import LocalProtocolError, RemoteProtocolError
from mmp.model import Origin, Refusal, Replay
from mmp.wire.events import BackendEvent, Challenge, LoggedIn, LoginRefused, Ready, StartTLS
from mmp.wire.overheard import Onlooker
from mmp.wire.sasl import lines
from mmp.wire.submission import grammar, render, replies
from mmp.wire.submission.reply import Reply, ReplyReader
from mmp.wire.toward_store import Conversation, Phase


class State(Phase):
    """Where the conversation stands."""

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
        (State.LOGIN, "challenge"): State.CHALLENGED,
        (State.CHALLENGED, "response"): State.LOGIN,
        (State.LOGIN, "logged in"): State.AUTHENTICATED,
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
    _talk: Conversation[State] = field(factory=partial(Conversation, State.GREETING, State.QUIT, _NEXT), init=False)
    _reader: ReplyReader = field(factory=ReplyReader, init=False)
    _capabilities: tuple[bytes, ...] = field(default=(), init=False)
    _standing: tuple[bytes, ...] = field(default=(), init=False)
    """Those of them that offer what only we may use, while we speak for ourselves."""
    _greeting: str = field(default="", init=False)
    """The client's own name, where the store is told who came."""

    @property
    def phase(self) -> str:
        """What is awaited, in words for the log."""
        return self._talk.phase

    @property
    def buffered(self) -> int:
        """How many received bytes are not yet consumed."""
        return len(self._talk.received)

    @property
    def capabilities(self) -> tuple[bytes, ...]:
        """The lines of EHLO's answer behind the first, as far as they are known."""
        return self._capabilities

    @property
    def mechanisms(self) -> frozenset[bytes]:
        """The SASL mechanisms among them, in upper case."""
        return frozenset(render.parameters(self._capabilities).get(b"AUTH", ()))

    def overhear(self, onlooker: Onlooker) -> None:
        """Show somebody from now on what is said."""
        self._talk.look_on(onlooker)

    def receive_data(self, octets: bytes) -> None:
        """Buffer what the store sent; once it is no use, nobody wants it."""
        self._talk.feed(octets)

    def next_event(self) -> BackendEvent | None:
        """Return the next event, or None when more bytes are needed; RemoteProtocolError when the store is no use."""
        try:
            while self._talk.state in _LISTENING:
                reply = self._reader.next(self._talk.received)
                if reply is None:
                    return None
                event = self._ANSWERED[self._talk.state](self, reply)
                if event is not None:
                    return event
        except RemoteProtocolError:
            self._talk.end()
            raise
        return None

    def data_to_send(self) -> bytes:
        """Return and forget what is to be written to the store."""
        return self._talk.data_to_send()

    def tls_started(self) -> None:
        """TLS is in force toward the store: forget what it sent before and ask what it offers."""
        self._starttls = False
        self._talk.received.clear()
        self._capabilities = ()
        self._ask_capabilities()

    def log_in(self, replay: Replay) -> None:
        """Queue the login, and XCLIENT ahead of it if the store is to be told who came and takes that.

        At a store without AUTH, XCLIENT alone logs in a user whom we have judged ourselves (``origin.user``).
        LocalProtocolError unless Ready was reported. Refused(BACKEND_UNAVAILABLE) if the store offers no usable way,
        Refused(BAD_CREDENTIALS) if the secret cannot be said in the protocol. LoggedIn tells of XCLIENT and XFORWARD
        even if the store offers them no more once it knows who came.
        """
        if self._talk.state is not State.READY:
            raise LocalProtocolError(f"log_in() while {self.phase}")
        offered = render.parameters(self._capabilities)
        taken = offered.get(b"XCLIENT", frozenset()) if replay.origin else frozenset()
        if replay.origin and replay.origin.user and b"AUTH" not in offered and b"LOGIN" in taken:
            self._tell_origin(replay.origin, render.xclient(replay.origin, taken, replay.origin.user))
            return
        self._talk.prepare(replay, render.login(replay, offered.get(b"AUTH", ())))
        if replay.origin and taken:
            self._tell_origin(replay.origin, render.xclient(replay.origin, taken, ""))
        else:
            self._begin_login()

    def respond(self, octets: bytes) -> None:
        """Queue the answer to the Challenge just reported."""
        self._talk.to("response")
        self._talk.respond(octets, lines.encoded(octets) + b"\r\n")

    def log_out(self) -> None:
        """Queue a goodbye in place of a login; nothing is listened to any more."""
        self._talk.end()
        self._talk.say(b"QUIT\r\n")

    # What is received

    def _greeted(self, reply: Reply) -> None:
        if reply.code != b"220":
            raise RemoteProtocolError(f"The store does not greet: {self._words(reply)}")
        self._ask_capabilities()

    def _ehlo_answered(self, reply: Reply) -> Ready | None:
        self._learn(reply)
        if not self._starttls:
            self._standing = tuple(line for line in self._capabilities if render.gives_standing(line))
            self._talk.to("ready")
            return Ready()
        if b"STARTTLS" not in render.parameters(self._capabilities):
            raise RemoteProtocolError("The store does not offer STARTTLS")
        self._talk.to("STARTTLS")
        self._talk.say(b"STARTTLS\r\n")
        return None

    def _starttls_answered(self, reply: Reply) -> StartTLS:
        """Agree, unless clear text follows that somebody may have slipped in to pass for the store's under TLS."""
        if reply.code != b"220":
            raise RemoteProtocolError(f"The store refuses STARTTLS: {self._words(reply)}")
        if self._talk.received:
            raise RemoteProtocolError("Bytes behind the store's answer to STARTTLS")
        self._talk.to("220")
        return StartTLS()

    def _spoken_unasked(self, reply: Reply) -> NoReturn:
        raise RemoteProtocolError(f"The store speaks without being asked: {self._words(reply)}")

    def _xclient_answered(self, reply: Reply) -> LoginRefused | None:
        """Begin anew if the store agrees (220, a greeting); a store that does not may still take AUTH."""
        if reply.code == b"220":
            self._talk.to("220")
            self._talk.say(render.ehlo(self._greeting, self._hostname))
            return None
        if reply.code == b"421" or not self._talk.steps:
            return self._refused(Refusal.BACKEND_UNAVAILABLE, reply)
        self._begin_login()
        return None

    def _ehlo_answered_again(self, reply: Reply) -> LoggedIn | None:
        self._learn(reply)
        if self._talk.steps:
            self._begin_login()
            return None
        return self._logged_in(b"")

    def _login_answered(self, reply: Reply) -> LoggedIn | LoginRefused | Challenge | None:
        if reply.code == b"334":
            return self._asked(reply)
        if reply.code != b"235":
            return self._refused(replies.REFUSAL_BY_CODE.get(reply.code, Refusal.BACKEND_UNAVAILABLE), reply)
        if self._talk.steps:
            raise RemoteProtocolError("The store agrees to a login that it has not heard")
        return self._logged_in(replies.text(grammar.without_status(reply.lines[-1])))

    def _asked(self, reply: Reply) -> Challenge | None:
        if self._talk.steps:
            self._talk.next_step()
            return None
        return self._talk.challenged(reply.text)

    def _logged_in(self, text: bytes) -> LoggedIn:
        trailing = self._talk.log_in("logged in")
        unsaid = (line for line in self._standing if line not in self._capabilities)
        return LoggedIn((*self._capabilities, *unsaid), text, trailing)

    def _refused(self, refusal: Refusal, reply: Reply) -> LoginRefused:
        words = self._words(reply)
        self._talk.end()
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
        self._talk.to("EHLO")
        self._talk.say(render.ehlo(self._hostname, self._hostname))

    def _tell_origin(self, origin: Origin, xclient: bytes) -> None:
        self._talk.to("XCLIENT")
        self._greeting = origin.greeting
        self._talk.say(xclient)

    def _begin_login(self) -> None:
        self._talk.to("login")
        self._talk.begin()

    def _learn(self, reply: Reply) -> None:
        if reply.code != b"250":
            raise RemoteProtocolError(f"The store refuses EHLO: {self._words(reply)}")
        self._capabilities = reply.lines[1:]

    def _words(self, reply: Reply) -> str:
        """Return a reply as the store worded it, fit for a log: bounded, printable, without the password."""
        text = b"%b %b" % (reply.code, reply.text)
        return replies.text(self._talk.without_password(text)).decode(errors="replace")
