"""The side of submission that we play toward the client, up to the login.

RFC 6409, 4.3; RFC 5321, 3 and 4; STARTTLS: RFC 3207, 4; AUTH: RFC 4954, 4; status codes: RFC 2034 and 3463; what comes
behind BDAT: RFC 3030, 2.
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
from mmp.wire.sasl import MECHANISMS, SASLError, ServerMechanism
from mmp.wire.submission import grammar, replies
from mmp.wire.submission.grammar import Malformed

LINE_LIMIT = 512
"""Octets in a command, CRLF included (RFC 5321, 4.5.3.1.4)."""
ENVELOPE_LIMIT = 2048
"""The same of MAIL and RCPT, which the parameters of extensions make longer: what Postfix reads at once."""
AUTH_LIMIT = 64 * 1024
"""The same where a SASL response stands: RFC 4954, 4, asks for 12288, and tokens that list rights grow beyond."""
CHUNK_LIMIT = 1024 * 1024
"""Octets behind BDAT that are read to be forgotten; who sends more is told so and let go."""
COMMANDS_LIMIT = 100
"""Commands before login: what Postfix allows of idle ones (smtpd_junk_command_limit)."""
ERRORS_LIMIT = 10
"""Commands that make no sense before login: Dovecot's submission login has 10."""

_NOT_SUBMISSION = "This is a port for mail submission"
_LINE_LIMITS = {b"AUTH ": AUTH_LIMIT, b"MAIL ": ENVELOPE_LIMIT, b"RCPT ": ENVELOPE_LIMIT}
_TLS_RECORD = b"\x16"
"""The octet that a ClientHello begins with (RFC 8446, 5.1)."""


class State(enum.Enum):
    """Where the conversation stands, with the steps of a login told apart."""

    CONNECTED = "connection established"
    READY = "ready"
    AUTHENTICATING = "in a SASL exchange"
    LOGGING_IN = "login pending"
    RESPONDING = "login pending, in a SASL exchange"
    STARTING_TLS = "TLS negotiation"
    AUTHENTICATED = "authenticated"
    QUIT = "quit"


_NEXT: Mapping[tuple[State, str], State] = MappingProxyType(
    {
        (State.CONNECTED, "greeting"): State.READY,
        (State.CONNECTED, "TLS"): State.CONNECTED,
        (State.READY, "STARTTLS"): State.STARTING_TLS,
        (State.STARTING_TLS, "TLS"): State.READY,
        (State.READY, "334"): State.AUTHENTICATING,
        (State.AUTHENTICATING, "334"): State.AUTHENTICATING,
        (State.READY, "credentials"): State.LOGGING_IN,
        (State.AUTHENTICATING, "credentials"): State.LOGGING_IN,
        (State.LOGGING_IN, "334"): State.RESPONDING,
        (State.RESPONDING, "response"): State.LOGGING_IN,
        (State.LOGGING_IN, "235"): State.AUTHENTICATED,
        (State.LOGGING_IN, "refusal"): State.READY,
        (State.RESPONDING, "refusal"): State.READY,
        (State.AUTHENTICATING, "error"): State.READY,
        (State.READY, "error"): State.READY,
        (State.QUIT, "refusal"): State.QUIT,  # a login answered too late
        **{(state, "end"): State.QUIT for state in State},
    },
)
_LISTENING = (State.READY, State.AUTHENTICATING, State.RESPONDING)


@define(kw_only=True, eq=False, repr=False)
class Server:
    """One client's conversation; satisfies ``mmp.interfaces.ServerCore``.

    ``timestamp`` is a unique ``<...@host>`` for mechanisms that challenge with one; ``capabilities`` are the lines of
    EHLO's answer that all stores are known to have besides what we say ourselves.
    """

    _offer: Offer
    _hostname: str
    _timestamp: bytes
    _capabilities: tuple[bytes, ...] = ()
    _state: State = field(default=State.CONNECTED, init=False)
    _received: Buffer = field(factory=Buffer, init=False)
    _replies: list[bytes] = field(factory=list, init=False)
    _greeting: str = field(default="", init=False)
    """The name that EHLO or HELO gave; empty if neither was said yet."""
    _passing_over: int = field(default=0, init=False)
    """How many octets of a refused chunk are still to come."""
    _mechanism: ServerMechanism = field(init=False)
    """Of the SASL exchange under way; unset outside one."""
    _commands: int = field(default=0, init=False)
    _errors: int = field(default=0, init=False)

    @property
    def buffered(self) -> int:
        """How many received bytes are not yet consumed."""
        return len(self._received)

    def greet(self) -> None:
        """Queue the greeting."""
        self._to("greeting")
        self._say(b"220 %b ESMTP ready" % self._hostname.encode())

    def turn_away(self, refusal: Refusal) -> None:
        """Queue a refusal in place of the greeting."""
        self.goodbye(refusal)

    def receive_data(self, octets: bytes) -> None:
        """Buffer what the client sent; after a goodbye nobody wants it."""
        if self._state is not State.QUIT:
            self._received.feed(octets)

    def next_event(self) -> ClientEvent | None:
        """Return the next event, or None when more bytes (or an answer to the last one) are needed."""
        try:
            self._notice_tls()
            while self._state in _LISTENING and self._passed_over():
                line = self._received.line(self._line_limit())
                if line is None:
                    return None
                event = self._settle(line)
                if event is not None:
                    return event
        except RemoteProtocolError as error:
            self._end(b"421 4.7.0 %b" % str(error).encode())
            raise
        return None

    def data_to_send(self) -> bytes:
        """Return and forget what is to be written to the client."""
        octets = b"".join(self._replies)
        self._replies.clear()
        return octets

    def tls_started(self, offer: Offer) -> None:
        """TLS is in force: forget everything learned before it and offer this instead (RFC 3207, 4.2)."""
        self._to("TLS")
        self._received.clear()
        self._greeting = ""
        self._offer = offer

    def challenge(self, octets: bytes) -> None:
        """Ask more of the client whose Login is pending; a Response follows."""
        self._ask(octets)

    def accept(self, logged_in: LoggedIn) -> None:
        """Answer the pending Login with success, in the store's words."""
        self._to("235")
        self._say(b"235 2.7.0 " + (replies.text(grammar.without_status(logged_in.text)) or b"Logged in"))

    def refuse(self, refusal: Refusal) -> None:
        """Answer the pending Login with a refusal; the client may go on."""
        self._to("refusal")
        self._say(replies.wording(refusal))

    def goodbye(self, refusal: Refusal) -> None:
        """Queue 421, which answers a pending Login too; nothing is sent after it."""
        self._end(replies.goodbye(refusal))

    def trailing(self) -> bytes:
        """Return and forget what the client sent behind its login: it belongs to the store."""
        if self._state is not State.AUTHENTICATED:
            raise LocalProtocolError(f"trailing() while {self._state.value}")
        return self._received.rest()

    # What is received

    def _notice_tls(self) -> None:
        """End a TLS handshake at its first octet: it may hold no end of a line for long."""
        if not self._commands and self._received.startswith(_TLS_RECORD):
            raise RemoteProtocolError(_NOT_SUBMISSION)

    def _passed_over(self) -> bool:
        """Drop what has come of a refused chunk; return whether a line comes next."""
        dropped = self._received.take(min(self._passing_over, len(self._received)))
        self._passing_over -= len(dropped or b"")
        return not self._passing_over

    def _line_limit(self) -> int:
        if self._state is not State.READY:
            return AUTH_LIMIT
        return _LINE_LIMITS.get(self._received.front(5).upper(), LINE_LIMIT)

    def _settle(self, line: bytes) -> ClientEvent | None:
        try:
            if self._state is State.AUTHENTICATING:
                return self._respond(line)
            if self._state is State.RESPONDING:
                return self._response(line)
            return self._command(line)
        except Malformed as fault:
            self._error(str(fault))
        except SASLError as fault:
            self._error(f"501 5.5.2 {fault}")
        return None

    def _command(self, line: bytes) -> ClientEvent | None:
        name = grammar.verb(line)
        later = name in grammar.COMMANDS_AFTER_LOGIN
        known = later or name in self._ACTIONS
        self._count_command(known=known)
        argument = grammar.argument(line)
        if later:
            self._log_in_first()
            return None
        if not known:
            raise Malformed("500 5.5.1 Unknown command")
        return self._ACTIONS[name](self, argument)

    # Commands

    def _ehlo(self, argument: bytes) -> None:
        self._greeting = grammar.greeting_name(argument)
        *lines, last = (self._hostname.encode(), *replies.keywords(self._offer, self._capabilities))
        for line in lines:
            self._say(b"250-" + line)
        self._say(b"250 " + last)

    def _helo(self, argument: bytes) -> None:
        self._greeting = grammar.greeting_name(argument)
        self._say(b"250 " + self._hostname.encode())

    def _noop(self, _argument: bytes) -> None:
        """Agree, whatever the argument (RFC 5321, 4.1.1.9)."""
        self._say(b"250 2.0.0 Still here")

    def _rset(self, argument: bytes) -> None:
        grammar.check_nothing(argument)
        self._say(b"250 2.0.0 Nothing to reset")

    def _help(self, _argument: bytes) -> None:
        self._say(b"214 2.0.0 Log in with AUTH, then send mail")

    def _verify(self, _argument: bytes) -> None:
        """Refuse: who has a mailbox is nobody's business (RFC 5321, 3.5.3 and 7.3)."""
        self._say(b"502 5.5.1 Addresses are not verified here")

    def _quit(self, argument: bytes) -> Logout:
        grammar.check_nothing(argument)
        self._end(b"221 2.0.0 Goodbye")
        return Logout()

    def _log_in_first(self) -> None:
        if self._offer.starttls and not self._offer.mechanisms:
            self._say(b"530 5.7.0 Say STARTTLS first")
        else:
            self._say(b"530 5.7.0 Log in first")

    def _chunk(self, argument: bytes) -> None:
        """Refuse, and pass over the octets: they come whether we agree or not (RFC 3030, 2)."""
        size = grammar.chunk_size(argument)
        self._log_in_first()
        if size is None or size > CHUNK_LIMIT:
            raise RemoteProtocolError("BDAT before the login, with more than is read")
        self._passing_over = size

    def _start_tls(self, argument: bytes) -> StartTLS:
        """Agree, unless clear text follows that somebody may have slipped in to be run under TLS (RFC 3207, 5)."""
        grammar.check_nothing(argument)
        if not self._offer.starttls:
            raise Malformed("503 5.5.1 STARTTLS is not available")
        if self._received:
            raise RemoteProtocolError("Bytes behind STARTTLS")
        self._say(b"220 2.0.0 Begin TLS negotiation")
        self._to("STARTTLS")
        return StartTLS()

    def _authenticate(self, argument: bytes) -> Login | None:
        name, initial = grammar.auth(argument)
        if not self._greeting:
            raise Malformed("503 5.5.1 Say EHLO first")
        mechanism = MECHANISMS.get(name)
        if mechanism and name in self._offer.mechanisms:
            return self._step(mechanism(self._timestamp), grammar.initial_response(initial))
        if mechanism and not self._offer.plaintext:
            self._say(replies.wording(Refusal.PRIVACY_REQUIRED))
        else:
            self._say(b"504 5.5.4 Unsupported mechanism")
        return None

    def _respond(self, line: bytes) -> Login | None:
        mechanism = self._mechanism
        del self._mechanism
        return self._step(mechanism, grammar.sasl_response(line))

    def _response(self, line: bytes) -> Response:
        self._to("response")
        try:
            return Response(grammar.sasl_response(line))
        except Malformed:
            return Response(None)

    def _step(self, mechanism: ServerMechanism, response: bytes | None) -> Login | None:
        answer = mechanism.next(response)
        if isinstance(answer, Credentials):
            self._to("credentials")
            return Login(answer, greeting=self._greeting)
        self._ask(answer)
        self._mechanism = mechanism
        return None

    _ACTIONS: ClassVar[Mapping[bytes, Callable[[Server, bytes], ClientEvent | None]]] = MappingProxyType(
        {
            b"EHLO": _ehlo,
            b"HELO": _helo,
            b"STARTTLS": _start_tls,
            b"AUTH": _authenticate,
            b"NOOP": _noop,
            b"RSET": _rset,
            b"HELP": _help,
            b"VRFY": _verify,
            b"EXPN": _verify,
            b"BDAT": _chunk,
            b"QUIT": _quit,
        },
    )

    # What is said

    def _ask(self, challenge: bytes) -> None:
        self._to("334")
        self._say(b"334 " + binascii.b2a_base64(challenge, newline=False))

    def _error(self, reply: str) -> None:
        self._say(reply.encode())
        self._to("error")
        self._errors += 1
        if self._errors == ERRORS_LIMIT:
            self._give_up(f"{ERRORS_LIMIT} errors")

    def _count_command(self, *, known: bool) -> None:
        if not (known or self._commands):  # a browser made to speak to this port gets no further
            raise RemoteProtocolError(_NOT_SUBMISSION)
        self._commands += 1
        if self._commands > COMMANDS_LIMIT:
            self._give_up(f"more than {COMMANDS_LIMIT} commands before login")

    def _give_up(self, why: str) -> NoReturn:
        self.goodbye(Refusal.TOO_MANY_ERRORS)
        raise RemoteProtocolError(why)

    def _end(self, reply: bytes) -> None:
        if self._state is not State.STARTING_TLS:  # a handshake has no room for words
            self._say(reply)
        self._to("end")
        self._received.clear()

    def _say(self, line: bytes) -> None:
        if self._state is not State.QUIT:
            self._replies.append(line + b"\r\n")

    def _to(self, event: str) -> None:
        try:
            self._state = _NEXT[self._state, event]
        except KeyError:
            raise LocalProtocolError(f"{event} while {self._state.value}") from None
