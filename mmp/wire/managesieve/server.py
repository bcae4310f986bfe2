"""The side of ManageSieve that we play toward the client, up to the login (RFC 5804, 1, 2.1 to 2.4 and 2.13)."""

from __future__ import annotations

import binascii
import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar, NoReturn

from attrs import define, field

from mmp.errors import LocalProtocolError, RemoteProtocolError
from mmp.model import Credentials, Offer, Refusal
from mmp.wire.buffer import Buffer
from mmp.wire.events import ClientEvent, LoggedIn, Login, Logout, Response, StartTLS
from mmp.wire.managesieve import grammar, replies
from mmp.wire.managesieve.grammar import Malformed
from mmp.wire.managesieve.reader import Reader, Sent
from mmp.wire.sasl import MECHANISMS, SASLError, ServerMechanism

COMMANDS_LIMIT = 100
"""Commands before login: what Postfix allows of idle ones (smtpd_junk_command_limit)."""
ERRORS_LIMIT = 10
"""Commands that make no sense before login: Dovecot's login process has had 10 and now has 3."""

_NOT_MANAGESIEVE = "This is a port for ManageSieve"
_TLS_RECORD = b"\x16"
"""The octet that a ClientHello begins with (RFC 8446, 5.1)."""


class State(enum.Enum):
    """Where the conversation stands (RFC 5804, 2), with the steps within 'non-authenticated' told apart."""

    CONNECTED = "connection established"
    NON_AUTHENTICATED = "non-authenticated"
    AUTHENTICATING = "non-authenticated, in a SASL exchange"
    LOGGING_IN = "non-authenticated, login pending"
    RESPONDING = "non-authenticated, login pending, in a SASL exchange"
    STARTING_TLS = "non-authenticated, TLS negotiation"
    AUTHENTICATED = "authenticated"
    LOGOUT = "logout"


_NEXT: Mapping[tuple[State, str], State] = MappingProxyType(
    {
        (State.CONNECTED, "greeting"): State.NON_AUTHENTICATED,
        (State.CONNECTED, "TLS"): State.CONNECTED,
        (State.NON_AUTHENTICATED, "STARTTLS"): State.STARTING_TLS,
        (State.STARTING_TLS, "TLS"): State.NON_AUTHENTICATED,
        (State.NON_AUTHENTICATED, "challenge"): State.AUTHENTICATING,
        (State.AUTHENTICATING, "challenge"): State.AUTHENTICATING,
        (State.NON_AUTHENTICATED, "credentials"): State.LOGGING_IN,
        (State.AUTHENTICATING, "credentials"): State.LOGGING_IN,
        (State.LOGGING_IN, "challenge"): State.RESPONDING,
        (State.RESPONDING, "response"): State.LOGGING_IN,
        (State.LOGGING_IN, "OK"): State.AUTHENTICATED,
        (State.LOGGING_IN, "NO"): State.NON_AUTHENTICATED,
        (State.RESPONDING, "NO"): State.NON_AUTHENTICATED,
        (State.AUTHENTICATING, "error"): State.NON_AUTHENTICATED,
        (State.NON_AUTHENTICATED, "error"): State.NON_AUTHENTICATED,
        (State.LOGOUT, "NO"): State.LOGOUT,  # a login answered too late
        **{(state, "BYE"): State.LOGOUT for state in State},
    },
)
_LISTENING = (State.NON_AUTHENTICATED, State.AUTHENTICATING, State.RESPONDING)


@define(kw_only=True, eq=False, repr=False)
class Server:
    """One client's conversation; satisfies ``mmp.interfaces.ServerCore``.

    ``timestamp`` is a unique ``<...@host>`` for mechanisms that challenge with one; ``capabilities`` are the lines that
    all stores are known to have besides what we say ourselves.
    """

    _offer: Offer
    _hostname: str
    _timestamp: bytes
    _capabilities: tuple[bytes, ...] = ()
    _state: State = field(default=State.CONNECTED, init=False)
    _received: Buffer = field(factory=Buffer, init=False)
    _reader: Reader = field(factory=Reader, init=False)
    _replies: list[bytes] = field(factory=list, init=False)
    _mechanism: ServerMechanism = field(init=False)
    """Of the SASL exchange under way; unset outside one."""
    _commands: int = field(default=0, init=False)
    _errors: int = field(default=0, init=False)

    @property
    def buffered(self) -> int:
        """How many received bytes are not yet consumed."""
        return len(self._received)

    def greet(self) -> None:
        """Queue the greeting, which is the capabilities."""
        self._to("greeting")
        self._list_capabilities(b"%b ready" % self._hostname.encode())

    def turn_away(self, refusal: Refusal) -> None:
        """Queue a refusal in place of the greeting."""
        self.goodbye(refusal)

    def receive_data(self, octets: bytes) -> None:
        """Buffer what the client sent; after a goodbye nobody wants it."""
        if self._state is not State.LOGOUT:
            self._received.feed(octets)

    def next_event(self) -> ClientEvent | None:
        """Return the next event, or None when more bytes (or an answer to the last one) are needed."""
        try:
            self._notice_tls()
            while self._state in _LISTENING:
                sent = self._reader.next(self._received)
                if sent is None:
                    return None
                event = self._settle(sent)
                if event is not None:
                    return event
        except RemoteProtocolError as error:
            self._bye(grammar.string(str(error).encode()))
            raise
        return None

    def data_to_send(self) -> bytes:
        """Return and forget what is to be written to the client."""
        octets = b"".join(self._replies)
        self._replies.clear()
        return octets

    def tls_started(self, offer: Offer) -> None:
        """TLS is in force: forget everything learned before it, and tell anew what is offered (RFC 5804, 2.2)."""
        asked_for = self._state is State.STARTING_TLS
        self._to("TLS")
        self._received.clear()
        self._offer = offer
        if asked_for:
            self._list_capabilities(b"TLS negotiation completed")

    def challenge(self, octets: bytes) -> None:
        """Ask more of the client whose Login is pending; a Response follows."""
        self._to("challenge")
        self._ask(octets)

    def accept(self, logged_in: LoggedIn) -> None:
        """Answer the pending Login with success, in the store's words."""
        self._to("OK")
        self._say(b"OK " + grammar.string(replies.printable(logged_in.text) or b"Logged in"))

    def refuse(self, refusal: Refusal) -> None:
        """Answer the pending Login with a refusal; the client may go on."""
        self._to("NO")
        self._no(refusal)

    def goodbye(self, refusal: Refusal) -> None:
        """Queue BYE, which answers a pending Login too; nothing is sent after it."""
        self._bye(replies.wording(refusal))

    def trailing(self) -> bytes:
        """Return and forget what the client sent behind its login: it belongs to the store."""
        if self._state is not State.AUTHENTICATED:
            raise LocalProtocolError(f"trailing() while {self._state.value}")
        return self._received.rest()

    # What is received

    def _notice_tls(self) -> None:
        """End a TLS handshake at its first octet: it may hold no end of a line for long."""
        if not self._commands and self._received.startswith(_TLS_RECORD):
            raise RemoteProtocolError(_NOT_MANAGESIEVE)

    def _settle(self, sent: Sent) -> ClientEvent | None:
        try:
            if self._state is State.AUTHENTICATING:
                return self._respond(sent)
            if self._state is State.RESPONDING:
                return self._response(sent)
            return self._command(sent)
        except (Malformed, SASLError) as fault:
            self._error(str(fault))
        return None

    def _command(self, sent: Sent) -> ClientEvent | None:
        name = grammar.keyword(sent.text)
        later = name in grammar.COMMANDS_AFTER_LOGIN
        known = later or name in self._ACTIONS
        self._count_command(known=known)
        if not sent.text.endswith(b"\r\n"):
            raise Malformed("A line ends with CR LF")
        if later:
            raise Malformed("Log in first")
        if not known:
            raise Malformed("Unknown command")
        return self._ACTIONS[name](self, sent.text[len(name) :], sent.literals)

    # Commands

    def _capability(self, arguments: bytes, _literals: tuple[bytes, ...]) -> None:
        grammar.check_nothing(arguments)
        self._list_capabilities(b"CAPABILITY completed")

    def _noop(self, arguments: bytes, literals: tuple[bytes, ...]) -> None:
        tag = grammar.noop(arguments, literals)
        self._say(b'OK "NOOP completed"' if tag is None else b'OK (TAG %b) "Done"' % grammar.string(tag))

    def _log_out(self, arguments: bytes, _literals: tuple[bytes, ...]) -> Logout:
        grammar.check_nothing(arguments)
        self._say(b'OK "Logging out"')
        self._to("BYE")
        self._received.clear()
        return Logout()

    def _start_tls(self, arguments: bytes, _literals: tuple[bytes, ...]) -> StartTLS:
        """Agree, unless clear text follows that somebody may have slipped in to be run under TLS."""
        grammar.check_nothing(arguments)
        if not self._offer.starttls:
            raise Malformed("STARTTLS is not available")
        if self._received:
            raise RemoteProtocolError("Bytes behind STARTTLS")
        self._say(b'OK "Begin TLS negotiation"')
        self._to("STARTTLS")
        return StartTLS()

    def _authenticate(self, arguments: bytes, literals: tuple[bytes, ...]) -> Login | None:
        name, initial = grammar.authenticate(arguments, literals)
        mechanism = MECHANISMS.get(name)
        if mechanism and name in self._offer.mechanisms:
            return self._step(mechanism(self._timestamp), initial)
        if mechanism and not self._offer.plaintext:
            self._no(Refusal.PRIVACY_REQUIRED)
        else:
            self._say(b'NO "Unsupported mechanism"')
        return None

    def _respond(self, sent: Sent) -> Login | None:
        mechanism = self._mechanism
        del self._mechanism
        return self._step(mechanism, grammar.sasl_response(*sent))

    def _response(self, sent: Sent) -> Response:
        self._to("response")
        try:
            return Response(grammar.sasl_response(*sent))
        except Malformed:
            return Response(None)

    def _step(self, mechanism: ServerMechanism, response: bytes | None) -> Login | None:
        answer = mechanism.next(response)
        if isinstance(answer, Credentials):
            self._to("credentials")
            return Login(answer)
        self._to("challenge")
        self._mechanism = mechanism
        self._ask(answer)
        return None

    _ACTIONS: ClassVar[Mapping[bytes, Callable[[Server, bytes, tuple[bytes, ...]], ClientEvent | None]]] = (
        MappingProxyType(
            {
                b"CAPABILITY": _capability,
                b"NOOP": _noop,
                b"LOGOUT": _log_out,
                b"STARTTLS": _start_tls,
                b"AUTHENTICATE": _authenticate,
            },
        )
    )

    # What is said

    def _ask(self, challenge: bytes) -> None:
        self._say(grammar.string(binascii.b2a_base64(challenge, newline=False)))

    def _list_capabilities(self, text: bytes) -> None:
        for line in replies.capabilities(self._offer, self._capabilities):
            self._say(line)
        self._say(b"OK " + grammar.string(text))

    def _no(self, refusal: Refusal) -> None:
        self._say(b"NO " + replies.wording(refusal))

    def _error(self, why: str) -> None:
        self._say(b"NO " + grammar.string(why.encode()))
        self._to("error")
        self._errors += 1
        if self._errors == ERRORS_LIMIT:
            self._give_up(f"{ERRORS_LIMIT} errors")

    def _count_command(self, *, known: bool) -> None:
        if not (known or self._commands):  # a browser made to speak to this port gets no further
            raise RemoteProtocolError(_NOT_MANAGESIEVE)
        self._commands += 1
        if self._commands > COMMANDS_LIMIT:
            self._give_up(f"more than {COMMANDS_LIMIT} commands before login")

    def _give_up(self, why: str) -> NoReturn:
        self.goodbye(Refusal.TOO_MANY_ERRORS)
        raise RemoteProtocolError(why)

    def _bye(self, text: bytes) -> None:
        if self._state is not State.STARTING_TLS:  # a handshake has no room for words
            self._say(b"BYE " + text)
        self._to("BYE")
        self._received.clear()
        self._reader.clear()

    def _say(self, line: bytes) -> None:
        if self._state is not State.LOGOUT:
            self._replies.append(line + b"\r\n")

    def _to(self, event: str) -> None:
        try:
            self._state = _NEXT[self._state, event]
        except KeyError:
            raise LocalProtocolError(f"{event} while {self._state.value}") from None
