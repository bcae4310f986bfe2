"""The side of POP3 that we play toward the client, up to the login.

RFC 1939, 3, 4 and 7; CAPA: RFC 2449, 5; STLS: RFC 2595, 4; AUTH: RFC 5034, 4; response codes: RFC 2449, 8, and 3206;
XCLIENT as Dovecot has it.
"""

from __future__ import annotations

import binascii
import enum
import hashlib
import hmac
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar, NoReturn

from attrs import define, field

from mmp.errors import LocalProtocolError, RemoteProtocolError
from mmp.model import Credentials, Offer, Refusal
from mmp.wire.buffer import Buffer
from mmp.wire.events import ClientEvent, LoggedIn, Login, Logout, Response, StartTLS
from mmp.wire.pop3 import grammar, replies
from mmp.wire.pop3.grammar import Malformed
from mmp.wire.sasl import MECHANISMS, SASLError, ServerMechanism, identity

LINE_LIMIT = 255
"""Octets in a command, CRLF included (RFC 2449, 4)."""
SECRET_LIMIT = 64 * 1024
"""Octets in a line that holds a password or a SASL response: access tokens that list rights fill kilobytes."""
COMMANDS_LIMIT = 100
"""Commands before login: what Postfix allows of idle ones (smtpd_junk_command_limit)."""
ERRORS_LIMIT = 10
"""Commands that make no sense before login: Dovecot's login process has had 10 and now has 3."""

_NOT_POP3 = "This is a port for POP3"
_WITH_SECRETS = (b"AUTH ", b"PASS ")
_TLS_RECORD = b"\x16"
"""The octet that a ClientHello begins with (RFC 8446, 5.1)."""


class State(enum.Enum):
    """Where the conversation stands (RFC 1939, 3), with the steps within AUTHORIZATION told apart."""

    CONNECTED = "connection established"
    AUTHORIZATION = "AUTHORIZATION"
    AUTHENTICATING = "AUTHORIZATION, in a SASL exchange"
    LOGGING_IN = "AUTHORIZATION, login pending"
    RESPONDING = "AUTHORIZATION, login pending, in a SASL exchange"
    STARTING_TLS = "AUTHORIZATION, TLS negotiation"
    TRANSACTION = "TRANSACTION"
    QUIT = "QUIT"


_NEXT: Mapping[tuple[State, str], State] = MappingProxyType(
    {
        (State.CONNECTED, "greeting"): State.AUTHORIZATION,
        (State.CONNECTED, "TLS"): State.CONNECTED,
        (State.AUTHORIZATION, "STLS"): State.STARTING_TLS,
        (State.STARTING_TLS, "TLS"): State.AUTHORIZATION,
        (State.AUTHORIZATION, "challenge"): State.AUTHENTICATING,
        (State.AUTHENTICATING, "challenge"): State.AUTHENTICATING,
        (State.AUTHORIZATION, "credentials"): State.LOGGING_IN,
        (State.AUTHENTICATING, "credentials"): State.LOGGING_IN,
        (State.LOGGING_IN, "challenge"): State.RESPONDING,
        (State.RESPONDING, "response"): State.LOGGING_IN,
        (State.LOGGING_IN, "+OK"): State.TRANSACTION,
        (State.LOGGING_IN, "-ERR"): State.AUTHORIZATION,
        (State.RESPONDING, "-ERR"): State.AUTHORIZATION,
        (State.AUTHENTICATING, "error"): State.AUTHORIZATION,
        (State.AUTHORIZATION, "error"): State.AUTHORIZATION,
        (State.QUIT, "-ERR"): State.QUIT,  # a login answered too late
        **{(state, "end"): State.QUIT for state in State},
    },
)
_LISTENING = (State.AUTHORIZATION, State.AUTHENTICATING, State.RESPONDING)
_LOGIN_PENDING = (State.LOGGING_IN, State.RESPONDING)


@define(kw_only=True, eq=False, repr=False)
class Server:
    """One client's conversation; satisfies ``mmp.interfaces.ServerCore``.

    ``timestamp`` is a unique ``<...@host>`` for APOP and mechanisms that challenge with one; ``capabilities`` are the
    lines of CAPA that all stores are known to have besides what we say ourselves.
    """

    _offer: Offer
    _hostname: str
    _timestamp: bytes
    _capabilities: tuple[bytes, ...] = ()
    _state: State = field(default=State.CONNECTED, init=False)
    _received: Buffer = field(factory=Buffer, init=False)
    _replies: list[bytes] = field(factory=list, init=False)
    _user: str = field(default="", init=False)
    """The name that USER gave, until PASS; empty if none is given."""
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
        """Queue the greeting; the timestamp in it is the invitation to APOP."""
        self._to("greeting")
        self._ok(b"%b ready%b" % (self._hostname.encode(), b" " + self._timestamp if self._takes_digests() else b""))

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
            while self._state in _LISTENING:
                line = self._received.line(self._line_limit())
                if line is None:
                    return None
                event = self._settle(line)
                if event is not None:
                    return event
        except RemoteProtocolError as error:
            self._end(str(error).encode())
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
        self._user = ""
        self._ttl = None
        self._offer = offer

    def challenge(self, octets: bytes) -> None:
        """Ask more of the client whose Login is pending; a Response follows."""
        self._to("challenge")
        self._ask(octets)

    def accept(self, logged_in: LoggedIn) -> None:
        """Answer the pending Login with success, in the store's words."""
        self._to("+OK")
        self._ok(replies.text(logged_in.text) or b"Logged in")

    def refuse(self, refusal: Refusal) -> None:
        """Answer the pending Login with a refusal; the client may go on."""
        self._to("-ERR")
        self._err(replies.wording(refusal))

    def goodbye(self, refusal: Refusal) -> None:
        """Queue -ERR, which answers a pending Login too; nothing is sent after it."""
        self._end(replies.wording(refusal))

    def trailing(self) -> bytes:
        """Return and forget what the client sent behind its login: it belongs to the store."""
        if self._state is not State.TRANSACTION:
            raise LocalProtocolError(f"trailing() while {self._state.value}")
        return self._received.rest()

    # What is received

    def _notice_tls(self) -> None:
        """End a TLS handshake at its first octet: it may hold no end of a line for long."""
        if not self._commands and self._received.startswith(_TLS_RECORD):
            raise RemoteProtocolError(_NOT_POP3)

    def _line_limit(self) -> int:
        secret = self._state is not State.AUTHORIZATION or self._received.front(5).upper() in _WITH_SECRETS
        return SECRET_LIMIT if secret else LINE_LIMIT

    def _settle(self, line: bytes) -> ClientEvent | None:
        try:
            if self._state is State.AUTHENTICATING:
                return self._respond(line)
            if self._state is State.RESPONDING:
                return self._response(line)
            return self._command(line)
        except (Malformed, SASLError) as fault:
            self._error(str(fault))
        return None

    def _command(self, line: bytes) -> ClientEvent | None:
        name = grammar.keyword(line)
        later = name in grammar.COMMANDS_AFTER_LOGIN
        known = later or name in self._ACTIONS
        self._count_command(known=known)
        argument = grammar.argument(line)
        if later:
            raise Malformed("Log in first")
        if not known:
            raise Malformed("Unknown command")
        return self._ACTIONS[name](self, argument)

    # Commands

    def _capa(self, argument: bytes | None) -> None:
        grammar.check_nothing(argument)
        self._ok(b"Capability list follows")
        self._list(*replies.capabilities(self._offer, self._capabilities))

    def _noop(self, argument: bytes | None) -> None:
        """Agree, though NOOP belongs to TRANSACTION (RFC 1939, 5): clients keep a connection alive by it."""
        grammar.check_nothing(argument)
        self._ok(b"Still here")

    def _quit(self, argument: bytes | None) -> Logout:
        grammar.check_nothing(argument)
        self._ok(b"Logging out")
        self._to("end")
        self._received.clear()
        return Logout()

    def _start_tls(self, argument: bytes | None) -> StartTLS:
        """Agree, unless clear text follows that somebody may have slipped in to be run under TLS (RFC 2595, 4)."""
        grammar.check_nothing(argument)
        if not self._offer.starttls:
            raise Malformed("STLS is not available")
        if self._received:
            raise RemoteProtocolError("Bytes behind STLS")
        self._ok(b"Begin TLS negotiation")
        self._to("STLS")
        return StartTLS()

    def _take_user(self, argument: bytes | None) -> None:
        """Take any name: whether there is such a user is nobody's business (RFC 1939, 7)."""
        if not self._offer.plaintext:
            self._err(replies.wording(Refusal.PRIVACY_REQUIRED))
            return
        self._user = identity(argument or b"")
        self._ok(b"Password required")

    def _take_password(self, argument: bytes | None) -> Login | None:
        if not self._offer.plaintext:
            self._err(replies.wording(Refusal.PRIVACY_REQUIRED))
            return None
        user, self._user = self._user, ""
        if not user:
            raise Malformed("USER comes before PASS")
        return self._login(Credentials(mechanism="USER", user=user, secret=grammar.password(argument)))

    def _take_digest(self, argument: bytes | None) -> Login:
        if not self._takes_digests():
            raise Malformed("APOP is not available")
        user, digest = grammar.apop(argument)
        timestamp = self._timestamp

        def proves(password: bytes) -> bool:
            expected = hashlib.md5(timestamp + password, usedforsecurity=False).hexdigest()
            return hmac.compare_digest(expected.encode(), digest)

        return self._login(Credentials(mechanism="APOP", user=identity(user), secret=b"", proves=proves))

    def _authenticate(self, argument: bytes | None) -> Login | None:
        if argument is None:  # how mechanisms were asked for before there was CAPA
            self._ok(b"Mechanisms follow")
            self._list(*(name.encode("ascii") for name in self._offer.mechanisms))
            return None
        name, initial = grammar.auth(argument)
        mechanism = MECHANISMS.get(name)
        if mechanism and name in self._offer.mechanisms:
            return self._step(mechanism(self._timestamp), grammar.initial_response(initial))
        if mechanism and not self._offer.plaintext:
            self._err(replies.wording(Refusal.PRIVACY_REQUIRED))
        else:
            self._err(b"Unsupported mechanism")
        return None

    def _take_client(self, argument: bytes | None) -> None:
        """Heed of what a client says of its own only how often it may yet be passed on; nothing reaches the store."""
        self._ttl = grammar.ttl(argument)
        self._ok(b"Noted")

    def _not_yet(self, _argument: bytes | None) -> None:
        self._err(b"Not before the login")

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
            return self._login(answer)
        self._to("challenge")
        self._mechanism = mechanism
        self._ask(answer)
        return None

    def _takes_digests(self) -> bool:
        """APOP asks of us what CRAM-MD5 does: to know the password."""
        return "CRAM-MD5" in self._offer.mechanisms

    def _login(self, credentials: Credentials) -> Login:
        self._to("credentials")
        return Login(credentials, ttl=self._ttl)

    _ACTIONS: ClassVar[Mapping[bytes, Callable[[Server, bytes | None], ClientEvent | None]]] = MappingProxyType(
        {
            b"CAPA": _capa,
            b"NOOP": _noop,
            b"QUIT": _quit,
            b"STLS": _start_tls,
            b"USER": _take_user,
            b"PASS": _take_password,
            b"APOP": _take_digest,
            b"AUTH": _authenticate,
            b"XCLIENT": _take_client,
            b"UTF8": _not_yet,
            b"LANG": _not_yet,
        },
    )

    # What is said

    def _ask(self, challenge: bytes) -> None:
        self._say(b"+ " + binascii.b2a_base64(challenge, newline=False))

    def _list(self, *lines: bytes) -> None:
        for line in lines:
            self._say(line)
        self._say(b".")

    def _error(self, why: str) -> None:
        self._err(why.encode())
        self._to("error")
        self._errors += 1
        if self._errors == ERRORS_LIMIT:
            self._give_up(f"{ERRORS_LIMIT} errors")

    def _count_command(self, *, known: bool) -> None:
        if not (known or self._commands):  # a browser made to speak to this port gets no further
            raise RemoteProtocolError(_NOT_POP3)
        self._commands += 1
        if self._commands > COMMANDS_LIMIT:
            self._give_up(f"more than {COMMANDS_LIMIT} commands before login")

    def _give_up(self, why: str) -> NoReturn:
        self.goodbye(Refusal.TOO_MANY_ERRORS)
        raise RemoteProtocolError(why)

    def _ok(self, text: bytes) -> None:
        self._say(b"+OK " + text)

    def _err(self, text: bytes) -> None:
        self._say(b"-ERR " + text)

    def _end(self, text: bytes) -> None:
        if self._state is not State.STARTING_TLS:  # a handshake has no room for words
            self._err(text)
        self._to("end")
        self._received.clear()
        self._user = ""

    def _say(self, line: bytes) -> None:
        if self._state is not State.QUIT:
            self._replies.append(line + b"\r\n")

    def _to(self, event: str) -> None:
        try:
            self._state = _NEXT[self._state, event]
        except KeyError:
            raise LocalProtocolError(f"{event} while {self._state.value}") from None
