"""One mailbox as POP3 sees it, in the shape that Twisted's POP3 server asks for."""

# ruff: noqa: N802 - method names are those of Twisted's interface

from __future__ import annotations

import io
from typing import BinaryIO, overload

from attrs import define, field
from twisted.mail.interfaces import IMailboxPOP3
from zope.interface import implementer

from mmp.demo.mailbox import Mailbox, StoredMessage


@define(eq=False)
@implementer(IMailboxPOP3)
class Maildrop:
    """The messages that were in a mailbox when the session began (RFC 1939, 4)."""

    mailbox: Mailbox
    messages: list[StoredMessage] = field(init=False)
    deleted: set[int] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self.messages = list(self.mailbox.messages)

    @overload
    def listMessages(self) -> list[int]: ...

    @overload
    def listMessages(self, i: int) -> int: ...

    def listMessages(self, i: int | None = None) -> int | list[int]:
        """Return the size of a message, counted from 0, or all sizes; 0 of deleted ones."""
        if i is None:
            return [self._size(number) for number in range(len(self.messages))]
        if i >= len(self.messages):
            raise ValueError("no such message")
        return self._size(i)

    def getMessage(self, index: int) -> BinaryIO:
        """Return a message with LF at the ends of its lines, each of which Twisted's POP3 makes a CR LF."""
        if not self.listMessages(index):
            raise ValueError("no such message")
        return io.BytesIO(self.messages[index].octets.replace(b"\r\n", b"\n"))

    def getUidl(self, index: int) -> bytes:
        """Return the unique identifier of a message."""
        self.listMessages(index)
        return b"%d" % self.messages[index].uid

    def deleteMessage(self, index: int) -> None:
        """Delete a message at the end of the session."""
        self.listMessages(index)
        self.deleted.add(index)

    def undeleteMessages(self) -> None:
        """Delete none."""
        self.deleted.clear()

    def sync(self) -> None:
        """Delete what is to be deleted."""
        gone = {self.messages[index].uid for index in self.deleted}
        self.mailbox.messages[:] = [message for message in self.mailbox.messages if message.uid not in gone]

    def _size(self, index: int) -> int:
        return 0 if index in self.deleted else self.messages[index].getSize()
