"""The side of IMAP that we play toward the store, up to the login.

RFC 9051 and 3501, 3, 6.1 and 6.2; literals in responses: 4.3; response codes: RFC 5530.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import ClassVar

from attrs import define, field

from mmp.errors import LocalProtocolError, RemoteProtocolError
from mmp.model import Refusal, Replay
from mmp.wire.events import BackendEvent, Challenge, LoggedIn, LoginRefused, Ready, StartTLS
from mmp.wire.imap import render, replies
from mmp.wire.imap.response import NOTHING, Offered, Response, ResponseReader
from mmp.wire.overheard import Onlooker
from mmp.wire.sasl import lines
from mmp.wire.toward_store import Conversation, Phase

_VERSIONS = frozenset({b"IMAP4REV1", b"IMAP4REV2"})

UNTAGGED_LIMIT = 100
"""Untagged responses before login: a store has a handful to say, and an endless stream has to end somewhere."""


class State(Phase):
    """Where the conversation stands."""

    GREETING = "greeting"
    CAPABILITY = "capabilities"
    STARTTLS = "STARTTLS"
    STARTING_TLS = "TLS negotiation"
    NOT_AUTHENTICATED = "ready"
    LOGIN = "login"
    CHALLENGED = "the client's response"
    CAPABILITY_AFTER_LOGIN = "capabilities after login"
    AUTHENTICATED = "authenticated"
    LOGOUT = "logout"


_NEXT: Mapping[tuple[State, str], State] = MappingProxyType(
    {
        (State.GREETING, "CAPABILITY"): State.CAPABILITY,
        (State.GREETING, "STARTTLS"): State.STARTTLS,
        (State.CAPABILITY, "STARTTLS"): State.STARTTLS,
        (State.STARTTLS, "OK"): State.STARTING_TLS,
        (State.STARTING_TLS, "CAPABILITY"): State.CAPABILITY,
        (State.GREETING, "ready"): State.NOT_AUTHENTICATED,
        (State.CAPABILITY, "ready"): State.NOT_AUTHENTICATED,
        (State.NOT_AUTHENTICATED, "login"): State.LOGIN,
        (State.LOGIN, "challenge"): State.CHALLENGED,
        (State.CHALLENGED, "response"): State.LOGIN,
        (State.LOGIN, "OK"): State.AUTHENTICATED,
        (State.LOGIN, "CAPABILITY"): State.CAPABILITY_AFTER_LOGIN,
        (State.CAPABILITY_AFTER_LOGIN, "OK"): State.AUTHENTICATED,
    },
)
_GREETING, _NOT_AUTHENTICATED = State.GREETING, State.NOT_AUTHENTICATED
_LISTENING = frozenset(State) - {State.STARTING_TLS, State.CHALLENGED, State.AUTHENTICATED, State.LOGOUT}


@define(kw_only=True, eq=False, repr=False)
class Client:
    """The conversation with one store; satisfies ``mmp.interfaces.ClientCore``.

    With ``starttls`` nothing but CAPABILITY and STARTTLS is ever said in the clear.
    """

    _starttls: bool
    _talk: Conversation[State] = field(factory=partial(Conversation, State.GREETING, State.LOGOUT, _NEXT), init=False)
    _reader: ResponseReader = field(factory=ResponseReader, init=False)
    _tags: list[bytes] = field(factory=list, init=False)
    """Of the commands that are not answered yet, in order."""
    _commands: int = field(default=0, init=False)
    _untagged: int = field(default=0, init=False)
    _offered: Offered = field(default=NOTHING, init=False)
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
        """What the store offers, as far as it is known."""
        return self._offered.capabilities

    @property
    def mechanisms(self) -> frozenset[bytes]:
        """The SASL mechanisms among them, in upper case."""
        return self._offered.mechanisms

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
                response = self._reader.next(self._talk.received)
                if response is None:
                    return None
                event = self._settle(response)
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
        """TLS is in force toward the store: forget its capabilities and ask anew."""
        self._talk.to("CAPABILITY")
        self._starttls = False
        self._talk.received.clear()
        self._offered = NOTHING
        self._command(b"CAPABILITY\r\n")

    def log_in(self, replay: Replay) -> None:
        """Queue the login, and ahead of it, in ID, who comes; LocalProtocolError unless Ready was reported.

        Refused(BACKEND_UNAVAILABLE) if the store offers no usable way, Refused(BAD_CREDENTIALS) if the secret cannot be
        said in the protocol.
        """
        if self._talk.state is not _NOT_AUTHENTICATED:
            raise LocalProtocolError(f"log_in() while {self.phase}")
        offered = self._offered.names
        steps = render.login(replay, offered)
        if replay.origin is not None and b"ID" in offered:
            self._command(render.identification(replay.origin))
        self._talk.to("login")
        self._talk.prepare(replay, steps)
        self._offered = NOTHING
        self._talk.begin(self._next_tag())

    def respond(self, octets: bytes) -> None:
        """Queue the answer to the Challenge just reported."""
        self._talk.to("response")
        self._talk.respond(octets, lines.encoded(octets) + b"\r\n")

    # What is received

    def _settle(self, response: Response) -> BackendEvent | None:
        if response.tag == b"*":
            return self._untagged_response(response)
        if response.tag == b"+":
            return self._continue(response)
        if self._tags[:1] != [response.tag] or response.kind not in (b"OK", b"NO", b"BAD"):
            raise RemoteProtocolError("A response that answers no command")
        del self._tags[0]
        if self._tags:  # ID is answered, no matter how
            return None
        return self._ANSWERED[self._talk.state](self, response)

    def _untagged_response(self, response: Response) -> BackendEvent | None:
        self._untagged += 1
        if self._untagged > UNTAGGED_LIMIT:
            raise RemoteProtocolError(f"More than {UNTAGGED_LIMIT} untagged responses before login")
        self._offered = response.offered or self._offered
        if self._talk.state is _GREETING:
            return self._greeted(response)
        if response.kind != b"BYE":
            return None
        if self._talk.state in (State.LOGIN, State.CAPABILITY_AFTER_LOGIN):
            return self._refused(Refusal.BACKEND_UNAVAILABLE, response)
        raise RemoteProtocolError(f"The store ends the connection: {self._words(response)}")

    def _greeted(self, response: Response) -> Ready | None:
        if response.kind == b"PREAUTH":
            raise RemoteProtocolError("The store takes us for logged in already (PREAUTH): its users could not log in")
        if response.kind != b"OK":
            raise RemoteProtocolError(f"The store does not greet as IMAP does: {self._words(response)}")
        if self._offered is not NOTHING:
            return self._capable()
        self._talk.to("CAPABILITY")
        self._command(b"CAPABILITY\r\n")
        return None

    def _capability_answered(self, response: Response) -> Ready | None:
        if response.kind != b"OK" or self._offered is NOTHING:
            raise RemoteProtocolError(f"The store does not tell its capabilities: {self._words(response)}")
        return self._capable()

    def _capable(self) -> Ready | None:
        offered = self._offered.names
        if self._starttls:
            if b"STARTTLS" not in offered:
                raise RemoteProtocolError("The store does not offer STARTTLS")
            self._talk.to("STARTTLS")
            self._command(b"STARTTLS\r\n")
            return None
        if offered.isdisjoint(_VERSIONS):
            raise RemoteProtocolError("The store speaks neither IMAP4rev1 nor IMAP4rev2")
        self._talk.to("ready")
        return Ready()

    def _starttls_answered(self, response: Response) -> StartTLS:
        """Agree, unless clear text follows that somebody may have slipped in to pass for the store's under TLS."""
        if response.kind != b"OK":
            raise RemoteProtocolError(f"The store refuses STARTTLS: {self._words(response)}")
        if self._talk.received:
            raise RemoteProtocolError("Bytes behind the store's answer to STARTTLS")
        self._talk.to("OK")
        return StartTLS()

    def _continue(self, response: Response) -> Challenge | None:
        if self._talk.steps:
            self._talk.next_step()
            return None
        return self._talk.challenged(response.text)

    def _login_answered(self, response: Response) -> LoggedIn | LoginRefused | None:
        if response.kind == b"NO":
            return self._refused(replies.REFUSAL_BY_CODE.get(response.code, Refusal.BAD_CREDENTIALS), response)
        if response.kind == b"BAD":
            return self._refused(Refusal.BACKEND_UNAVAILABLE, response)
        if self._talk.steps:
            raise RemoteProtocolError("The store agrees to a login that it has not heard")
        self._text = response.text
        self._offered = response.offered or self._offered
        if self._offered is not NOTHING:
            return self._logged_in(response)
        self._talk.to("CAPABILITY")
        self._command(b"CAPABILITY\r\n")
        return None

    def _logged_in(self, _response: Response) -> LoggedIn:
        trailing = self._talk.log_in("OK")
        return LoggedIn(self._offered.capabilities, replies.text(self._text), trailing)

    def _refused(self, refusal: Refusal, response: Response) -> LoginRefused:
        words = self._words(response)
        self._talk.end()
        return LoginRefused(refusal, words)

    _ANSWERED: ClassVar[Mapping[State, Callable[[Client, Response], BackendEvent | None]]] = MappingProxyType(
        {
            State.CAPABILITY: _capability_answered,
            State.STARTTLS: _starttls_answered,
            State.LOGIN: _login_answered,
            State.CAPABILITY_AFTER_LOGIN: _logged_in,
        },
    )

    # What is said and known

    def _command(self, text: bytes) -> None:
        self._talk.say(self._next_tag() + text)

    def _next_tag(self) -> bytes:
        """Return a tag and a space."""
        self._commands += 1
        tag = b"m%d" % self._commands
        self._tags.append(tag)
        return tag + b" "

    def _words(self, response: Response) -> str:
        """Return a status as the store worded it, fit for a log: bounded, printable, without the password."""
        code = b"[%b] " % b" ".join(filter(None, (response.code, response.argument))) if response.code else b""
        text = b"%b %b%b" % (response.kind, code, response.text)
        return replies.text(self._talk.without_password(text)).decode(errors="replace")
