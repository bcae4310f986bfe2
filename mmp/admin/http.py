"""HTTP for monitoring, and for a browser."""

from __future__ import annotations

import hmac
import json
import socket
from collections.abc import Coroutine, Mapping
from io import BytesIO
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.protocols.policies import ThrottlingFactory
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from mmp.handover import kept, taken
from mmp.model import Endpoint
from mmp.net.bind import listening_socket
from mmp.observe.exposition import CONTENT_TYPE

IDLE = 60.0
"""Seconds after which a connection without a request is closed."""
MOST = 100
"""Connections at a time; the supervisor needs its descriptors for more than monitoring."""


@define
class Reply:
    """What a page says."""

    status: int
    kind: str
    body: bytes = field(repr=False)


class Page(Protocol):
    """Makes a page."""

    def __call__(self) -> Coroutine[Any, Any, Reply]:
        """Return what it says now."""


def plain(status: int, text: str) -> Reply:
    """Return a reply of a line of text."""
    return Reply(status, "text/plain; charset=utf-8", text.encode() + b"\n")


def metrics(text: bytes) -> Reply:
    """Return a reply for Prometheus."""
    return Reply(200, CONTENT_TYPE, text)


def judged(what: Mapping[str, str]) -> Reply:
    """Return that all is well, or what is not: each with its reason."""
    body = json.dumps({"ready": not what, "reasons": dict(what)}).encode() + b"\n"
    return Reply(503 if what else 200, "application/json", body)


class Pages:
    """Has the port, where it is wanted to be, and answers there."""

    def __init__(self, reactor: Any, pages: Mapping[str, Page]) -> None:
        """``pages`` by their path."""
        self._reactor = reactor
        self._root = _Root(pages)
        self._where: Endpoint | None = None
        self._port: Any = None

    def open(self, where: Endpoint | None, token: bytes) -> None:
        """Listen there alone, nowhere if that is None; OSError, and nothing has changed, if that cannot be.

        Whoever asks must show the token, unless it is empty.
        """
        if where == self._where:
            self._root.token = token
            return
        listening = None if where is None else listening_socket(where)
        self.close()
        self._root.token = token
        if where is not None and listening is not None:
            self._listen(where, listening)

    def _listen(self, where: Endpoint, listening: socket.socket) -> None:
        with listening:
            site = _Site(self._root, timeout=IDLE)  # type: ignore[no-untyped-call]  # Twisted's
            few = _Few(site, maxConnectionCount=MOST)  # type: ignore[no-untyped-call]  # Twisted's
            self._port = self._reactor.adoptStreamPort(listening.fileno(), listening.family, few)
        self._where = where

    def state(self) -> tuple[str, int, int] | None:
        """Return host, port and descriptor, for ``restore``; it stays open in the next program."""
        return None if self._where is None else (self._where.host, self._where.port, kept(self._port.fileno()))

    def restore(self, state: tuple[str, int, int] | None) -> None:
        """Listen where ``state`` told."""
        if state is not None:
            host, port, descriptor = state
            self._listen(Endpoint(host, port), socket.socket(fileno=taken(descriptor)))

    def close(self) -> None:
        """Listen no more."""
        if self._port is not None:
            self._port.stopListening()
            self._port = self._where = None


class _Few(ThrottlingFactory):
    """Closes at once what would be one connection too many."""

    noisy = False


class _Site(Site):
    """Twisted's, without a line in the log for each request: those who watch ask several times a minute."""

    noisy = False
    displayTracebacks = False  # noqa: N815 - Twisted's name

    def log(self, request: Request) -> None:
        """Write nothing."""

    def getContentFile(self, length: int | None) -> BytesIO:  # noqa: ARG002, N802 - Twisted's name
        """Return where a request's body goes. By default that is a file on disk, as large as any stranger likes."""
        return _Nowhere()


class _Nowhere(BytesIO):
    """Keeps nothing."""

    def write(self, octets: Any) -> int:
        """Say that it was taken."""
        return len(octets)


class _Root(Resource):
    """Answers with the page of a path, those who may see it."""

    isLeaf = True  # noqa: N815 - Twisted's name
    _log = Logger()

    def __init__(self, pages: Mapping[str, Page]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        self.token: bytes | None = None
        """What has to be shown, empty if nothing; None, and nobody may see anything, until that is known."""
        self._pages = {path.encode(): page for path, page in pages.items()}

    def render_GET(self, request: Request) -> bytes | int:  # noqa: N802 - Twisted's name
        """Begin to answer, HEAD as well."""
        if not self._may_see(request):
            request.setHeader(b"www-authenticate", b"Bearer")
            return _answer(request, plain(401, "a token is needed"))
        page = self._pages.get(request.path)
        if page is None:
            known = ", ".join(path.decode() for path in self._pages)
            return _answer(request, plain(404, f"there is nothing but {known}"))
        answering = Deferred.fromCoroutine(self._answer(page, request))
        gone = request.notifyFinish()
        gone.addErrback(lambda _: answering.cancel())
        answering.addErrback(self._failed, request)
        return NOT_DONE_YET

    def _may_see(self, request: Request) -> bool:
        shown = request.getHeader(b"authorization") or b""
        token = self.token
        return token is not None and (not token or hmac.compare_digest(shown, b"Bearer " + token))

    async def _answer(self, page: Page, request: Request) -> None:
        request.write(_answer(request, await page()))
        request.finish()

    def _failed(self, failure: Failure, request: Request) -> None:
        if failure.check(CancelledError):  # whoever asked is gone
            return
        self._log.failure("unexpected error in the answer to {path}", failure, path=request.path)
        request.write(_answer(request, plain(500, "an internal error, see the log")))
        request.finish()


def _answer(request: Request, reply: Reply) -> bytes:
    """Set the head, and return the body."""
    request.setResponseCode(reply.status)
    request.setHeader(b"content-type", reply.kind.encode())
    request.setHeader(b"content-length", b"%d" % len(reply.body))
    request.setHeader(b"cache-control", b"no-store")
    request.setHeader(b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'")
    request.setHeader(b"x-content-type-options", b"nosniff")
    return reply.body
