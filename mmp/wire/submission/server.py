"""The side of submission that we play toward the client, up to the login.

RFC 6409, 4.3; RFC 5321, 3 and 4; STARTTLS: RFC 3207, 4; AUTH: RFC 4954, 4; status codes: RFC 2034 and 3463; what comes
behind BDAT: RFC 3030, 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import ClassVar

from attrs import define, field

from mmp.errors import RemoteProtocolError
from mmp.model import Offer, Refusal
from mmp.wire.events import ClientEvent, LoggedIn, Login, Logout, Response, StartTLS
from mmp.wire.overheard import Onlooker
from mmp.wire.sasl import MECHANISMS, Cancelled, SASLError, lines
from mmp.wire.submission import grammar, replies
from mmp.wire.submission.grammar import Malformed
from mmp.wire.toward_client import AUTHENTICATING, LISTENING, READY, RESPONDING, Conversation

LINE_LIMIT = 512
"""Octets in a command, CRLF included (RFC 5321, 4.5.3.1.4)."""
ENVELOPE_LIMIT = 2048
"""The same of MAIL and RCPT, which the parameters of extensions make longer: what Postfix reads at once."""
AUTH_LIMIT = 64 * 1024
"""The same where a SASL response stands: RFC 4954, 4, asks for 12288, and tokens that list rights grow beyond."""
CHUNK_LIMIT = 1024 * 1024
"""Octets behind BDAT that are read to be forgotten; who sends more is told so and let go."""

_LINE_LIMITS = {b"AUTH ": AUTH_LIMIT, b"MAIL ": ENVELOPE_LIMIT, b"RCPT ": ENVELOPE_LIMIT}


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
    _talk: Conversation = field(factory=partial(Conversation, "mail submission"), init=False)
    _passing_over: int = field(default=0, init=False)
    """How many octets of a refused chunk are still to come."""

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
        self._talk.say(b"220 %b ESMTP ready" % self._hostname.encode())

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
            while talk.state in LISTENING and self._passed_over():
                line = talk.received.line(self._line_limit())
                if line is None:
                    return None
                event = self._settle(line)
                if event is not None:
                    return event
        except RemoteProtocolError as error:
            talk.end(b"421 4.7.0 %b" % str(error).encode())
            raise
        return None

    def data_to_send(self) -> bytes:
        """Return and forget what is to be written to the client."""
        return self._talk.data_to_send()

    def tls_started(self, offer: Offer) -> None:
        """TLS is in force: forget everything learned before it and offer this instead (RFC 3207, 4.2)."""
        self._talk.tls_started()
        self._offer = offer

    def challenge(self, octets: bytes) -> None:
        """Ask more of the client whose Login is pending; a Response follows."""
        self._talk.to("challenge")
        self._ask(octets)

    def accept(self, logged_in: LoggedIn) -> None:
        """Answer the pending Login with success, in the store's words."""
        self._talk.to("success")
        text = replies.text(grammar.without_status(logged_in.text)) or b"Logged in"
        self._talk.say(b"235 2.7.0 " + text, b"235 2.7.0, and what the store has said")

    def refuse(self, refusal: Refusal) -> None:
        """Answer the pending Login with a refusal; the client may go on."""
        self._talk.to("refusal")
        self._talk.say(replies.wording(refusal))

    def goodbye(self, refusal: Refusal) -> None:
        """Queue 421, which answers a pending Login too; nothing is sent after it."""
        self._talk.end(replies.goodbye(refusal))

    def trailing(self) -> bytes:
        """Return and forget what the client sent behind its login: it belongs to the store."""
        return self._talk.trailing()

    # What is received

    def _passed_over(self) -> bool:
        """Drop what has come of a refused chunk; return whether a line comes next."""
        dropped = self._talk.received.take(min(self._passing_over, len(self._talk.received)))
        self._passing_over -= len(dropped or b"")
        return not self._passing_over

    def _line_limit(self) -> int:
        if self._talk.state is not READY:
            return AUTH_LIMIT
        return _LINE_LIMITS.get(self._talk.received.front(5).upper(), LINE_LIMIT)

    def _settle(self, line: bytes) -> ClientEvent | None:
        try:
            if self._talk.state is AUTHENTICATING:
                return self._respond(line)
            if self._talk.state is RESPONDING:
                return self._response(line)
            return self._command(line)
        except Malformed as fault:
            self._error(str(fault))
        except Cancelled as fault:
            self._error(f"501 5.0.0 {fault}")
        except SASLError as fault:
            self._error(f"501 5.5.2 {fault}")
        return None

    def _command(self, line: bytes) -> ClientEvent | None:
        name = grammar.verb(line)
        later = name in grammar.COMMANDS_AFTER_LOGIN
        known = later or name in self._ACTIONS
        self._talk.count_command(name, line[len(name) :], self.goodbye, known=known)
        argument = grammar.argument(line)
        if later:
            self._log_in_first()
            return None
        if not known:
            raise Malformed("500 5.5.1 Unknown command")
        return self._ACTIONS[name](self, argument)

    # Commands

    def _ehlo(self, argument: bytes) -> None:
        self._talk.greeting = grammar.greeting_name(argument)
        *lines, last = (self._hostname.encode(), *replies.keywords(self._offer, self._capabilities))
        for line in lines:
            self._talk.say(b"250-" + line)
        self._talk.say(b"250 " + last)

    def _helo(self, argument: bytes) -> None:
        self._talk.greeting = grammar.greeting_name(argument)
        self._talk.say(b"250 " + self._hostname.encode())

    def _noop(self, _argument: bytes) -> None:
        """Agree, whatever the argument (RFC 5321, 4.1.1.9)."""
        self._talk.say(b"250 2.0.0 Still here")

    def _rset(self, argument: bytes) -> None:
        grammar.check_nothing(argument)
        self._talk.say(b"250 2.0.0 Nothing to reset")

    def _help(self, _argument: bytes) -> None:
        self._talk.say(b"214 2.0.0 Log in with AUTH, then send mail")

    def _verify(self, _argument: bytes) -> None:
        """Refuse: who has a mailbox is nobody's business (RFC 5321, 3.5.3 and 7.3)."""
        self._talk.say(b"502 5.5.1 Addresses are not verified here")

    def _quit(self, argument: bytes) -> Logout:
        grammar.check_nothing(argument)
        self._talk.end(b"221 2.0.0 Goodbye")
        return Logout()

    def _log_in_first(self) -> None:
        if self._offer.starttls and not self._offer.mechanisms:
            self._talk.say(b"530 5.7.0 Say STARTTLS first")
        else:
            self._talk.say(b"530 5.7.0 Log in first")

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
        if self._talk.received:
            raise RemoteProtocolError("Bytes behind STARTTLS")
        self._talk.say(b"220 2.0.0 Begin TLS negotiation")
        self._talk.to("STARTTLS")
        return StartTLS()

    def _authenticate(self, argument: bytes) -> Login | None:
        name, initial = grammar.auth(argument)
        if not self._talk.greeting:
            raise Malformed("503 5.5.1 Say EHLO first")
        mechanism = MECHANISMS.get(name)
        if mechanism and name in self._offer.mechanisms:
            return self._talk.step(mechanism(self._timestamp), lines.initial_response(initial), self._ask)
        if mechanism and not self._offer.plaintext:
            self._talk.say(replies.wording(Refusal.PRIVACY_REQUIRED))
        else:
            self._talk.say(b"504 5.5.4 Unsupported mechanism")
        return None

    def _respond(self, line: bytes) -> Login | None:
        return self._talk.step(self._talk.take_mechanism(), lines.response(line), self._ask)

    def _response(self, line: bytes) -> Response:
        self._talk.take_response()
        try:
            return Response(lines.response(line))
        except (SASLError, Cancelled):
            return Response(None)

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
        self._talk.ask(b"334 " + lines.encoded(challenge))

    def _error(self, reply: str) -> None:
        self._talk.say(reply.encode())
        self._talk.count_error(self.goodbye)
