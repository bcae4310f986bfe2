"""Parts of a login with a stopwatch in hand: each does what the part inside does, and counts how long that took."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from attrs import define

from mmp.directory.auth_http import Requests
from mmp.directory.availability import Pace
from mmp.directory.interface import Directory
from mmp.directory.names import Names
from mmp.interfaces import Ask, Authenticator
from mmp.model import Account, Client, Credentials, Security
from mmp.net.stream import Stream
from mmp.observe.metrics import Counts
from mmp.session.login import LogIn, Relayed
from mmp.session.record import Record
from mmp.wire.http import Response

Found = TypeVar("Found")


@define(eq=False)
class MeasuredHandshake:
    """TLS with clients of a service."""

    start: Callable[[Stream], Awaitable[Security]]
    counts: Counts
    clock: Callable[[], float]
    service: str

    async def __call__(self, stream: Stream) -> Security:
        """Shake hands."""
        began = self.clock()
        try:
            security = await self.start(stream)
        except ConnectionError:
            self.counts.add(("tls_handshakes_total", "", "failed", "no"))
            raise
        self.counts.took(("login_seconds", self.service, "tls"), self.clock() - began)
        self.counts.add(("tls_handshakes_total", security.version, "ok", "yes" if security.resumed else "no"))
        return security


@define(eq=False)
class MeasuredLogIn:
    """Attempts to log in to a service, of which those are measured that succeed."""

    log_in: LogIn
    counts: Counts
    clock: Callable[[], float]
    service: str

    async def __call__(self, record: Record, credentials: Credentials, ask: Ask) -> Relayed:
        """Log in."""
        began = self.clock()
        relayed = await self.log_in(record, credentials, ask)
        self.counts.took(("login_seconds", self.service, "total"), self.clock() - began)
        return relayed


@define(eq=False)
class MeasuredAuthenticator:
    """Finding users of a service, and judging them as far as we do."""

    authenticator: Authenticator
    counts: Counts
    clock: Callable[[], float]
    service: str

    async def locate(self, client: Client, credentials: Credentials, ask: Ask) -> Account:
        """Find the user."""
        began = self.clock()
        account = await self.authenticator.locate(client, credentials, ask)
        self.counts.took(("login_seconds", self.service, "directory"), self.clock() - began)
        return account

    async def reconsider(self, client: Client, credentials: Credentials, ask: Ask, account: Account) -> Account | None:
        """Look again; that is seldom, and measured as a part of the whole."""
        return await self.authenticator.reconsider(client, credentials, ask, account)


@define(eq=False)
class MeasuredDirectory(Generic[Found]):
    """A directory behind a cache, whose answers are measured, whatever they are."""

    directory: Directory[Found]
    counts: Counts
    clock: Callable[[], float]

    def key(self, names: Names) -> Hashable:
        """Return the directory's own key."""
        return self.directory.key(names)

    async def find(self, names: Names) -> Sequence[Found]:
        """Ask the directory."""
        began = self.clock()
        try:
            return await self.directory.find(names)
        finally:
            self.counts.took(("directory_seconds",), self.clock() - began)


@define(eq=False)
class MeasuredRequests:
    """Requests to a server that is the directory, which are measured, whatever comes of them."""

    requests: Requests
    counts: Counts
    clock: Callable[[], float]
    pace: Pace

    async def ask(self, request: bytes) -> Response:
        """Ask the server."""
        began = self.clock()
        try:
            return await self.requests.ask(request)
        finally:
            self.counts.took(("directory_seconds",), self.clock() - began)
            self.pace.took(self.clock() - began)
