"""The side of ManageSieve that we play toward the store, up to the login (RFC 5804, 1.7, 2.1 and 2.2).

XCLIENT as Dovecot has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from attrs import define, field

from mmp.errors import LocalProtocolError, RemoteProtocolError
from mmp.model import Replay
from mmp.wire.events import BackendEvent, Challenge, LoggedIn, LoginRefused, Ready, StartTLS
from mmp.wire.managesieve import grammar, render, replies
from mmp.wire.managesieve.grammar import Status
from mmp.wire.managesieve.reader import Reader, Sent
from mmp.wire.overheard import Onlooker
from mmp.wire.toward_store import Conversation, Phase

CAPABILITIES_LIMIT = 100
"""Capabilities in a list: a store has some ten, and an endless list has to end somewhere."""


class State(Phase):
    """Where the conversation stands."""

    GREETING = "greeting"
    STARTTLS = "STARTTLS"
    STARTING_TLS = "TLS negotiation"
    CAPABILITIES = "capabilities"
    NON_AUTHENTICATED = "ready"
    XCLIENT = "XCLIENT"
    LOGIN = "login"
    CHALLENGED = "the client's response"
    CONCLUDING = "the client's last response"
    CONCLUDED = "login concluded"
    AUTHENTICATED = "authenticated"
    LOGOUT = "logout"


_NEXT: Mapping[tuple[State, str], State] = MappingProxyType(
    {
        (State.GREETING, "STARTTLS"): State.STARTTLS,
        (State.GREETING, "ready"): State.NON_AUTHENTICATED,
        (State.STARTTLS, "OK"): State.STARTING_TLS,
        (State.STARTING_TLS, "TLS"): State.CAPABILITIES,
        (State.CAPABILITIES, "ready"): State.NON_AUTHENTICATED,
        (State.NON_AUTHENTICATED, "XCLIENT"): State.XCLIENT,
        (State.NON_AUTHENTICATED, "login"): State.LOGIN,
        (State.XCLIENT, "login"): State.LOGIN,
        (State.LOGIN, "challenge"): State.CHALLENGED,
        (State.CHALLENGED, "response"): State.LOGIN,
        (State.LOGIN, "last challenge"): State.CONCLUDING,
        (State.CONCLUDING, "response"): State.CONCLUDED,
        (State.LOGIN, "OK"): State.AUTHENTICATED,
        (State.CONCLUDED, "OK"): State.AUTHENTICATED,
    },
)
_LISTENING = frozenset(
    {State.GREETING, State.STARTTLS, State.CAPABILITIES, State.NON_AUTHENTICATED, State.XCLIENT, State.LOGIN},
)
_LISTING = (State.GREETING, State.CAPABILITIES)


@define(kw_only=True, eq=False, repr=False)
class Client:
    """The conversation with one store; satisfies ``mmp.interfaces.ClientCore``.

    With ``starttls`` nothing but STARTTLS is ever said in the clear.
    """

    _starttls: bool
    _talk: Conversation[State] = field(factory=partial(Conversation, State.GREETING, State.LOGOUT, _NEXT), init=False)
    _reader: Reader = field(factory=Reader, init=False)
    _capabilities: dict[bytes, bytes] = field(factory=dict, init=False)
    """Values by name in upper case."""
    _text: bytes = field(default=b"", init=False)

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
        """The lines of the list, as far as they are known."""
        items = self._capabilities.items()
        return tuple(grammar.string(name) + (b" " + grammar.string(value) if value else b"") for name, value in items)

    @property
    def mechanisms(self) -> frozenset[bytes]:
        """The SASL mechanisms among them, in upper case."""
        return frozenset(self._capabilities.get(b"SASL", b"").upper().split())

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
                sent = self._reader.next(self._talk.received)
                if sent is None:
                    return None
                event = self._settle(sent)
                if event is not None:
                    return event
        except RemoteProtocolError:
            self._end()
            raise
        return self._logged_in() if self._talk.state is State.CONCLUDED else None

    def data_to_send(self) -> bytes:
        """Return and forget what is to be written to the store."""
        return self._talk.data_to_send()

    def tls_started(self) -> None:
        """TLS is in force toward the store: forget its capabilities; it tells them anew by itself (RFC 5804, 2.2)."""
        self._talk.to("TLS")
        self._starttls = False
        self._talk.received.clear()
        self._capabilities.clear()

    def log_in(self, replay: Replay) -> None:
        """Queue the login, and XCLIENT ahead of it if the store is to be told who came and takes it.

        LocalProtocolError unless Ready was reported. Refused(BACKEND_UNAVAILABLE) if the store offers no usable way,
        Refused(BAD_CREDENTIALS) if the secret cannot be said in the protocol.
        """
        if self._talk.state is not State.NON_AUTHENTICATED:
            raise LocalProtocolError(f"log_in() while {self.phase}")
        self._talk.prepare(replay, [render.login(replay, self._capabilities)])
        if replay.origin and b"XCLIENT" in self._capabilities:
            self._talk.to("XCLIENT")
            self._talk.say(render.xclient(replay.origin))
        else:
            self._say_login()

    def respond(self, octets: bytes) -> None:
        """Queue the answer to the Challenge just reported; to the last one the store expects none."""
        concluding = self._talk.state is State.CONCLUDING
        self._talk.to("response")
        if not concluding:
            self._talk.respond(octets, render.response(octets))

    # What is received

    def _settle(self, sent: Sent) -> BackendEvent | None:
        status = grammar.status(*sent)
        if status is None:
            return self._string_sent(sent)
        if status.kind == b"BYE" and self._talk.state is not State.LOGIN:
            raise RemoteProtocolError(f"The store ends the connection: {self._words(status)}")
        if self._talk.state in _LISTING:
            return self._listed(status)
        if self._talk.state is State.STARTTLS:
            return self._starttls_answered(status)
        if self._talk.state is State.XCLIENT:
            self._say_login()  # no matter how it was answered
            return None
        if self._talk.state is State.LOGIN:
            return self._login_answered(status)
        raise RemoteProtocolError(f"The store speaks without being asked: {self._words(status)}")

    def _string_sent(self, sent: Sent) -> Challenge | None:
        name, value = grammar.capability(*sent)
        if self._talk.state is State.LOGIN and value is None:
            return self._talk.challenged(name)
        if self._talk.state not in _LISTING:
            raise RemoteProtocolError("A string that answers no command")
        if len(self._capabilities) == CAPABILITIES_LIMIT:
            raise RemoteProtocolError(f"More than {CAPABILITIES_LIMIT} capabilities")
        self._capabilities[name.upper()] = value or b""
        return None

    def _listed(self, status: Status) -> Ready | None:
        if status.kind != b"OK":
            raise RemoteProtocolError(f"The store does not greet: {self._words(status)}")
        if b"SIEVE" not in self._capabilities:
            raise RemoteProtocolError("The store has no capabilities of ManageSieve")
        if not self._starttls:
            self._talk.to("ready")
            return Ready()
        if b"STARTTLS" not in self._capabilities:
            raise RemoteProtocolError("The store does not offer STARTTLS")
        self._talk.to("STARTTLS")
        self._talk.say(b"STARTTLS\r\n")
        return None

    def _starttls_answered(self, status: Status) -> StartTLS:
        if status.kind != b"OK":
            raise RemoteProtocolError(f"The store refuses STARTTLS: {self._words(status)}")
        if self._talk.received:
            raise RemoteProtocolError("The store sent bytes behind its OK to STARTTLS")
        self._talk.to("OK")
        return StartTLS()

    def _login_answered(self, status: Status) -> BackendEvent:
        if status.kind != b"OK":
            return self._refused(status)
        self._text = status.text
        if self._talk.relaying and status.code == b"SASL":
            return self._talk.challenged(status.argument, "last challenge")  # others have no place for it with an OK
        return self._logged_in()

    def _logged_in(self) -> LoggedIn:
        return LoggedIn(tuple(self._capabilities), self._text, self._talk.log_in("OK"))

    def _refused(self, status: Status) -> LoginRefused:
        refusal = replies.meaning(status)
        words = self._words(status)
        self._end()
        return LoginRefused(refusal, words)

    # What is said and known

    def _say_login(self) -> None:
        self._talk.to("login")
        self._talk.begin()

    def _words(self, status: Status) -> str:
        """Return a response as the store worded it, fit for a log: bounded, printable, without the password."""
        text = b"%b %b%b" % (status.kind, b"(%b) " % status.code if status.code else b"", status.text)
        return replies.printable(self._talk.without_password(text)).decode(errors="replace")

    def _end(self) -> None:
        self._talk.end()
        self._reader.clear()
