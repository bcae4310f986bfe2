"""The side of POP3 that we play toward the client, up to the login.

RFC 1939, 3, 4 and 7; CAPA: RFC 2449, 5; STLS: RFC 2595, 4; AUTH: RFC 5034, 4; response codes: RFC 2449, 8, and 3206;
XCLIENT as Dovecot has it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import ClassVar

from attrs import define, field

from mmp.errors import RemoteProtocolError
from mmp.model import Credentials, Offer, Refusal
from mmp.wire.events import ClientEvent, LoggedIn, Login, Logout, Response, StartTLS
from mmp.wire.overheard import Onlooker
from mmp.wire.pop3 import grammar, replies
from mmp.wire.pop3.grammar import Malformed
from mmp.wire.sasl import MECHANISMS, Cancelled, SASLError, identity, lines
from mmp.wire.toward_client import AUTHENTICATING, LISTENING, READY, RESPONDING, Conversation

LINE_LIMIT = 255
"""Octets in a command, CRLF included (RFC 2449, 4)."""
SECRET_LIMIT = 64 * 1024
"""Octets in a line that holds a password or a SASL response: access tokens that list rights fill kilobytes."""

_WITH_SECRETS = (b"AUTH ", b"PASS ")


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
    _talk: Conversation = field(factory=partial(Conversation, "POP3"), init=False)
    _user: str = field(default="", init=False)
    """The name that USER gave, until PASS; empty if none is given."""

    @property
    def buffered(self) -> int:
        """How many received bytes are not yet consumed."""
        return len(self._talk.received)

    def overhear(self, onlooker: Onlooker) -> None:
        """Show somebody from now on what is said."""
        self._talk.onlooker = onlooker

    def greet(self) -> None:
        """Queue the greeting; the timestamp in it is the invitation to APOP."""
        self._talk.to("greeting")
        self._ok(b"%b ready%b" % (self._hostname.encode(), b" " + self._timestamp if self._takes_digests() else b""))

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
                line = talk.received.line(self._line_limit())
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
        return self._talk.data_to_send()

    def tls_started(self, offer: Offer) -> None:
        """TLS is in force: forget everything learned before it and offer this instead."""
        self._talk.tls_started()
        self._user = ""
        self._offer = offer

    def challenge(self, octets: bytes) -> None:
        """Ask more of the client whose Login is pending; a Response follows."""
        self._talk.to("challenge")
        self._ask(octets)

    def accept(self, logged_in: LoggedIn) -> None:
        """Answer the pending Login with success, in the store's words."""
        self._talk.to("success")
        self._talk.say(b"+OK " + (replies.text(logged_in.text) or b"Logged in"), b"+OK, and what the store has said")

    def refuse(self, refusal: Refusal) -> None:
        """Answer the pending Login with a refusal; the client may go on."""
        self._talk.to("refusal")
        self._err(replies.wording(refusal))

    def goodbye(self, refusal: Refusal) -> None:
        """Queue -ERR, which answers a pending Login too; nothing is sent after it."""
        self._end(replies.wording(refusal))

    def trailing(self) -> bytes:
        """Return and forget what the client sent behind its login: it belongs to the store."""
        return self._talk.trailing()

    # What is received

    def _line_limit(self) -> int:
        secret = self._talk.state is not READY or self._talk.received.front(5).upper() in _WITH_SECRETS
        return SECRET_LIMIT if secret else LINE_LIMIT

    def _settle(self, line: bytes) -> ClientEvent | None:
        try:
            if self._talk.state is AUTHENTICATING:
                return self._respond(line)
            if self._talk.state is RESPONDING:
                return self._response(line)
            return self._command(line)
        except (Malformed, SASLError, Cancelled) as fault:
            self._error(str(fault))
        return None

    def _command(self, line: bytes) -> ClientEvent | None:
        name = grammar.keyword(line)
        later = name in grammar.COMMANDS_AFTER_LOGIN
        known = later or name in self._ACTIONS
        self._talk.count_command(name, line[len(name) :], self.goodbye, known=known)
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
        self._talk.end(b"+OK Logging out")
        return Logout()

    def _start_tls(self, argument: bytes | None) -> StartTLS:
        """Agree, unless clear text follows that somebody may have slipped in to be run under TLS (RFC 2595, 4)."""
        grammar.check_nothing(argument)
        if not self._offer.starttls:
            raise Malformed("STLS is not available")
        if self._talk.received:
            raise RemoteProtocolError("Bytes behind STLS")
        self._ok(b"Begin TLS negotiation")
        self._talk.to("STARTTLS")
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
        return self._talk.log_in(Credentials(mechanism="USER", user=user, secret=grammar.password(argument)))

    def _take_digest(self, argument: bytes | None) -> Login:
        if not self._takes_digests():
            raise Malformed("APOP is not available")
        user, digest = grammar.apop(argument)
        timestamp = self._timestamp

        def proves(password: bytes) -> bool:
            expected = hashlib.md5(timestamp + password, usedforsecurity=False).hexdigest()
            return hmac.compare_digest(expected.encode(), digest)

        return self._talk.log_in(Credentials(mechanism="APOP", user=identity(user), secret=b"", proves=proves))

    def _authenticate(self, argument: bytes | None) -> Login | None:
        if argument is None:  # how mechanisms were asked for before there was CAPA
            self._ok(b"Mechanisms follow")
            self._list(*(name.encode("ascii") for name in self._offer.mechanisms))
            return None
        name, initial = grammar.auth(argument)
        mechanism = MECHANISMS.get(name)
        if mechanism and name in self._offer.mechanisms:
            return self._talk.step(mechanism(self._timestamp), lines.initial_response(initial), self._ask)
        if mechanism and not self._offer.plaintext:
            self._err(replies.wording(Refusal.PRIVACY_REQUIRED))
        else:
            self._err(b"Unsupported mechanism")
        return None

    def _take_client(self, argument: bytes | None) -> None:
        """Heed of what a client says of its own only how often it may yet be passed on; nothing reaches the store."""
        self._talk.ttl = grammar.ttl(argument)
        self._ok(b"Noted")

    def _not_yet(self, _argument: bytes | None) -> None:
        self._err(b"Not before the login")

    def _respond(self, line: bytes) -> Login | None:
        return self._talk.step(self._talk.take_mechanism(), lines.response(line), self._ask)

    def _response(self, line: bytes) -> Response:
        self._talk.take_response()
        try:
            return Response(lines.response(line))
        except (SASLError, Cancelled):
            return Response(None)

    def _takes_digests(self) -> bool:
        """APOP asks of us what CRAM-MD5 does: to know the password."""
        return "CRAM-MD5" in self._offer.mechanisms

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
        self._talk.ask(b"+ " + lines.encoded(challenge))

    def _list(self, *lines: bytes) -> None:
        for line in lines:
            self._talk.say(line)
        self._talk.say(b".")

    def _error(self, why: str) -> None:
        self._err(why.encode())
        self._talk.count_error(self.goodbye)

    def _ok(self, text: bytes) -> None:
        self._talk.say(b"+OK " + text)

    def _err(self, text: bytes) -> None:
        self._talk.say(b"-ERR " + text)

    def _end(self, text: bytes) -> None:
        self._talk.end(b"-ERR " + text)
        self._user = ""
