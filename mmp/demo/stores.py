"""The stores: ``python -m mmp.demo.stores SERVICE=DESCRIPTOR…`` serves mail and takes it, on sockets that it inherits.

Who is at which of their addresses comes as JSON on standard input: ``[{"alice": "127.0.0.2", …}, "their password"]``.
"""

# ruff: noqa: N802, N815 - method names are those of Twisted's interfaces

from __future__ import annotations

import hmac
import io
import json
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Protocol, cast

from attrs import define, field, frozen
from twisted.cred.error import UnauthorizedLogin
from twisted.internet import defer
from twisted.internet import reactor as installed
from twisted.internet.interfaces import IAddress, IReactorCore, IReactorSocket
from twisted.internet.protocol import Factory
from twisted.mail import imap4, pop3
from twisted.mail.interfaces import IAccountIMAP, IMailboxIMAPInfo, IMailboxPOP3, IMessageDelivery
from zope.interface import implementer

from mmp.demo import submission
from mmp.demo.mailbox import Mailbox
from mmp.demo.maildrop import Maildrop

WELCOME = """\
From: The demo <postmaster@example.com>\r
To: {user}\r
Subject: Welcome to the store at {address}\r
Content-Type: text/plain; charset=us-ascii\r
\r
This message lies in the memory of a small store that listens on {address}.\r
The proxy found the way here by your user name.\r
"""


class Reactor(IReactorCore, IReactorSocket):
    """What is asked of the reactor here."""


@implementer(IMailboxIMAPInfo)
class Listed:
    """What LIST tells about every mailbox: no attributes."""

    def getFlags(self) -> list[str]:
        """Return nothing: a message's flags are no attributes of its mailbox."""
        return []

    def getHierarchicalDelimiter(self) -> str:
        """Return what separates the levels of a name."""
        return "/"


class Account(imap4.MemoryAccount):
    """A user's mailboxes."""

    def listMailboxes(self, ref: str, wildcard: str) -> list[tuple[str, Listed]]:
        """Return the mailboxes whose names match."""
        return [(name, Listed()) for name, _ in super().listMailboxes(ref, wildcard)]  # type: ignore[no-untyped-call]  # Twisted's

    def _emptyMailbox(self, name: str, id: int) -> Mailbox:  # noqa: A002, ARG002 - Twisted's signature
        return Mailbox()


class Connection(imap4.IMAP4Server):
    """Twisted's IMAP server, with two faults mended."""

    def do_APPEND(self, tag: bytes, mailbox: bytes, flags: list[bytes] | None, *rest: object) -> None:
        """Append a message; without flags too."""
        super().do_APPEND(tag, mailbox, flags or [], *rest)  # type: ignore[no-untyped-call]  # Twisted's

    auth_APPEND = (do_APPEND, *imap4.IMAP4Server.auth_APPEND[1:])  # type: ignore[assignment]  # Twisted's is untyped
    select_APPEND = auth_APPEND  # type: ignore[assignment]  # likewise

    def sendContinuationRequest(self, msg: bytes | None = None) -> None:
        """Send a continuation request, with the space that belongs into it even if nothing follows."""
        self.sendLine(b"+ " + (msg or b""))  # type: ignore[no-untyped-call]  # Twisted's


class UsernamePassword(Protocol):
    """What a client gave."""

    username: bytes
    password: bytes


@frozen
class Store:
    """The accounts of one store and their password; to Twisted's servers it is the portal."""

    accounts: Mapping[bytes, Account]
    inboxes: Mapping[bytes, Mailbox]
    """Of the users of all stores."""
    password: bytes = field(repr=False)

    def login(
        self, credentials: UsernamePassword, _mind: object, *interfaces: object
    ) -> defer.Deferred[tuple[object, Account | Maildrop | submission.Delivery, Callable[[], None]]]:
        """Let the user in to all mailboxes, to the one that POP3 sees, or to send; or fail with UnauthorizedLogin."""
        account = self.accounts.get(credentials.username)
        if account is None or not hmac.compare_digest(self.password, credentials.password):
            return defer.fail(UnauthorizedLogin())
        if IMailboxPOP3 in interfaces:
            return defer.succeed((IMailboxPOP3, Maildrop(account.mailboxes["INBOX"]), lambda: None))
        if IMessageDelivery in interfaces:
            return defer.succeed((IMessageDelivery, submission.Delivery(self.inboxes), lambda: None))
        return defer.succeed((IAccountIMAP, account, lambda: None))


def imap() -> Connection:
    """Return the protocol for a new connection."""
    return Connection({b"PLAIN": imap4.PLAINCredentials})  # type: ignore[no-untyped-call]  # Twisted's


Served = Connection | pop3.POP3 | submission.Connection

PROTOCOLS: Mapping[str, Callable[[], Served]] = {
    "imap": imap,
    "pop3": pop3.POP3,
    "submission": submission.connection,
}


@define(eq=False)
class Connections(Factory):
    """Serves whoever connects to one store."""

    store: Store
    make: Callable[[], Served]

    def buildProtocol(  # type: ignore[override]  # POP3's factory has no type
        self,
        addr: IAddress | None,  # noqa: ARG002 - Twisted's signature
    ) -> Served:
        """Return the protocol for a new connection."""
        protocol = self.make()
        protocol.factory = self
        protocol.portal = self.store  # type: ignore[assignment]  # None is its default
        return protocol


def account(user: str, address: str) -> Account:
    """Return a new account with a message that says where it is."""
    inbox = Mailbox()
    inbox.addMessage(io.BytesIO(WELCOME.format(user=user, address=address).encode()))
    made = Account(user)  # type: ignore[no-untyped-call]  # Twisted's
    made.addMailbox("INBOX", inbox)  # type: ignore[no-untyped-call]  # likewise
    return made


def main() -> None:
    """Serve until terminated."""
    homes, password = json.load(sys.stdin)
    accounts = {user: account(user, home) for user, home in homes.items()}
    inboxes = {user.encode(): made.mailboxes["INBOX"] for user, made in accounts.items()}
    reactor = cast("Reactor", installed)
    for argument in sys.argv[1:]:
        service, _, descriptor = argument.partition("=")
        with socket.socket(fileno=int(descriptor)) as listening:
            address, _ = listening.getsockname()
            here = {user.encode(): accounts[user] for user, home in homes.items() if home == address}
            connections = Connections(Store(here, inboxes, password.encode()), PROTOCOLS[service])
            listening.settimeout(0)
            reactor.adoptStreamPort(listening.fileno(), listening.family, connections)  # type: ignore[arg-type]  # untyped
    reactor.run()


if __name__ == "__main__":
    main()
