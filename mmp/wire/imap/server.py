"""The side of IMAP that we play toward the client, up to the login.

RFC 9051 and 3501, 3, 6.1 and 6.2; SASL-IR: RFC 4959; LITERAL+: RFC 7888; ID: RFC 2971.
"""

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
from mmp.wire.imap import grammar, replies
from mmp.wire.imap.command import Command, CommandReader
from mmp.wire.imap.grammar import Announcement, Malformed
from mmp.wire.sasl import MECHANISMS, SASLError, ServerMechanism, identity

COMMANDS_LIMIT = 100
"""Commands before login: what Postfix allows of idle ones (smtpd_junk_command_limit)."""
ERRORS_LIMIT = 10
"""BAD answers before login: Dovecot's login process has had 10 and now has 3."""

_NOT_IMAP = "This is a port for IMAP"
_TAKING_LITERALS = (b"LOGIN", b"ID")
_TTL_DIGITS = 4
_TLS_RECORD = b"\x16"
"""The octet that a ClientHello begins with (RFC 8446, 5.1)."""


class State(enum.Enum):
    """Where the conversation stands (RFC 9051, 3), with the steps within 'not authenticated' told apart."""

    CONNECTED = "connection established"
    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATING = "not authenticated, in a SASL exchange"
    LOGGING_IN = "not authenticated, login pending"
    RESPONDING = "not authenticated, login pending, in a SASL exchange"
    STARTING_TLS = "not authenticated, TLS negotiation"
    AUTHENTICATED = "authenticated"
    LOGOUT = "logout"


_NEXT: Mapping[tuple[State, str], State] = MappingProxyType(
    {
        (State.CONNECTED, "greeting"): State.NOT_AUTHENTICATED,
        (State.CONNECTED, "TLS"): State.CONNECTED,
        (State.NOT_AUTHENTICATED, "STARTTLS"): State.STARTING_TLS,
        (State.STARTING_TLS, "TLS"): State.NOT_AUTHENTICATED,
        (State.NOT_AUTHENTICATED, "step"): State.AUTHENTICATING,
        (State.AUTHENTICATING, "step"): State.AUTHENTICATING,
        (State.NOT_AUTHENTICATED, "credentials"): State.LOGGING_IN,
        (State.AUTHENTICATING, "credentials"): State.LOGGING_IN,
        (State.LOGGING_IN, "challenge"): State.RESPONDING,
        (State.RESPONDING, "response"): State.LOGGING_IN,
        (State.LOGGING_IN, "OK"): State.AUTHENTICATED,
        (State.LOGGING_IN, "NO"): State.NOT_AUTHENTICATED,
        (State.RESPONDING, "NO"): State.NOT_AUTHENTICATED,
        (State.AUTHENTICATING, "BAD"): State.NOT_AUTHENTICATED,
        (State.NOT_AUTHENTICATED, "BAD"): State.NOT_AUTHENTICATED,
        (State.LOGOUT, "NO"): State.LOGOUT,  # a login answered too late
        **{(state, "BYE"): State.LOGOUT for state in State},
    },
)
_LISTENING = (State.NOT_AUTHENTICATED, State.AUTHENTICATING, State.RESPONDING)
_LOGIN_PENDING = (State.LOGGING_IN, State.RESPONDING)


@define(kw_only=True, eq=False, repr=False)
class Server:
    """One client's conversation; satisfies ``mmp.interfaces.ServerCore``.

    ``timestamp`` is a unique ``<...@host>`` for mechanisms that challenge with one; ``capabilities`` are what all
    stores are known to have besides what we say ourselves. ``alert`` is what users are shown whose store is away.
    """

    _offer: Offer
    _hostname: str
    _timestamp: bytes
    _capabilities: tuple[bytes, ...] = ()
    _alert: str = ""
    _state: State = field(default=State.CONNECTED, init=False)
    _received: Buffer = field(factory=Buffer, init=False)
    _reader: CommandReader = field(factory=CommandReader, init=False)
    _replies: list[bytes] = field(factory=list, init=False)
    _tag: bytes = field(default=b"*", init=False)
    _mechanism: ServerMechanism = field(init=False)
    """Of the SASL exchange under way; unset outside one."""
    _ttl: int | None = field(default=None, init=False)
    """How many more proxies the connection may go through, if the client is one of those that say so."""
    _commands: int = field(default=0, init=False)
    _errors: int = field(default=0, init=False)

    @property
    def buffered(self) -> int:
        """How many received bytes are not yet consumed."""
        return len(self._received)

    def greet(self) -> None:
        """Queue the greeting."""
        self._to("greeting")
        self._say(b"* OK [CAPABILITY %b] %b ready" % (self._offered(), self._hostname.encode()))

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
                command = self._reader.next(self._received, response=self._state is not State.NOT_AUTHENTICATED)
                if command is None:
                    return None
                event = self._settle(command)
                if event is not None:
                    return event
        except RemoteProtocolError as error:
            self._bye(str(error).encode())
            raise
        return None

    def data_to_send(self) -> bytes:
        """Return and forget what is to be written to the client."""
        octets = b"".join(self._replies)
        self._replies.clear()
        return octets

    def tls_started(self, offer: Offer) -> None:
        """TLS is in force: forget everything learned before it and offer this instead."""
        self._to("TLS")
        self._received.clear()
        self._ttl = None
        self._offer = offer

    def challenge(self, octets: bytes) -> None:
        """Ask more of the client whose Login is pending; a Response follows."""
        self._to("challenge")
        self._ask(octets)

    def accept(self, logged_in: LoggedIn) -> None:
        """Answer the pending Login with success and the store's capabilities."""
        self._to("OK")
        self._tagged(b"OK " + replies.logged_in(logged_in))

    def refuse(self, refusal: Refusal) -> None:
        """Answer the pending Login with a refusal; the client may go on."""
        self._to("NO")
        if refusal is Refusal.BACKEND_UNAVAILABLE and self._alert:
            self._say(b"* NO [ALERT] " + self._alert.encode("ascii"))  # RFC 9051, 7.1: the client must show it
        status = b"BAD " if refusal is Refusal.CANCELLED else b"NO "  # RFC 9051, 6.2.2
        self._tagged(status + replies.wording(refusal))

    def goodbye(self, refusal: Refusal) -> None:
        """Queue BYE, and the refusal of a pending Login before it; nothing is sent after it."""
        if self._state in _LOGIN_PENDING:
            self.refuse(refusal)
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
            raise RemoteProtocolError(_NOT_IMAP)

    def _settle(self, command: Command) -> ClientEvent | None:
        try:
            if self._state is State.AUTHENTICATING:
                return self._respond(command.text)
            if self._state is State.RESPONDING:
                return self._response(command.text)
            name, arguments = self._recognise(command)
            if command.announced is None:
                return self._ACTIONS[name](self, arguments, command.literals)
            self._let_come(name, command.announced)
        except (Malformed, SASLError) as fault:
            self._bad(str(fault))
            self._reader.refuse()
        return None

    def _recognise(self, command: Command) -> tuple[bytes, bytes]:
        """Return name and arguments of a command that may be given now; at its first line it is also counted."""
        text = command.text
        match = grammar.COMMAND.match(text)
        name = match[2].upper() if match else b""
        later = name in grammar.COMMANDS_AFTER_LOGIN
        known = later or name in self._ACTIONS
        if not command.literals:
            self._count_command(known=known)
        elif b"\0" in command.literals[-1]:
            raise Malformed("NUL in a literal")
        tag = match or grammar.TAG.match(text)
        self._tag = tag[1] if tag else b"*"
        if not text.endswith(b"\r\n"):
            raise Malformed("A line ends with CR LF")
        if match is None:
            raise Malformed("A command is a tag and a name")
        if later:
            raise Malformed("Log in first")
        if not known:
            raise Malformed("Unknown command")
        return name, text[match.end() :]

    def _let_come(self, name: bytes, announced: Announcement) -> None:
        """Settle whether a literal may come; if the client waits for us, nothing of a refused one is sent."""
        if name not in _TAKING_LITERALS:
            raise Malformed("This command takes no literals")
        if name == b"LOGIN" and not self._offer.plaintext:
            self._no(Refusal.PRIVACY_REQUIRED)
            self._reader.refuse()
            return
        self._reader.go_on(announced)
        if announced.client_waits:
            self._say(b"+ Go on")

    # Commands

    def _capability(self, arguments: bytes, _literals: list[bytes]) -> None:
        grammar.check_nothing(arguments)
        self._say(b"* CAPABILITY " + self._offered())
        self._tagged(b"OK CAPABILITY completed")

    def _noop(self, arguments: bytes, _literals: list[bytes]) -> None:
        grammar.check_nothing(arguments)
        self._tagged(b"OK NOOP completed")

    def _id(self, arguments: bytes, literals: list[bytes]) -> None:
        """Heed of what a client says of itself only how often it may yet be passed on; nothing reaches the store."""
        ttl = grammar.identification(arguments, literals).get(b"x-proxy-ttl", b"")
        self._ttl = int(ttl) if ttl.isdigit() and len(ttl) < _TTL_DIGITS else None
        self._say(b'* ID ("name" "mmp")')  # no version: strangers need not know it
        self._tagged(b"OK ID completed")

    def _log_out(self, arguments: bytes, _literals: list[bytes]) -> Logout:
        grammar.check_nothing(arguments)
        self._say(b"* BYE Logging out")
        self._tagged(b"OK LOGOUT completed")
        self._to("BYE")
        return Logout()

    def _start_tls(self, arguments: bytes, _literals: list[bytes]) -> StartTLS:
        """Agree, unless clear text follows that somebody may have slipped in to be run under TLS (RFC 9051, 6.2.1)."""
        grammar.check_nothing(arguments)
        if not self._offer.starttls:
            raise Malformed("STARTTLS is not available")
        if self._received:
            self._tagged(b"BAD Nothing may follow STARTTLS")
            raise RemoteProtocolError("Bytes behind STARTTLS")
        self._tagged(b"OK Begin TLS negotiation")
        self._to("STARTTLS")
        return StartTLS()

    def _log_in(self, arguments: bytes, literals: list[bytes]) -> Login | None:
        if not self._offer.plaintext:
            self._no(Refusal.PRIVACY_REQUIRED)
            return None
        user, secret = grammar.login(arguments, literals)
        return self._login(Credentials(mechanism="LOGIN", user=identity(user), secret=secret))

    def _authenticate(self, arguments: bytes, _literals: list[bytes]) -> Login | None:
        name, initial = grammar.authenticate(arguments)
        mechanism = MECHANISMS.get(name)
        if mechanism and name in self._offer.mechanisms:
            return self._step(mechanism(self._timestamp), grammar.initial_response(initial))
        if mechanism and not self._offer.plaintext:
            self._no(Refusal.PRIVACY_REQUIRED)
        else:
            self._tagged(b"NO Unsupported mechanism")
        return None

    def _respond(self, line: bytes) -> Login | None:
        mechanism = self._mechanism
        del self._mechanism
        return self._step(mechanism, grammar.response(line))

    def _response(self, line: bytes) -> Response:
        self._to("response")
        try:
            return Response(grammar.response(line))
        except Malformed:
            self._reader.refuse()
            return Response(None)

    def _step(self, mechanism: ServerMechanism, response: bytes | None) -> Login | None:
        answer = mechanism.next(response)
        if isinstance(answer, Credentials):
            return self._login(answer)
        self._to("step")
        self._mechanism = mechanism
        self._ask(answer)
        return None

    def _login(self, credentials: Credentials) -> Login:
        self._to("credentials")
        return Login(credentials, ttl=self._ttl)

    _ACTIONS: ClassVar[Mapping[bytes, Callable[[Server, bytes, list[bytes]], ClientEvent | None]]] = MappingProxyType(
        {
            b"CAPABILITY": _capability,
            b"NOOP": _noop,
            b"LOGOUT": _log_out,
            b"ID": _id,
            b"STARTTLS": _start_tls,
            b"LOGIN": _log_in,
            b"AUTHENTICATE": _authenticate,
        },
    )

    # What is said

    def _ask(self, challenge: bytes) -> None:
        self._say(b"+ " + binascii.b2a_base64(challenge, newline=False))

    def _offered(self) -> bytes:
        return replies.capabilities(self._offer, self._capabilities)

    def _no(self, refusal: Refusal) -> None:
        self._tagged(b"NO " + replies.wording(refusal))

    def _bad(self, why: str) -> None:
        self._tagged(b"BAD " + why.encode())
        self._to("BAD")
        self._errors += 1
        if self._errors == ERRORS_LIMIT:
            self._give_up(f"{ERRORS_LIMIT} errors")

    def _count_command(self, *, known: bool) -> None:
        if not (known or self._commands):  # a browser made to speak to this port gets no further
            raise RemoteProtocolError(_NOT_IMAP)
        self._commands += 1
        if self._commands > COMMANDS_LIMIT:
            self._give_up(f"more than {COMMANDS_LIMIT} commands before login")

    def _give_up(self, why: str) -> NoReturn:
        self.goodbye(Refusal.TOO_MANY_ERRORS)
        raise RemoteProtocolError(why)

    def _tagged(self, reply: bytes) -> None:
        self._say(self._tag + b" " + reply)

    def _bye(self, text: bytes) -> None:
        if self._state is not State.STARTING_TLS:  # a handshake has no room for words
            self._say(b"* BYE " + text)
        self._to("BYE")
        self._received.clear()
        self._reader = CommandReader()

    def _say(self, line: bytes) -> None:
        if self._state is not State.LOGOUT:
            self._replies.append(line + b"\r\n")

    def _to(self, event: str) -> None:
        try:
            self._state = _NEXT[self._state, event]
        except KeyError:
            raise LocalProtocolError(f"{event} while {self._state.value}") from None
