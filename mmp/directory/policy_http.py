"""Asks a policy service as Dovecot asks weakforced: whether a login may be tried, and tells how it went.

Both are POST with a JSON object, as Dovecot's documentation of ``auth_policy`` describes them.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import SplitResult

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mmp.directory.availability import Availability
from mmp.directory.http_client import HTTPClient
from mmp.errors import Refused
from mmp.interfaces import Deadlines
from mmp.model import Client, Credentials, Refusal
from mmp.wire.http import Response, post

USER: Final = b"wforce"
_OK: Final = 200
_LONGEST_WAIT: Final = 300
"""Seconds; whoever is to wait longer may as well be refused."""
_PROTOCOLS: Final = {"submission": "smtp", "managesieve": "sieve"}
"""What services are called there, where that is not their own name."""
_COMPARABLE: Final = frozenset({"PLAIN", "LOGIN", "USER"})
"""Ways to log in that show the password."""


@define(eq=False)
class HTTPPolicy:
    """One service, asked by all; ``sleep`` waits for so many seconds, while the login's deadline stands still."""

    client: HTTPClient
    url: SplitResult
    sleep: Callable[[float], Awaitable[object]]
    deadlines: Deadlines
    availability: Availability
    refuses: bool
    """Whether nobody may log in while there is no answer."""
    secret: bytes = field(default=b"", repr=False)
    nonce: bytes = field(default=b"", repr=False)
    _unexpected = Logger()

    async def allow(self, client: Client, credentials: Credentials) -> None:
        """Wait as long as the service wants it; Refused if it does not want the login to be tried."""
        facts = self._facts(client, credentials)
        try:
            status, why, is_failure = _verdict(await self.client.ask(self._request("allow", facts)))
        except (OSError, ValueError, RecursionError) as error:
            self.availability.down(str(error))
            if self.refuses:
                raise Refused(Refusal.DIRECTORY_UNAVAILABLE, f"policy: {error}") from None
            return
        self.availability.up()
        if status < 0:
            self._tell(facts | {"success": False, "policy_reject": True})
            refusal = Refusal.BAD_CREDENTIALS if is_failure else Refusal.POLICY_REFUSED
            raise Refused(refusal, f"policy: {why!r:.200}")
        if status:
            await self._wait(client, min(status, _LONGEST_WAIT))

    async def _wait(self, client: Client, seconds: int) -> None:
        self.deadlines.pause(client.session)
        try:
            await self.sleep(seconds)
        finally:
            self.deadlines.resume(client.session)

    def report(self, client: Client, credentials: Credentials, *, success: bool) -> None:
        """Tell how a login went; nobody waits for that."""
        self._tell(self._facts(client, credentials) | {"success": success, "policy_reject": False})

    def _tell(self, facts: dict[str, object]) -> None:
        telling = Deferred.fromCoroutine(self._report(self._request("report", facts)))
        telling.addErrback(self._failed)

    async def _report(self, request: bytes) -> None:
        try:
            response = await self.client.ask(request)
        except OSError as error:
            self.availability.down(str(error))
        else:
            if response.status == _OK:
                self.availability.up()
            else:
                self.availability.down(f"answered {response.status}")

    def _failed(self, failure: Failure) -> None:
        self._unexpected.failure("unexpected error in a report to the policy service", failure)

    def _facts(self, client: Client, credentials: Credentials) -> dict[str, object]:
        service = client.service.value
        return {
            "login": credentials.user.encode("utf-8", "replace").decode(),
            "pwhash": self._digest(credentials),
            "remote": client.address.host,
            "protocol": _PROTOCOLS.get(service, service),
            "session_id": client.session,
            "tls": client.security.encrypted,
        }

    def _digest(self, credentials: Credentials) -> str:
        """Return twelve bits, enough to tell one wrong password from others; none where the password does not show."""
        if credentials.mechanism not in _COMPARABLE or credentials.proves is not None:
            return ""
        user = credentials.user.encode("utf-8", "surrogateescape")
        digest = hashlib.sha256(self.nonce + user + b"\0" + credentials.secret).digest()
        return f"{int.from_bytes(digest[:2]) >> 4:04x}"

    def _request(self, command: str, facts: dict[str, object]) -> bytes:
        query = f"{self.url.query}&" if self.url.query else ""
        fields = [("Content-Type", b"application/json")]
        if self.secret:
            fields.append(("Authorization", b"Basic " + b64encode(USER + b":" + self.secret)))
        target = f"{self.url.path or '/'}?{query}command={command}"
        return post(target, self.url.netloc, fields, json.dumps(facts).encode())


def _verdict(response: Response) -> tuple[int, str, bool]:
    """Return the status, the message, and whether a refusal counts as a wrong password; ValueError if there is none."""
    if response.status != _OK:
        raise ValueError(f"answered {response.status}")
    answer: Any = json.loads(response.body)
    status = answer.get("status") if isinstance(answer, dict) else None
    if not isinstance(status, int) or isinstance(status, bool):
        raise ValueError("answered without a status")  # noqa: TRY004 - it is no mistake of ours
    attributes = answer.get("r_attrs")
    is_failure = isinstance(attributes, dict) and str(attributes.get("failure")) == "1"
    return status, str(answer.get("msg", "")), is_failure
