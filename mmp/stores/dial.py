"""Reaching the store that keeps a user's mail, and logging in there as the user."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from attrs import define, field, frozen

from mmp.errors import Refused, RemoteProtocolError
from mmp.interfaces import Ask, ClientCore, Level, Log
from mmp.model import CLEAR, Account, Client, Credentials, Endpoint, Origin, Refusal, Replay, Security, TLSMode
from mmp.net.channel import Channel
from mmp.net.connect import Connector
from mmp.net.deadline import within
from mmp.net.stream import Stream
from mmp.net.tls import ClientTLS, UntrustedError
from mmp.net.wheel import Wheel
from mmp.session.backend_login import answer, make_ready
from mmp.session.record import Record
from mmp.stores.rounds import Rounds
from mmp.stores.routing import Hosts, MailHost
from mmp.wire.events import Challenge, LoggedIn
from mmp.wire.proxy_header import Header
from mmp.wire.sasl import replayed

_LEVELS: Mapping[str, Level] = MappingProxyType(
    {"failed": "warn", "untrusted": "error", "refused": "info", "connected": "debug"}
)


@frozen
class Route:
    """How stores are reached for one service; times in seconds.

    ``tell_origin``: whether the core tells the store who the client is; ``render_header``: how a PROXY header does,
    if one is sent; ``login_timeout`` is for each of the store's answers.
    """

    port: int
    tls: TLSMode
    client_tls: ClientTLS
    connect_timeout: float
    login_timeout: float
    max_connecting: int
    tell_origin: bool
    make_core: Callable[[], ClientCore]
    render_header: Callable[[Header], bytes] | None = None


@frozen
class StoreConnection:
    """A connection on which the user is logged in."""

    channel: Channel
    logged_in: LoggedIn
    name: str


class StoreError(Exception):
    """The store is away, or no use; the client has no part in it."""

    def __init__(self, reason: str, *, login_begun: bool = False, untrusted: bool = False) -> None:
        super().__init__(reason)
        self.login_begun = login_begun
        self.untrusted = untrusted


def _session(host: str, client: Client, account: Account, credentials: Credentials) -> Record:
    """Return what is told of the session here; its own record names the store that is reached in the end."""
    record = Record(client, 0.0)
    record.attempt(credentials)
    record.user, record.backend = account.user, host
    return record


_IN_CLEAR, _IMPLICIT = TLSMode.NONE, TLSMode.IMPLICIT
_AT_FAULT = (OSError, RemoteProtocolError)
"""What a store is at fault for."""


def _fault(error: Exception) -> StoreError:
    return StoreError(str(error), untrusted=isinstance(error, UntrustedError))


@define(eq=False)
class Dial:
    """Connects and logs in, once; who else might be asked is decided around it."""

    connector: Connector
    wheel: Wheel
    route: Route
    log: Log
    hosts: Hosts = field(factory=MailHost)
    learn: Callable[[str, tuple[bytes, ...], frozenset[bytes]], None] | None = None
    """Told what a store offers before a login: its capabilities, and the SASL mechanisms among them."""
    took: Callable[[str, float, float], None] | None = None
    """Told for how many seconds a store was being connected to and then logged in to."""
    begun: Callable[[str, ClientCore], object] = lambda _session, _core: None
    """Told of the core that is to speak to a store for a session, before it does."""
    _rounds: Rounds = field(factory=Rounds, init=False)
    _connecting: dict[str, int] = field(factory=dict, init=False)

    async def connect(self, client: Client, account: Account, credentials: Credentials, ask: Ask) -> StoreConnection:
        """Return the logged-in connection; Refused if the store is away or says no.

        Another host is asked only as long as none has heard of the login.
        """
        reason = ""
        for host in self.hosts.order(account.host):
            try:
                return await self._connect(host, client, account, credentials, ask)
            except StoreError as error:
                self.hosts.failed(host)
                reason = f"store {host}: {error}"
                if error.login_begun:
                    break
        raise Refused(Refusal.BACKEND_UNAVAILABLE, reason)

    async def _connect(
        self, host: str, client: Client, account: Account, credentials: Credentials, ask: Ask
    ) -> StoreConnection:
        core = self.route.make_core()
        self.begun(client.session, core)
        channel = Channel(core, self.handshake(host))
        login_begun = False
        began = self.wheel.seconds()
        try:
            port = account.port if host == account.host else 0
            address = await self.make_ready(client, host, channel, core, port)
            ready = self.wheel.seconds()
            if self.learn is not None:
                self.learn(host, core.capabilities, core.mechanisms)
            with self._rounds.one_more(client, account.user, address):
                core.log_in(self._replay(client, account, credentials))
                login_begun = True
                while isinstance(answered := await self._answer(channel, core), Challenge):
                    core.respond(await ask(answered.octets))
        except StoreError as error:
            channel.abort()
            reason = f"{core.phase}: {error}"
            session = _session(host, client, account, credentials)
            self._tell("untrusted" if error.untrusted else "failed", session, reason)
            raise StoreError(reason, login_begun=login_begun) from None
        except Refused as refused:
            channel.close()
            self._tell("refused", _session(host, client, account, credentials), refused.reason)
            raise
        except BaseException:  # cancelled, or the client broke its protocol when it was asked
            channel.abort()
            raise
        if self.log.heeds("debug"):
            self._tell("connected", _session(host, client, account, credentials), "")
        else:  # it is counted all the same
            counted: dict[str, object] = {
                "result": "connected",
                "reason": "",
                "service": client.service.word,
                "backend": host,
            }
            self.log.tell("backend", "debug", counted)
        if self.took is not None:
            self.took(host, ready - began, self.wheel.seconds() - ready)
        return StoreConnection(channel, answered, host)

    async def _answer(self, channel: Channel, core: ClientCore) -> LoggedIn | Challenge:
        """Return what the store says next; only the store's own time is measured, not the client's between."""
        try:
            return await within(self.wheel, self.route.login_timeout, answer(channel, core))
        except _AT_FAULT as error:
            raise _fault(error) from None

    async def make_ready(
        self, client: Client | None, host: str, channel: Channel, core: ClientCore, port: int = 0
    ) -> str:
        """Connect, go on until a login may be sent, and return the store's address; a few at a time toward one store.

        Without a client the connection is our own, to an address that does not matter; without a port it is to the
        usual one.
        """
        if self._connecting.get(host, 0) >= self.route.max_connecting:
            raise StoreError("too many connections under way to it")
        self._connecting[host] = self._connecting.get(host, 0) + 1
        try:
            reached = self._reach(client, Endpoint(host, port or self.route.port), channel, core)
            return await within(self.wheel, self.route.connect_timeout, reached)
        except _AT_FAULT as error:
            raise _fault(error) from None
        finally:
            self._connecting[host] -= 1
            if not self._connecting[host]:
                del self._connecting[host]

    async def _reach(self, client: Client | None, store: Endpoint, channel: Channel, core: ClientCore) -> str:
        address = ""
        if client is not None:
            address = await self.connector.open(store, channel, client.local)
        else:
            channel.stream = await self.connector.connect(store, channel)
        if self.route.render_header is not None:
            channel.write(self.route.render_header(self._header(client, channel)))
        if self.route.tls is _IMPLICIT:
            await channel.start_tls()
        await make_ready(channel, core)
        if channel.stream is not None and self.route.tls is not _IN_CLEAR:
            self.route.client_tls.remember(channel.stream, store.host)
        return address

    def handshake(self, host: str) -> Callable[[Stream], Awaitable[Security]]:
        """Return what begins TLS toward a host."""
        return lambda stream: self.route.client_tls.start(stream, host)

    def _header(self, client: Client | None, channel: Channel) -> Header:
        """Return what is told of the client; a connection of our own is made for ourselves.

        Dovecot takes a client's TLS that it is told of for its own, and then offers no STARTTLS.
        """
        if client is None:
            return Header(*channel.ends())
        security = CLEAR if self.route.tls is TLSMode.STARTTLS else client.security
        return Header(client.address, client.local, security, client.session.encode())

    def _replay(self, client: Client, account: Account, credentials: Credentials) -> Replay:
        user, origin = account.replay_user, None
        if self.route.tell_origin:
            trusted = user if account.judged else ""
            origin = Origin(client.session, client.address, client.local, client.ttl - 1, client.greeting, trusted)
        if account.administrator is not None:
            return Replay(account.administrator.user, account.administrator.secret, authzid=user, origin=origin)
        if account.secret is not None:
            return Replay(user, account.secret, origin=origin)
        return Replay(user, credentials.secret, mechanism=replayed(credentials.mechanism), origin=origin)

    def _tell(self, result: str, session: Record, reason: str) -> None:
        self.log.event("backend", _LEVELS[result], result=result, reason=reason, **session.facts())
