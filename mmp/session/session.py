"""One accepted connection's life, in order: greet, settle what comes before a login, log in, hand over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define, evolve

from mmp.errors import Refused, RemoteProtocolError
from mmp.interfaces import Channel, Log, ServerCore
from mmp.model import Credentials, Offer, Refusal, Security
from mmp.session.events import next_event
from mmp.session.login import LogIn, Relayed
from mmp.session.record import Record
from mmp.wire.events import Login, Response, StartTLS


class Relays(Protocol):
    """Joins clients with stores."""

    def take_over(self, channel: Channel, relayed: Relayed, trailing: bytes, record: Record) -> None:
        """Own both connections, the lease and the record from now on.

        The store gets ``trailing`` first, the client what the store sent behind its reply. ConnectionError, and nothing
        is taken, if either connection is already lost.
        """


@define(eq=False)
class Session:
    """Whoever runs it puts the deadline on it, cancels it when the client goes, and sends the core's last words."""

    record: Record
    channel: Channel
    core: ServerCore
    implicit_tls: bool
    offer: Callable[[Security], Offer]
    log_in: LogIn
    relays: Relays
    log: Log
    max_failures: int
    failures: int = 0

    async def run(self) -> str | None:
        """Return None once the relay has taken over, else why the session is over.

        ConnectionError when the client is gone, RemoteProtocolError when it must be let go.
        """
        if self.implicit_tls:
            await self._start_tls()
        self.core.greet()
        while (credentials := await self._next_credentials()) is not None:
            self.record.attempt(credentials)
            try:
                relayed = await self.log_in(self.record, credentials, self._ask)
            except Refused as refused:
                self._refuse(refused)
            else:
                self._hand_over(relayed)
                return None
            finally:
                del credentials  # the client may take its time until the next attempt
        return "logged out"

    async def _next_credentials(self) -> Credentials | None:
        while True:
            event = await next_event(self.channel, self.core)
            if isinstance(event, Login):
                self._introduced(event)
                return event.credentials
            if not isinstance(event, StartTLS):
                return None
            await self._start_tls()

    def _introduced(self, login: Login) -> None:
        """Believe the client what harms nobody: its name, and through how many proxies it may yet go."""
        client = self.record.client
        if login.greeting or login.ttl is not None:
            ttl = client.ttl if login.ttl is None else min(client.ttl, login.ttl)
            self.record.client = evolve(client, greeting=login.greeting, ttl=ttl)

    async def _ask(self, challenge: bytes) -> bytes:
        self.core.challenge(challenge)
        event = await next_event(self.channel, self.core)
        if not isinstance(event, Response) or event.octets is None:
            raise Refused(Refusal.CANCELLED, "the client gave the exchange up")
        return event.octets

    async def _start_tls(self) -> None:
        try:
            security = await self.channel.start_tls()
        except ConnectionError as error:
            self.log.event("tls", "info", result="failed", reason=str(error), **self.record.facts())
            raise
        self.record.client = self.record.client.under(security)
        if self.log.heeds("debug"):
            self.log.event("tls", "debug", result="ok", resumed=security.resumed, **self.record.facts())
        self.core.tls_started(self.offer(security))

    def _refuse(self, refused: Refused) -> None:
        self.log.event("login", "info", result=refused.refusal, reason=refused.reason, **self.record.facts())
        self.failures += 1
        if self.failures >= self.max_failures:
            self.core.refuse(refused.refusal)
            self.core.goodbye(Refusal.TOO_MANY_ERRORS)
            raise RemoteProtocolError("too many failed logins")
        self.core.refuse(refused.refusal)

    def _hand_over(self, relayed: Relayed) -> None:
        """Tell the client, and let go of everything; nothing may be awaited from the store's yes to here."""
        try:
            self.core.accept(relayed.backend.logged_in)
            self.channel.write(self.core.data_to_send())
            self.relays.take_over(self.channel, relayed, self.core.trailing(), self.record)
        except BaseException:
            relayed.close()
            raise
        self.log.tell("login", "info", {"result": "ok", "reason": self.record.note, **self.record.facts()})
