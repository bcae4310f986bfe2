"""Has nginx's kind of authentication server say who may log in, and where the mail is.

Question and answer are in the headers of HTTP, as the documentation of ngx_mail_auth_http_module describes them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol
from urllib.parse import SplitResult

from attrs import define, field

from mmp.directory.availability import Availability
from mmp.directory.entry import is_host
from mmp.directory.names import Naming
from mmp.errors import Refused
from mmp.interfaces import Ask
from mmp.model import Account, Client, Credentials, Refusal
from mmp.wire.http import Response, get
from mmp.wire.sasl import TOKENS, replayed

_PROTOCOLS: Final = {"submission": "smtp", "managesieve": "sieve"}
"""What services are called there, where that is not their own name."""
_OK: Final = 200
_NO_CONTENT: Final = 204
_LONGEST_WAIT: Final = 60
_REMEMBERED: Final = 10_000
"""Sessions whose attempts are counted."""
_HIGHEST_PORT: Final = 65535


class Requests(Protocol):
    """Puts requests to the server."""

    async def ask(self, request: bytes) -> Response:
        """Return the response; OSError or ValueError if there is none that makes sense."""


@define(eq=False)
class AuthHTTP:
    """An authenticator that asks such a server at every login; nothing of it is remembered.

    ``secret`` is a header field that shows the server who asks; ``sleep`` waits for so many seconds; ``availability``
    is the server's, whoever asks it.
    """

    client: Requests
    url: SplitResult
    naming: Naming
    sleep: Callable[[float], Awaitable[object]]
    availability: Availability
    secret: tuple[str, bytes] | None = field(default=None, repr=False)
    tell: Callable[[str], None] = lambda _: None
    """Told how each look-up went: "miss", since nothing is remembered, or "error"."""
    _attempts: OrderedDict[str, int] = field(factory=OrderedDict, init=False)

    async def locate(self, client: Client, credentials: Credentials, ask: Ask) -> Account:  # noqa: ARG002 - the seam's
        """Return the account that the server tells of, or raise Refused."""
        method = _method(credentials)
        names = self.naming.names(client, credentials.user)
        fields = self.fields(client, names.typed, method, credentials.secret)
        response, status = await self._ask(get(self._target, self.url.netloc, fields))
        if status != "OK":
            await self._turn_down(response, status)
        self._attempts.pop(client.session, None)
        return _account(response, names.typed)

    async def reconsider(self, client: Client, credentials: Credentials, ask: Ask, account: Account) -> None:
        """Return None: the account is as the server has just told it."""

    async def _ask(self, request: bytes) -> tuple[Response, str]:
        try:
            response = await self.client.ask(request)
            status = _status(response)
        except (OSError, ValueError) as error:
            self.availability.down(str(error))
            self.tell("error")
            raise Refused(Refusal.DIRECTORY_UNAVAILABLE, f"{self.url.netloc}: {error}") from None
        self.availability.up()
        self.tell("miss")
        return response, status

    @property
    def _target(self) -> str:
        return (self.url.path or "/") + (f"?{self.url.query}" if self.url.query else "")

    def fields(self, client: Client, user: str, method: str, secret: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield the header fields of the question about a login, which counts as one more of its session."""
        service, security = client.service.value, client.security
        yield "Auth-Method", method.encode()
        yield "Auth-User", _escaped(user.encode())
        yield "Auth-Pass", _escaped(secret)
        yield "Auth-Protocol", _PROTOCOLS.get(service, service).encode()
        yield "Auth-Login-Attempt", b"%d" % self._attempt(client.session)
        yield "Client-IP", client.address.host.encode()
        if client.greeting:
            yield "Client-Host", _escaped(client.greeting.encode("utf-8", "surrogateescape"))
        if security.encrypted:
            yield "Auth-SSL", b"on"
            yield "Auth-SSL-Protocol", security.version.encode()
            yield "Auth-SSL-Cipher", security.cipher.encode()
        if self.secret is not None:
            yield self.secret

    def _attempt(self, session: str) -> int:
        count = self._attempts[session] = self._attempts.pop(session, 0) + 1
        if len(self._attempts) > _REMEMBERED:
            self._attempts.popitem(last=False)
        return count

    async def _turn_down(self, response: Response, status: str) -> None:
        """Wait as long as the server wants it, then raise Refused."""
        wait = response.fields.get("auth-wait", b"")
        if wait.isdigit():
            await self.sleep(min(int(wait[:3]), _LONGEST_WAIT))
        for_now = response.fields.get("auth-error-code", b"").startswith(b"4")
        raise Refused(Refusal.DIRECTORY_UNAVAILABLE if for_now else Refusal.BAD_CREDENTIALS, f"{status!r:.200}")


def _method(credentials: Credentials) -> str:
    if credentials.authzid not in {"", credentials.user}:
        raise Refused(Refusal.NOT_AUTHORIZED, "nobody may act as another user here")
    if credentials.mechanism in TOKENS:
        return credentials.mechanism.lower()
    said = credentials.proves is None and replayed(credentials.mechanism) == "PLAIN"
    if not said or credentials.mechanism == "EXTERNAL":
        raise Refused(
            Refusal.NOT_AUTHORIZED, f"auth_http is asked by passwords and tokens, not {credentials.mechanism}"
        )
    return "plain"


def _status(response: Response) -> str:
    """Return what the server says of the login; ValueError if it says nothing."""
    status = response.fields.get("auth-status", b"").decode("utf-8", "replace")
    if response.status not in {_OK, _NO_CONTENT} or not status:
        raise ValueError(f"answered {response.status} without Auth-Status")
    return status


def _account(response: Response, typed: str) -> Account:
    """Return the account as the server tells it: nothing in it is believed to be what it should be."""
    host = _text(response, "auth-server")
    if not is_host(host):
        raise Refused(Refusal.BACKEND_UNAVAILABLE, f"Auth-Server {host!r:.300} is not a host")
    port = _text(response, "auth-port")
    if not (
        port.isascii() and port.isdigit() and len(port) <= len(str(_HIGHEST_PORT)) and 0 < int(port) <= _HIGHEST_PORT
    ):
        raise Refused(Refusal.BACKEND_UNAVAILABLE, f"Auth-Port {port!r:.300} is not a port")
    user = _text(response, "auth-user") or typed
    if not user.isprintable():
        raise Refused(Refusal.BACKEND_UNAVAILABLE, "Auth-User has characters that cannot be printed")
    return Account(user.lower(), user, host, judged=True, port=int(port), secret=response.fields.get("auth-pass"))


def _text(response: Response, name: str) -> str:
    return response.fields.get(name, b"").decode("utf-8", "surrogateescape")


def _escaped(value: bytes) -> bytes:
    """Return a value with blanks, control characters and percent signs written as ``%`` and two digits."""
    return b"".join(b"%%%02X" % octet if octet <= 0x20 or octet in b"%\x7f" else bytes((octet,)) for octet in value)  # noqa: PLR2004 - the blank
