"""Every seam between the parts, as a ``typing.Protocol``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from mmp.model import Account, Client, Credentials, Endpoint, Offer, Refusal, Replay, Security
    from mmp.wire.events import BackendEvent, ClientEvent, LoggedIn
    from mmp.wire.overheard import Onlooker


class ServerCore(Protocol):
    """The side of a protocol that we play toward the client, up to the login."""

    @property
    def buffered(self) -> int:
        """How many received bytes are not yet consumed."""

    def overhear(self, onlooker: Onlooker) -> None:
        """Show somebody from now on what is said, without secrets."""

    def greet(self) -> None:
        """Queue the greeting."""

    def turn_away(self, refusal: Refusal) -> None:
        """Queue a refusal in place of the greeting."""

    def receive_data(self, octets: bytes) -> None:
        """Buffer what the client sent. Never raises, whatever the bytes."""

    def next_event(self) -> ClientEvent | None:
        """Return the next event, or None when more bytes are needed.

        Raise RemoteProtocolError when the client must be let go; the last words are in ``data_to_send()``.
        """

    def data_to_send(self) -> bytes:
        """Return and forget what is to be written to the client."""

    def tls_started(self, offer: Offer) -> None:
        """TLS is in force: forget everything learned before it (RFC 3501, 6.2.1) and offer this instead."""

    def challenge(self, octets: bytes) -> None:
        """Ask more of the client whose Login is pending; a Response follows."""

    def accept(self, logged_in: LoggedIn) -> None:
        """Answer the pending Login with success and the store's capabilities."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer the pending Login with a refusal; the client may go on."""

    def goodbye(self, refusal: Refusal) -> None:
        """Queue the protocol's goodbye, and the refusal of a pending Login before it; nothing is sent after it."""

    def trailing(self) -> bytes:
        """Return and forget what the client sent behind its login: it belongs to the store."""


class ClientCore(Protocol):
    """The side of a protocol that we play toward the store, up to the login."""

    @property
    def phase(self) -> str:
        """What is awaited, in words for the log: 'greeting', 'capabilities', 'STARTTLS', 'login' …."""

    @property
    def buffered(self) -> int:
        """How many received bytes are not yet consumed."""

    @property
    def capabilities(self) -> tuple[bytes, ...]:
        """What the store offers once Ready was reported, in lines or words of its own."""

    @property
    def mechanisms(self) -> frozenset[bytes]:
        """The SASL mechanisms among them, in upper case."""

    def overhear(self, onlooker: Onlooker) -> None:
        """Show somebody from now on what is said, without secrets."""

    def receive_data(self, octets: bytes) -> None:
        """Buffer what the store sent. Never raises."""

    def next_event(self) -> BackendEvent | None:
        """Return the next event, or None when more bytes are needed; RemoteProtocolError when the store is no use."""

    def data_to_send(self) -> bytes:
        """Return and forget what is to be written to the store."""

    def tls_started(self) -> None:
        """TLS is in force toward the store: forget its capabilities and ask anew."""

    def log_in(self, replay: Replay) -> None:
        """Queue the login (after Ready); LocalProtocolError before it.

        Refused(BACKEND_UNAVAILABLE) if the store offers no usable way, Refused(BAD_CREDENTIALS) if the secret cannot
        be said in the protocol.
        """

    def respond(self, octets: bytes) -> None:
        """Queue the answer to the Challenge just reported."""


class Channel(Protocol):
    """Our end of one connection while a core speaks on it."""

    def write(self, octets: bytes, /) -> None:
        """Send or queue; never blocks, never raises, never reports a loss before it has returned."""

    def more(self) -> Awaitable[None]:
        """Wait until bytes were fed to the core since the last call; ConnectionError once the other end is gone."""

    def start_tls(self) -> Awaitable[Security]:
        """Do the handshake on this connection and return what was negotiated; ConnectionError if it fails."""

    def close(self) -> None:
        """Flush, then close in order (TLS close alert, FIN), then abort if that makes no progress."""

    def abort(self) -> None:
        """Close at once."""


class Receiver(Protocol):
    """What a transport feeds; Twisted's protocols have this shape too."""

    def dataReceived(self, octets: bytes, /) -> None:  # noqa: N802 - Twisted's name
        """Bytes came in."""

    def connectionLost(self, reason: BaseException, /) -> None:  # noqa: N802 - Twisted's name
        """The connection is gone; said once."""


class Transport(Protocol):
    """A connection as somebody uses it who only writes and closes; what it receives goes to a Receiver."""

    def write(self, octets: bytes, /) -> None:
        """Send or queue; never blocks, never raises."""

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Flush, then close in order."""

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Close at once."""


class Connector(Protocol):
    """Makes connections to servers, with TLS from the beginning or begun later."""

    def connect(self, endpoint: Endpoint, receiver: Receiver, /) -> Awaitable[Transport]:
        """Connect, and shake hands and verify the certificate if TLS is implicit; ConnectionError or TimeoutError.

        Cancelling it gives the attempt up. The receiver hears nothing before this returns.
        """

    def start_tls(self, transport: Transport, host: str, /) -> Awaitable[Security]:
        """Shake hands on an open connection and verify that the certificate names the host; ConnectionError.

        From the call on, no octet received counts as clear text.
        """


class Lease(Protocol):
    """A held slot; closing it gives the slot back, never waits, and may be done twice."""

    def close(self) -> None:
        """Give the slot back."""


class Entry(Protocol):
    """One user's directory entry: attribute values by lower-case name."""

    def get(self, attribute: str) -> tuple[str, ...]:
        """Return the values of an attribute, case-insensitively; empty if absent."""

    def lacks(self, attributes: AbstractSet[str]) -> bool:
        """Whether it has none of these attributes, given in lower case."""


Ask = Callable[[bytes], Awaitable[bytes]]
"""Puts a challenge to the client whose login is pending and returns its response.

Refused(CANCELLED) if the client gives the exchange up. Whoever it is lent to may ask until the login is answered.
"""


class Guard(Protocol):
    """Stands between a client and its store after the login, where the client must not say everything to the store.

    What either end sends is shown to it in pieces of any size. It keeps a bounded part of them.
    """

    def from_client(self, octets: bytes, /) -> bytes:
        """Return what is to go to the store; RemoteProtocolError if the session must end."""

    def from_store(self, octets: bytes, /) -> bytes:
        """Return what is to go to the client: what the store said, with our own answers each in its place."""

    @property
    def waits(self) -> bool:
        """Whether it has to be told something before it goes on; the client is not to be read until then.

        If it is the store that has told it, what was held back passes with the next ``from_client``, be it of nothing.
        """

    def answers(self) -> bytes:
        """Return and forget what is to be said to the client at once, since the store owes it nothing before that."""

    def stop_if_ended(self) -> None:
        """Raise RemoteProtocolError if the session must end, and the client has been given the last word on it."""


class Meter(Lease, Protocol):
    """Counts what the user of one session submits; closed at its end."""

    go_on: Callable[[], None]
    """Is called when an answer has come that was waited for."""

    @property
    def limits(self) -> Collection[str]:
        """The limits that there are, by their names in the configuration."""

    def ask(self, limit: str, told: Callable[[bool], None], /) -> None:
        """Ask whether there is room for one more; ``told`` is called with the answer, perhaps at once."""

    def settle(self, *, accepted: bool) -> None:
        """Tell whether the store has accepted it: of all for which there was room, in that order."""


class Authenticator(Protocol):
    """Finds the user, and judges the secret where we are the ones to do so."""

    async def locate(self, client: Client, credentials: Credentials, ask: Ask) -> Account:
        """Return the account, or raise Refused."""

    async def reconsider(self, client: Client, credentials: Credentials, ask: Ask, account: Account) -> Account | None:
        """Return what is to be tried in place of this account, whose store has refused the login; None if nothing is.

        Refused if there turns out to be nobody to let in.
        """


class Door(Protocol):
    """Decides whether one more connection may be held."""

    async def admit(self, client: Client, make_room: Callable[[], bool]) -> Lease:
        """Return a lease for the connection, or raise Refused.

        If all is full, ``make_room`` is asked to end another connection, and says whether it has.
        """


class Limits(Protocol):
    """Decides whether one more session may be held."""

    async def admit(self, client: Client, account: Account) -> Lease:
        """Return a lease for the session, or raise Refused."""


class Backend(Protocol):
    """A store connection on which the user is logged in."""

    @property
    def channel(self) -> Channel:
        """The connection."""

    @property
    def logged_in(self) -> LoggedIn:
        """What the store said to it."""

    @property
    def name(self) -> str:
        """The store, for log and metrics."""


class Dialer(Protocol):
    """Reaches the store and logs in there as the user."""

    async def connect(self, client: Client, account: Account, credentials: Credentials, ask: Ask) -> Backend:
        """Return the logged-in connection, or raise Refused."""


class Attempt(Protocol):
    """An attempt to log in that may go on; whatever becomes of it, it is closed."""

    def failed(self) -> None:
        """The password was wrong."""

    def succeeded(self) -> None:
        """The password was right."""

    def close(self) -> None:
        """It is over; if neither has been said, nobody has judged the password."""


class Throttle(Protocol):
    """Slows those down who fail to log in."""

    async def hold(self, client: Client, credentials: Credentials) -> Attempt:
        """Wait for as long as this attempt is to be held back; Refused if too many wait already."""


class Policy(Protocol):
    """Judges login attempts that have not been made yet, and learns how they go."""

    async def allow(self, client: Client, credentials: Credentials) -> None:
        """Wait for as long as this attempt is to be held back; Refused if it is not to be made."""

    def report(self, client: Client, credentials: Credentials, *, success: bool) -> None:
        """Tell how it went."""


class Deadlines(Protocol):
    """Time that a login may take, by session."""

    def pause(self, session: str, /) -> None:
        """Let it stand still."""

    def resume(self, session: str, /) -> None:
        """Let it go on; nothing happens if the session is gone."""


Level = Literal["debug", "info", "warn", "error", "critical"]
"""How much an event matters; the log's ``level`` is the least that is written."""


class Log(Protocol):
    """Where events go, one line each."""

    def event(self, name: str, level: Level = "info", /, **facts: object) -> None:
        """Write one event with its facts, in the order given. Never raises, never waits.

        Facts that are None or an empty string are left out; an Enum is written as its value, anything else that is no
        number as its ``str``. The names are those of docs/reference/log.md.
        """

    def tell(self, name: str, level: Level, facts: dict[str, object], /) -> None:
        """Write one event likewise, for half the work: the facts are the log's from now on."""

    def heeds(self, level: Level) -> bool:
        """Tell whether events of this level are written: facts of those that are not are in vain, except to count."""
