"""A mailbox of our own in place of a store that is away: the client sees a notice, or no mail, instead of an error."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from typing import Protocol

from attrs import define, field

from mmp.errors import Refused
from mmp.interfaces import Ask, Log
from mmp.model import Credentials, Refusal, Security
from mmp.net.channel import Channel
from mmp.net.loop import Loop
from mmp.net.stream import Stream
from mmp.session.login import LogIn, Relayed
from mmp.session.record import Record
from mmp.stores.dial import StoreConnection
from mmp.wire.events import LoggedIn

NAME = "spoof"
"""What stands for the store in the log."""


class Mailbox(Protocol):
    """What stands in for the store, from the login on."""

    closed: bool
    """Whether the last word was said."""

    def receive_data(self, octets: bytes, /) -> bytes:
        """Return the answers to what the client sent; they are bounded, since nobody waits until they are read."""


@define(eq=False)
class Spoofed:
    """A login attempt that ends in a mailbox of ours where it would be refused for one of these reasons.

    It belongs around whatever counts failed and good logins: here nobody has judged the password. No limit counts such
    a session, and no lease is held.
    """

    log_in: LogIn
    loop: Loop
    make_mailbox: Callable[[], Mailbox]
    log: Log
    refusals: Collection[Refusal] = (Refusal.BACKEND_UNAVAILABLE,)

    async def __call__(self, record: Record, credentials: Credentials, ask: Ask) -> Relayed:
        """Return what ``log_in`` returns, or a connection to the mailbox."""
        try:
            return await self.log_in(record, credentials, ask)
        except Refused as refused:
            if refused.refusal not in self.refusals:
                raise
            channel = self._connected()
            if channel is None:
                raise
            self.log.event("backend", "info", result="spoofed", reason=refused.reason, **record.facts())
        record.backend = NAME
        return Relayed(StoreConnection(channel, LoggedIn((), b"Ready", b""), NAME), _NoLease())

    def _connected(self) -> Channel | None:
        """Return our end of a connection to a new mailbox, None if there are no descriptors for it."""
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError:
            return None
        channel = Channel(_Silence(), _no_tls)
        channel.stream = Stream(self.loop, ours, channel)
        conversation = _Conversation(self.make_mailbox())
        conversation.stream = Stream(self.loop, theirs, conversation)
        return channel


@define(eq=False)
class _Conversation:
    """What the mailbox's end receives, it answers."""

    mailbox: Mailbox
    stream: Stream | None = field(default=None, init=False)

    def dataReceived(self, octets: bytes) -> None:  # noqa: N802 - Twisted's name
        """Answer; after the last word close."""
        if self.stream is not None:
            self.stream.write(self.mailbox.receive_data(octets))
            if self.mailbox.closed:
                self.stream.loseConnection()

    def connectionLost(self, reason: BaseException) -> None:  # noqa: ARG002, N802 - Twisted's name
        """Leave no cycle behind."""
        self.stream = None


class _Silence:
    """The core of a connection on which nothing is said before the relay has it."""

    buffered = 0

    def receive_data(self, octets: bytes) -> None:
        """Never called: the mailbox only answers."""


class _NoLease:
    """The slot of a session that no limit counts."""

    def close(self) -> None:
        """Give nothing back."""


async def _no_tls(_stream: Stream) -> Security:
    raise ConnectionError("a mailbox in the proxy has no TLS")
