"""One of the servers that hold the directory: the link to it, made when it is needed."""

from __future__ import annotations

from typing import Final, NoReturn
from urllib.parse import urlsplit

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mmp.directory.availability import Pace
from mmp.directory.joined import Joined
from mmp.directory.ldap.link import Answer, Link
from mmp.directory.ldap.requests import External, Simple
from mmp.interfaces import Connector, Log
from mmp.model import Endpoint

_PORTS: Final = {"ldap": 389, "ldaps": 636}
_SHORTEST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
"""Seconds after a failed attempt without another. They double, but not far: while no replica is there, logins are
refused, and should not be for much longer than that."""

_LIFETIME: Final = 2100.0
"""Seconds after which a link is replaced, as the older product does (LdapRefreshInterval): servers behind a balancer
get their share again, and a password of ours that is about to expire is noticed before the old link is lost."""


@frozen
class LDAPURL:
    """Where a server listens, and whether TLS is there from the beginning."""

    endpoint: Endpoint
    implicit_tls: bool

    @classmethod
    def parse(cls, text: str) -> LDAPURL:
        """Read ldap://HOST[:PORT] or ldaps://HOST[:PORT]; ValueError if it is neither."""
        url = urlsplit(text)
        if url.scheme not in _PORTS or not url.hostname:
            raise ValueError(f"{text!r} is not of the form ldap://HOST:PORT or ldaps://HOST:PORT")
        return cls(Endpoint(url.hostname, url.port or _PORTS[url.scheme]), url.scheme == "ldaps")

    def __str__(self) -> str:
        """Return the URL."""
        return f"{'ldaps' if self.implicit_tls else 'ldap'}://{self.endpoint}"


@frozen
class Opening:
    """What it takes to have a link to a replica ready for searches."""

    url: LDAPURL
    connector: Connector
    clock: IReactorTime = field(repr=False)
    timeout: float
    """Seconds for all of it together, and then for each answer."""
    start_tls: bool = False
    credentials: Simple | External | None = None

    def link(self) -> Deferred[Link]:
        """Connect, begin TLS, bind, all within the time there is for it; ConnectionError or TimeoutError."""
        return Deferred.fromCoroutine(self._link()).addTimeout(self.timeout, self.clock, self._too_late)

    def _too_late(self, _: object, seconds: float) -> NoReturn:
        raise TimeoutError(f"not connected within {seconds:g} s")

    async def _link(self) -> Link:
        link = Link(self.clock, self.timeout)
        try:
            await link.connect(self.connector, self.url.endpoint)
            if self.start_tls:
                await link.start_tls(self.connector, self.url.endpoint.host)
            if self.credentials is not None:
                link.warning = str(await link.bind(self.credentials))
        except BaseException:  # whatever it was, a cancellation too: nobody else has the link
            link.abort("not made ready")
            raise
        return link


class Replica:
    """A server that holds the directory. Connecting is begun by whoever needs it, and waits for nobody."""

    def __init__(self, opening: Opening, log: Log, pace: Pace | None = None) -> None:
        """``pace`` is the server's, if others look after that as well."""
        self.url = str(opening.url)
        self._opening = opening
        self._log = log
        self._link: Link | None = None
        self._connecting: Joined[Link] | None = None
        self._replace_at = 0.0
        self._pause = 0.0
        self._not_before = 0.0
        self._failure = ""
        self._warning = ""
        self._pace = pace or Pace(self.url, log, opening.clock.seconds)

    @property
    def link(self) -> Link | None:
        """The link if there is one now."""
        return self._link if self._link is not None and self._link.usable else None

    async def reach(self) -> Link:
        """Return the link, connecting if need be; ConnectionError if that fails, or failed a moment ago."""
        if (link := self.link) is not None:
            if self._opening.clock.seconds() >= self._replace_at:
                self.prepare()
            return self.link or link
        if self._connecting is None:
            if self._pausing:
                raise ConnectionError(f"{self.url}: {self._failure}")
            self._connecting = Joined(self._connect)
        return await self._connecting.join()

    async def search(self, link: Link, operation: bytes) -> Answer:
        """Return the answer on the link that was reached; ConnectionError or TimeoutError."""
        return await self._pace.measured(link.search(operation))

    def prepare(self) -> None:
        """Connect in the background, unless that is under way or failed a moment ago."""
        if self._connecting is None and not self._pausing:
            self._connecting = Joined(self._connect)
            self._connecting.join().addErrback(lambda failure: failure.trap(ConnectionError))

    @property
    def _pausing(self) -> bool:
        return self._opening.clock.seconds() < self._not_before

    def close(self) -> None:
        """Close the link."""
        if self._link is not None:
            self._link.close()

    async def _connect(self) -> Link:
        self._replace_at = self._opening.clock.seconds() + _LIFETIME  # also if it fails: the old one may still do
        try:
            link = await self._opening.link()
        except OSError as error:
            self._failed(str(error))
            raise ConnectionError(f"{self.url}: {error}") from None
        finally:
            self._connecting = None
        if self._failure or (self._warning and not link.warning):
            self._log.event("directory", "info", result="up", url=self.url)
            self._pace.forget()
        self._warning = ""
        if link.warning:
            self._warn(f"our own account: {link.warning}")
        if self._link is not None:
            self._link.retire()
        self._link, self._failure, self._pause = link, "", 0.0
        return link

    def _warn(self, why: str) -> None:
        self._warning = why
        self._log.event("directory", "warn", result="warning", url=self.url, reason=why)

    def _failed(self, why: str) -> None:
        if self.link is not None:
            self._warn(f"the link to it cannot be replaced, the old one still serves: {why}")
            return
        if not self._failure:
            self._log.event("directory", "error", result="down", url=self.url, reason=why)
        self._failure = why
        self._pause = min(max(_SHORTEST_PAUSE, 2 * self._pause), _LONGEST_PAUSE)
        self._not_before = self._opening.clock.seconds() + self._pause
