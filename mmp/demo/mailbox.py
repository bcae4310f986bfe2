"""One mailbox in memory, in the shape that Twisted's IMAP server asks for."""

# ruff: noqa: N802, FBT001 - method names and signatures are those of Twisted's interfaces

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from email import message_from_bytes
from email.message import Message
from email.utils import formatdate
from typing import BinaryIO

from attrs import define, field
from twisted.internet import defer
from twisted.mail import imap4
from twisted.mail.interfaces import IMailboxIMAP, IMailboxIMAPListener, IMessageIMAP, IMessageIMAPFile
from zope.interface import implementer

FLAGS = ["\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft"]


@define(kw_only=True)
@implementer(IMessageIMAP, IMessageIMAPFile)
class StoredMessage:
    """A message, with what the mailbox knows of it, or one of its MIME parts, of which it knows nothing."""

    octets: bytes
    uid: int = 0
    date: bytes = b""
    flags: set[str] = field(factory=set)

    def getHeaders(self, negate: bool, *names: bytes | str) -> dict[str, str]:
        """Return the header fields that are named, or those that are not."""
        wanted = {name.lower() if isinstance(name, str) else name.decode().lower() for name in names}
        return {
            key.lower(): str(value)
            for key, value in self._parsed().items()
            if (key.lower() in wanted) is not bool(negate)
        }

    def getBodyFile(self) -> BinaryIO:
        """Return what follows the header."""
        return io.BytesIO(self.octets.partition(b"\r\n\r\n")[2])

    def getSize(self) -> int:
        """Return the size in octets."""
        return len(self.octets)

    def isMultipart(self) -> bool:
        """Return whether there are parts."""
        return self._parsed().is_multipart()

    def getSubPart(self, part: int) -> StoredMessage:
        """Return a part, counted from 0."""
        if not self.isMultipart():
            raise TypeError("not a multipart message")
        payload = self._parsed().get_payload(part)
        return StoredMessage(octets=payload.as_bytes())  # type: ignore[union-attr]  # a Message, as it is multipart

    def _parsed(self) -> Message:
        return message_from_bytes(self.octets)

    def getUID(self) -> int:
        """Return the unique identifier."""
        return self.uid

    def getFlags(self) -> list[str]:
        """Return the flags that are set."""
        return sorted(self.flags)

    def getInternalDate(self) -> bytes:
        """Return the date of arrival."""
        return self.date

    def open(self) -> BinaryIO:
        """Return the whole message."""
        return io.BytesIO(self.octets)


@define(eq=False)
@implementer(IMailboxIMAP)
class Mailbox:
    """The messages of one mailbox, and the connections to tell about new ones."""

    messages: list[StoredMessage] = field(factory=list)
    listeners: list[IMailboxIMAPListener] = field(factory=list)
    last_uid: int = 0

    def getFlags(self) -> list[str]:
        """Return the flags that messages may have."""
        return FLAGS

    def getHierarchicalDelimiter(self) -> str:
        """Return what separates the levels of a mailbox name."""
        return "/"

    def getUIDValidity(self) -> int:
        """Return a constant: nothing outlives the process."""
        return 1

    def getUIDNext(self) -> int:
        """Return the identifier that the next message will get."""
        return self.last_uid + 1

    def getUID(self, message: int) -> int:
        """Return the identifier of the message at a position."""
        return self.messages[message - 1].uid

    def getMessageCount(self) -> int:
        """Return how many messages there are."""
        return len(self.messages)

    def getRecentCount(self) -> int:
        """Return 0: the flag is not kept."""
        return 0

    def getUnseenCount(self) -> int:
        """Return how many messages are unread."""
        return sum("\\Seen" not in message.flags for message in self.messages)

    def isWriteable(self) -> bool:
        """Return that it is."""
        return True

    def destroy(self) -> None:
        """Forget everything."""
        self.messages.clear()

    def requestStatus(self, names: Iterable[str]) -> dict[str, int]:
        """Return what STATUS asks for."""
        status: dict[str, int] = imap4.statusRequestHelper(self, names)
        return status

    def addListener(self, listener: IMailboxIMAPListener) -> None:
        """Tell a connection about new messages from now on."""
        self.listeners.append(listener)

    def removeListener(self, listener: IMailboxIMAPListener) -> None:
        """Tell it no more."""
        self.listeners.remove(listener)

    def addMessage(
        self, message: BinaryIO, flags: Iterable[str] = (), date: bytes | None = None
    ) -> defer.Deferred[int]:
        """Append a message and tell those who listen."""
        self.last_uid += 1
        arrived = date or formatdate().encode()
        self.messages.append(StoredMessage(octets=message.read(), uid=self.last_uid, date=arrived, flags=set(flags)))
        for listener in self.listeners:
            listener.newMessages(len(self.messages), None)
        return defer.succeed(self.last_uid)

    def expunge(self) -> list[int]:
        """Remove what is flagged as deleted; return the positions, from the last to the first."""
        gone = [number for number, message in enumerate(self.messages, 1) if "\\Deleted" in message.flags][::-1]
        for number in gone:
            del self.messages[number - 1]
        return gone

    def fetch(self, messages: imap4.MessageSet, uid: bool) -> Sequence[tuple[int, StoredMessage]]:
        """Return messages by position or by identifier."""
        return list(self._chosen(messages, uid=uid))

    def store(self, messages: imap4.MessageSet, flags: Sequence[str], mode: int, uid: bool) -> dict[int, list[str]]:
        """Set (mode 0), add (1) or remove (-1) flags."""
        chosen = list(self._chosen(messages, uid=uid))
        for _, message in chosen:
            kept = message.flags if mode else set()
            message.flags = kept - set(flags) if mode == -1 else kept | set(flags)
        return {number: message.getFlags() for number, message in chosen}

    def _chosen(self, messages: imap4.MessageSet, *, uid: bool) -> Iterator[tuple[int, StoredMessage]]:
        messages.last = self.last_uid if uid else len(self.messages)
        for number, message in enumerate(self.messages, 1):
            if (message.uid if uid else number) in messages:
                yield number, message
