"""The side of IMAP that we play toward the client, up to the login.

RFC 9051 and 3501, 3, 6.1 and 6.2; SASL-IR: RFC 4959; LITERAL+: RFC 7888; ID: RFC 2971.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import ClassVar

from attrs import define, field

from mmp.errors import RemoteProtocolError
from mmp.model import Credentials, Offer, Refusal
from mmp.wire.events import ClientEvent, LoggedIn, Login, Logout, Response, StartTLS
from mmp.wire.imap import grammar, replies
from mmp.wire.imap.command import Command, CommandReader
from mmp.wire.imap.grammar import Announcement, Malformed
from mmp.wire.overheard import Onlooker
from mmp.wire.sasl import MECHANISMS, Cancelled, SASLError, identity, lines
from mmp.wire.toward_client import AUTHENTICATING, LISTENING, READY, RESPONDING, Conversation, State

_TAKING_LITERALS = (b"LOGIN", b"ID")
_TTL_DIGITS = 4
_TAG = b"TAG "
"""What is shown in its place."""


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
    _talk: Conversation = field(factory=partial(Conversation, "IMAP"), init=False)
    _reader: CommandReader = field(factory=CommandReader, init=False)
    _tag: bytes = field(default=b"*", init=False)

    @property
    def buffered(self) -> int:
        """How many received bytes are not yet consumed."""
        return len(self._talk.received)

    def overhear(self, onlooker: Onlooker) -> None:
        """Show somebody from now on what is said."""
        self._talk.onlooker = onlooker

    def greet(self) -> None:
        """Queue the greeting."""
        self._talk.to("greeting")
        self._talk.say(
            b"* OK [CAPABILITY %b] %b ready"
            % (replies.capabilities(self._offer, self._capabilities), self._hostname.encode())
        )

    def turn_away(self, refusal: Refusal) -> None:
        """Queue a refusal in place of the greeting."""
        self.goodbye(refusal)

    def receive_data(self, octets: bytes) -> None:
        """Buffer what the client sent; after a goodbye nobody wants it."""
        self._talk.feed(octets)

    def next_event(self) -> ClientEvent | None:
        """Return the next event, or None when more bytes (or an answer to the last one) are needed."""
        talk = self._talk
        try:
            talk.notice_tls()
            while talk.state in LISTENING:
                command = self._reader.next(talk.received, response=talk.state is not READY)
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
        return self._talk.data_to_send()

    def tls_started(self, offer: Offer) -> None:
        """TLS is in force: forget everything learned before it and offer this instead."""
        self._talk.tls_started()
        self._offer = offer

    def challenge(self, octets: bytes) -> None:
        """Ask more of the client whose Login is pending; a Response follows."""
        self._talk.to("challenge")
        self._ask(octets)

    def accept(self, logged_in: LoggedIn) -> None:
        """Answer the pending Login with success and the store's capabilities."""
        self._talk.to("success")
        self._talk.say(self._tag + b" OK " + replies.logged_in(logged_in), _TAG + b"OK, and what the store has said")

    def refuse(self, refusal: Refusal) -> None:
        """Answer the pending Login with a refusal; the client may go on."""
        self._talk.to("refusal")
        if refusal is Refusal.BACKEND_UNAVAILABLE and self._alert:
            self._talk.say(b"* NO [ALERT] " + self._alert.encode("ascii"))  # RFC 9051, 7.1: the client must show it
        status = b"BAD " if refusal is Refusal.CANCELLED else b"NO "  # RFC 9051, 6.2.2
        self._tagged(status + replies.wording(refusal))

    def goodbye(self, refusal: Refusal) -> None:
        """Queue BYE, and the refusal of a pending Login before it; nothing is sent after it."""
        if self._talk.state in (State.LOGGING_IN, State.RESPONDING):
            self.refuse(refusal)
        self._bye(replies.wording(refusal))

    def trailing(self) -> bytes:
        """Return and forget what the client sent behind its login: it belongs to the store."""
        return self._talk.trailing()

    # What is received

    def _settle(self, command: Command) -> ClientEvent | None:
        try:
            if self._talk.state is AUTHENTICATING:
                return self._respond(command.text)
            if self._talk.state is RESPONDING:
                return self._response(command.text)
            name, arguments = self._recognise(command)
            if command.announced is None:
                return self._ACTIONS[name](self, arguments, command.literals)
            self._let_come(name, command.announced)
        except (Malformed, SASLError, Cancelled) as fault:
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
            self._talk.count_command(name, text[match.end() :] if match else b"", self.goodbye, known=known)
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
            self._talk.say(b"+ Go on")

    # Commands

    def _capability(self, arguments: bytes, _literals: list[bytes]) -> None:
        grammar.check_nothing(arguments)
        self._talk.say(b"* CAPABILITY " + replies.capabilities(self._offer, self._capabilities))
        self._tagged(b"OK CAPABILITY completed")

    def _noop(self, arguments: bytes, _literals: list[bytes]) -> None:
        grammar.check_nothing(arguments)
        self._tagged(b"OK NOOP completed")

    def _id(self, arguments: bytes, literals: list[bytes]) -> None:
        """Heed of what a client says of itself only how often it may yet be passed on; nothing reaches the store."""
        ttl = grammar.identification(arguments, literals).get(b"x-proxy-ttl", b"")
        self._talk.ttl = int(ttl) if ttl.isdigit() and len(ttl) < _TTL_DIGITS else None
        self._talk.say(b'* ID ("name" "mmp")')  # no version: strangers need not know it
        self._tagged(b"OK ID completed")

    def _log_out(self, arguments: bytes, _literals: list[bytes]) -> Logout:
        grammar.check_nothing(arguments)
        self._talk.say(b"* BYE Logging out")
        self._talk.end(self._tag + b" OK LOGOUT completed", _TAG + b"OK LOGOUT completed")
        return Logout()

    def _start_tls(self, arguments: bytes, _literals: list[bytes]) -> StartTLS:
        """Agree, unless clear text follows that somebody may have slipped in to be run under TLS (RFC 9051, 6.2.1)."""
        grammar.check_nothing(arguments)
        if not self._offer.starttls:
            raise Malformed("STARTTLS is not available")
        if self._talk.received:
            self._tagged(b"BAD Nothing may follow STARTTLS")
            raise RemoteProtocolError("Bytes behind STARTTLS")
        self._tagged(b"OK Begin TLS negotiation")
        self._talk.to("STARTTLS")
        return StartTLS()

    def _log_in(self, arguments: bytes, literals: list[bytes]) -> Login | None:
        if not self._offer.plaintext:
            self._no(Refusal.PRIVACY_REQUIRED)
            return None
        user, secret = grammar.login(arguments, literals)
        return self._talk.log_in(Credentials(mechanism="LOGIN", user=identity(user), secret=secret))

    def _authenticate(self, arguments: bytes, _literals: list[bytes]) -> Login | None:
        name, initial = grammar.authenticate(arguments)
        mechanism = MECHANISMS.get(name)
        if mechanism and name in self._offer.mechanisms:
            return self._talk.step(mechanism(self._timestamp), lines.initial_response(initial), self._ask)
        if mechanism and not self._offer.plaintext:
            self._no(Refusal.PRIVACY_REQUIRED)
        else:
            self._tagged(b"NO Unsupported mechanism")
        return None

    def _respond(self, line: bytes) -> Login | None:
        return self._talk.step(self._talk.take_mechanism(), lines.response(line), self._ask)

    def _response(self, line: bytes) -> Response:
        self._talk.take_response()
        try:
            return Response(lines.response(line))
        except (SASLError, Cancelled):
            self._reader.refuse()
            return Response(None)

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
        self._talk.ask(b"+ " + lines.encoded(challenge))

    def _no(self, refusal: Refusal) -> None:
        self._tagged(b"NO " + replies.wording(refusal))

    def _bad(self, why: str) -> None:
        self._tagged(b"BAD " + why.encode())
        self._talk.count_error(self.goodbye)

    def _tagged(self, reply: bytes) -> None:
        self._talk.say(self._tag + b" " + reply, _TAG + reply)  # a tag is the client's own: it may be anything

    def _bye(self, text: bytes) -> None:
        self._talk.end(b"* BYE " + text)
        self._reader = CommandReader()
