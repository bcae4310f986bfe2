"""The side of POP3 that we play toward the store, up to the login.

RFC 1939, 3, 4 and 7; CAPA: RFC 2449, 5; STLS: RFC 2595, 4; AUTH: RFC 5034, 4; response codes: RFC 2449, 8, and 3206;
XCLIENT as Dovecot has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import ClassVar, NoReturn

from attrs import define, field

from mmp.errors import LocalProtocolError, RemoteProtocolError
from mmp.model import Replay
from mmp.wire.events import BackendEvent, Challenge, LoggedIn, LoginRefused, Ready, StartTLS
from mmp.wire.overheard import Onlooker
from mmp.wire.pop3 import grammar, render, replies
from mmp.wire.pop3.grammar import Response
from mmp.wire.sasl import lines
from mmp.wire.toward_store import Conversation, Phase

LINE_LIMIT = 8192
"""Octets in a line: a response has 512 at most (RFC 2449, 4), but a challenge is as long as its mechanism makes it."""
CAPABILITIES_LIMIT = 100
"""Lines of CAPA: a store has some ten, and an endless list has to end somewhere."""


class State(Phase):
    """Where the conversation stands."""

    GREETING = "greeting"
    STLS = "STLS"
    STARTING_TLS = "TLS negotiation"
    CAPA = "capabilities"
    CAPABILITIES = "the rest of the capabilities"
    AUTHORIZATION = "ready"
    XCLIENT = "XCLIENT"
    LOGIN = "login"
    CHALLENGED = "the client's response"
    TRANSACTION = "logged in"
    QUIT = "quit"


_NEXT: Mapping[tuple[State, str], State] = MappingProxyType(
    {
        (State.GREETING, "STLS"): State.STLS,
        (State.GREETING, "CAPA"): State.CAPA,
        (State.STLS, "+OK"): State.STARTING_TLS,
        (State.STARTING_TLS, "CAPA"): State.CAPA,
        (State.CAPA, "+OK"): State.CAPABILITIES,
        (State.CAPA, "ready"): State.AUTHORIZATION,
        (State.CAPABILITIES, "ready"): State.AUTHORIZATION,
        (State.AUTHORIZATION, "XCLIENT"): State.XCLIENT,
        (State.AUTHORIZATION, "login"): State.LOGIN,
        (State.XCLIENT, "login"): State.LOGIN,
        (State.LOGIN, "challenge"): State.CHALLENGED,
        (State.CHALLENGED, "response"): State.LOGIN,
        (State.LOGIN, "+OK"): State.TRANSACTION,
    },
)
_LISTENING = frozenset(State) - {State.STARTING_TLS, State.CHALLENGED, State.TRANSACTION, State.QUIT}


@define(kw_only=True, eq=False, repr=False)
class Client:
    """The conversation with one store; satisfies ``mmp.interfaces.ClientCore``.

    With ``starttls`` nothing but STLS is ever said in the clear.
    """

    _starttls: bool
    _talk: Conversation[State] = field(factory=partial(Conversation, State.GREETING, State.QUIT, _NEXT), init=False)
    _capabilities: list[bytes] = field(factory=list, init=False)

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
        """The lines of CAPA, as far as they are known."""
        return tuple(self._capabilities)

    @property
    def mechanisms(self) -> frozenset[bytes]:
        """The SASL mechanisms among them, in upper case."""
        return frozenset(render.offered(self._capabilities).get(b"SASL", ()))

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
                line = self._talk.received.line(LINE_LIMIT)
                if line is None:
                    return None
                event = self._settle(line)
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
        self._talk.received.clear()
        self._ask_capabilities()

    def log_in(self, replay: Replay) -> None:
        """Queue the login, and XCLIENT ahead of it if the store is to be told who came.

        LocalProtocolError unless Ready was reported. Refused(BACKEND_UNAVAILABLE) if the store offers no usable way,
        Refused(BAD_CREDENTIALS) if the secret cannot be said in the protocol.
        """
        if self._talk.state is not State.AUTHORIZATION:
            raise LocalProtocolError(f"log_in() while {self.phase}")
        self._talk.prepare(replay, render.login(replay, self._capabilities))
        if replay.origin:
            self._talk.to("XCLIENT")
            self._talk.say(render.xclient(replay.origin))
        else:
            self._talk.to("login")
            self._talk.begin()

    def respond(self, octets: bytes) -> None:
        """Queue the answer to the Challenge just reported."""
        self._talk.to("response")
        self._talk.respond(octets, lines.encoded(octets) + b"\r\n")

    # What is received

    def _settle(self, line: bytes) -> BackendEvent | None:
        if self._talk.state is State.CAPABILITIES:
            return self._capability(line)
        return self._ANSWERED[self._talk.state](self, grammar.response(line))

    def _greeted(self, response: Response) -> None:
        if response.status != b"+OK":
            raise RemoteProtocolError(f"The store does not greet: {self._words(response)}")
        if self._starttls:
            self._talk.to("STLS")
            self._talk.say(b"STLS\r\n")
        else:
            self._ask_capabilities()

    def _stls_answered(self, response: Response) -> StartTLS:
        if response.status != b"+OK":
            raise RemoteProtocolError(f"The store refuses STLS: {self._words(response)}")
        if self._talk.received:
            raise RemoteProtocolError("The store sent bytes behind its +OK to STLS")
        self._talk.to("+OK")
        return StartTLS()

    def _capa_answered(self, response: Response) -> Ready | None:
        if response.status == b"+":
            raise RemoteProtocolError("The store asks for more than CAPA")
        if response.status == b"+OK":
            self._talk.to("+OK")
            return None
        self._talk.to("ready")  # a store from before there was CAPA
        return Ready()

    def _capability(self, line: bytes) -> Ready | None:
        if not line.endswith(b"\r\n"):
            raise RemoteProtocolError("A line ends with CR LF")
        if line == b".\r\n":
            self._talk.to("ready")
            return Ready()
        if len(self._capabilities) == CAPABILITIES_LIMIT:
            raise RemoteProtocolError(f"More than {CAPABILITIES_LIMIT} capabilities")
        self._capabilities.append(line[:-2])
        return None

    def _spoken_unasked(self, response: Response) -> NoReturn:
        raise RemoteProtocolError(f"The store speaks without being asked: {self._words(response)}")

    def _xclient_answered(self, _response: Response) -> None:
        """Go on, no matter how: Dovecot says +OK even where it takes no notice of us."""
        self._talk.to("login")
        self._talk.begin()

    def _login_answered(self, response: Response) -> LoggedIn | LoginRefused | Challenge | None:
        if response.status == b"-ERR":
            return self._refused(response)
        if self._talk.steps:
            self._go_on(response)
            return None
        if response.status == b"+":
            return self._talk.challenged(response.text)
        return LoggedIn((), replies.text(response.text), self._talk.log_in("+OK"))

    def _go_on(self, response: Response) -> None:
        if response.status != (b"+OK" if self._talk.steps[0].startswith(b"PASS ") else b"+"):
            raise RemoteProtocolError("The store agrees to a login that it has not heard")
        self._talk.next_step()

    def _refused(self, response: Response) -> LoginRefused:
        refusal = replies.meaning(response.code, self._capabilities)
        words = self._words(response)
        self._talk.end()
        return LoginRefused(refusal, words)

    _ANSWERED: ClassVar[Mapping[State, Callable[[Client, Response], BackendEvent | None]]] = MappingProxyType(
        {
            State.GREETING: _greeted,
            State.STLS: _stls_answered,
            State.CAPA: _capa_answered,
            State.AUTHORIZATION: _spoken_unasked,
            State.XCLIENT: _xclient_answered,
            State.LOGIN: _login_answered,
        },
    )

    # What is said and known

    def _ask_capabilities(self) -> None:
        self._talk.to("CAPA")
        self._talk.say(b"CAPA\r\n")

    def _words(self, response: Response) -> str:
        """Return a response as the store worded it, fit for a log: bounded, printable, without the password."""
        text = b"%b %b%b" % (response.status, b"[%b] " % response.code if response.code else b"", response.text)
        return replies.text(self._talk.without_password(text)).decode(errors="replace")
