"""A small relay: takes mail from whoever has logged in, and puts it into the mailboxes of the stores beside it."""

# ruff: noqa: N802, ARG002 - method names and signatures are those of Twisted's interfaces

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.mail import imap4, smtp
from twisted.mail.interfaces import IMessageDelivery, IMessageSMTP
from zope.interface import implementer

from mmp.demo.mailbox import Mailbox

DOMAIN = b"example.com"


class Connection(smtp.ESMTP):
    """Twisted's ESMTP server, which asks for a login."""

    def validateFrom(self, helo: tuple[bytes, bytes], origin: smtp.Address) -> Deferred[smtp.Address]:
        """Return the sender, if somebody is logged in."""
        if not self.authenticated:
            raise smtp.SMTPServerError(530, "Log in first")
        sender: Deferred[smtp.Address] = super().validateFrom(helo, origin)  # type: ignore[no-untyped-call]  # Twisted's
        return sender


def connection() -> Connection:
    """Return the protocol for a new connection."""
    made = Connection({b"PLAIN": imap4.PLAINCredentials, b"LOGIN": imap4.LOGINCredentials})  # type: ignore[no-untyped-call]  # Twisted's
    made.host = "localhost"
    made.noisy = False
    return made


@frozen
@implementer(IMessageDelivery)
class Delivery:
    """Takes mail for those who have a mailbox; any sender will do."""

    mailboxes: Mapping[bytes, Mailbox]

    def receivedHeader(self, helo: tuple[bytes, bytes], origin: smtp.Address, recipients: list[smtp.User]) -> bytes:
        """Return the line that tells whence a message came."""
        name, address = helo
        to = b", ".join(bytes(recipient.dest) for recipient in recipients)
        date = smtp.rfc822date()
        return b"Received: from %b ([%b]) by localhost for <%b>; %b" % (name, address, to, date)

    def validateFrom(self, helo: tuple[bytes, bytes], origin: smtp.Address) -> smtp.Address:
        """Return the sender as it is."""
        return origin

    def validateTo(self, user: smtp.User) -> Callable[[], Incoming]:
        """Return what makes a message for a recipient."""
        mailbox = self.mailboxes.get(user.dest.local) if user.dest.domain.lower() == DOMAIN else None
        if mailbox is None:
            raise smtp.SMTPBadRcpt(user)
        return lambda: Incoming(mailbox)


@define(eq=False)
@implementer(IMessageSMTP)
class Incoming:
    """A message on its way into a mailbox."""

    mailbox: Mailbox
    lines: list[bytes] = field(factory=list)

    def lineReceived(self, line: bytes) -> None:
        """Take a line."""
        self.lines.append(line + b"\r\n")

    def eomReceived(self) -> Deferred[int]:
        """Put the message into the mailbox."""
        return self.mailbox.addMessage(io.BytesIO(b"".join(self.lines)))

    def connectionLost(self) -> None:
        """Forget it: the end has not come."""
        self.lines.clear()
