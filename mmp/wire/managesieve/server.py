"""The side of ManageSieve that we play toward the client, up to the login (RFC 5804, 1, 2.1 to 2.4 and 2.13)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import ClassVar

from attrs import define, field

from mmp.errors import RemoteProtocolError
from mmp.model import Offer, Refusal
from mmp.wire.events import ClientEvent, LoggedIn, Login, Logout, Response, StartTLS
from mmp.wire.managesieve import grammar, replies
from mmp.wire.managesieve.grammar import Malformed
from mmp.wire.managesieve.reader import Reader, Sent
from mmp.wire.overheard import Onlooker
from mmp.wire.sasl import MECHANISMS, Cancelled, SASLError, lines
from mmp.wire.toward_client import AUTHENTICATING, LISTENING, RESPONDING, Conversation, State


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
    _talk: Conversation = field(factory=partial(Conversation, "ManageSieve"), init=False)
    _reader: Reader = field(factory=Reader, init=False)

    @property
    def buffered(self) -> int:
        """How many received bytes are not yet consumed."""
        return len(self._talk.received)

    def overhear(self, onlooker: Onlooker) -> None:
        """Show somebody from now on what is said."""
        self._talk.onlooker = onlooker

    def greet(self) -> None:
        """Queue the greeting, which is the capabilities."""
        self._talk.to("greeting")
        self._list_capabilities(b"%b ready" % self._hostname.encode())

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
                sent = self._reader.next(talk.received)
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
        return self._talk.data_to_send()

    def tls_started(self, offer: Offer) -> None:
        """TLS is in force: forget everything learned before it, and tell anew what is offered (RFC 5804, 2.2)."""
        asked_for = self._talk.state is State.STARTING_TLS
        self._talk.tls_started()
        self._offer = offer
        if asked_for:
            self._list_capabilities(b"TLS negotiation completed")

    def challenge(self, octets: bytes) -> None:
        """Ask more of the client whose Login is pending; a Response follows."""
        self._talk.to("challenge")
        self._ask(octets)

    def accept(self, logged_in: LoggedIn) -> None:
        """Answer the pending Login with success, in the store's words."""
        self._talk.to("success")
        text = grammar.string(replies.printable(logged_in.text) or b"Logged in")
        self._talk.say(b"OK " + text, b"OK, and what the store has said")

    def refuse(self, refusal: Refusal) -> None:
        """Answer the pending Login with a refusal; the client may go on."""
        self._talk.to("refusal")
        self._no(refusal)

    def goodbye(self, refusal: Refusal) -> None:
        """Queue BYE, which answers a pending Login too; nothing is sent after it."""
        self._bye(replies.wording(refusal))

    def trailing(self) -> bytes:
        """Return and forget what the client sent behind its login: it belongs to the store."""
        return self._talk.trailing()

    # What is received

    def _settle(self, sent: Sent) -> ClientEvent | None:
        try:
            if self._talk.state is AUTHENTICATING:
                return self._respond(sent)
            if self._talk.state is RESPONDING:
                return self._response(sent)
            return self._command(sent)
        except (Malformed, SASLError, Cancelled) as fault:
            self._error(str(fault))
        return None

    def _command(self, sent: Sent) -> ClientEvent | None:
        name = grammar.keyword(sent.text)
        later = name in grammar.COMMANDS_AFTER_LOGIN
        known = later or name in self._ACTIONS
        self._talk.count_command(name, sent.text[len(name) :], self.goodbye, known=known)
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
        if tag is None:
            self._talk.say(b'OK "NOOP completed"')
        else:
            self._talk.say(b'OK (TAG %b) "Done"' % grammar.string(tag), b'OK (TAG ***) "Done"')

    def _take_client(self, arguments: bytes, _literals: tuple[bytes, ...]) -> None:
        """Heed of what a client says of its own only how often it may yet be passed on; nothing reaches the store."""
        self._talk.ttl = grammar.ttl(arguments)
        self._talk.say(b'OK "Noted"')

    def _log_out(self, arguments: bytes, _literals: tuple[bytes, ...]) -> Logout:
        grammar.check_nothing(arguments)
        self._talk.end(b'OK "Logging out"')
        return Logout()

    def _start_tls(self, arguments: bytes, _literals: tuple[bytes, ...]) -> StartTLS:
        """Agree, unless clear text follows that somebody may have slipped in to be run under TLS."""
        grammar.check_nothing(arguments)
        if not self._offer.starttls:
            raise Malformed("STARTTLS is not available")
        if self._talk.received:
            raise RemoteProtocolError("Bytes behind STARTTLS")
        self._talk.say(b'OK "Begin TLS negotiation"')
        self._talk.to("STARTTLS")
        return StartTLS()

    def _authenticate(self, arguments: bytes, literals: tuple[bytes, ...]) -> Login | None:
        name, initial = grammar.authenticate(arguments, literals)
        mechanism = MECHANISMS.get(name)
        if mechanism and name in self._offer.mechanisms:
            return self._talk.step(mechanism(self._timestamp), initial, self._ask)
        if mechanism and not self._offer.plaintext:
            self._no(Refusal.PRIVACY_REQUIRED)
        else:
            self._talk.say(b'NO "Unsupported mechanism"')
        return None

    def _respond(self, sent: Sent) -> Login | None:
        return self._talk.step(self._talk.take_mechanism(), grammar.sasl_response(*sent), self._ask)

    def _response(self, sent: Sent) -> Response:
        self._talk.take_response()
        try:
            return Response(grammar.sasl_response(*sent))
        except (Malformed, SASLError, Cancelled):
            return Response(None)

    _ACTIONS: ClassVar[Mapping[bytes, Callable[[Server, bytes, tuple[bytes, ...]], ClientEvent | None]]] = (
        MappingProxyType(
            {
                b"CAPABILITY": _capability,
                b"NOOP": _noop,
                b"LOGOUT": _log_out,
                b"STARTTLS": _start_tls,
                b"AUTHENTICATE": _authenticate,
                b"XCLIENT": _take_client,
            },
        )
    )

    # What is said

    def _ask(self, challenge: bytes) -> None:
        self._talk.ask(grammar.string(lines.encoded(challenge)))

    def _list_capabilities(self, text: bytes) -> None:
        for line in replies.capabilities(self._offer, self._capabilities):
            self._talk.say(line)
        self._talk.say(b"OK " + grammar.string(text))

    def _no(self, refusal: Refusal) -> None:
        self._talk.say(b"NO " + replies.wording(refusal))

    def _error(self, why: str) -> None:
        self._talk.say(b"NO " + grammar.string(why.encode()))
        self._talk.count_error(self.goodbye)

    def _bye(self, text: bytes) -> None:
        self._talk.end(b"BYE " + text)
        self._reader.clear()
