"""The side of POP3 that a store plays after the login, for a maildrop of one message or none that lives in the proxy.

RFC 1939, 5 to 7.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar

from attrs import define, field

from mmp.errors import RemoteProtocolError
from mmp.wire.buffer import Buffer
from mmp.wire.pop3 import grammar
from mmp.wire.pop3.grammar import Malformed

LINE_LIMIT = 255
"""Octets in a command, CRLF included (RFC 2449, 4)."""
MESSAGE_LIMIT = 64 * 1024
"""Octets in a message: it is a notice."""
SAID_LIMIT = 4 * MESSAGE_LIMIT
"""Octets said in one session, from which on it ends: nobody has to fetch a notice that often. We hold them for a client
that does not read, whose password nobody has judged; a socket's buffer takes nearly as many."""

_NUMBER = re.compile(rb"1")
_TOP = re.compile(rb"1 ([0-9]{1,9})")
_LINE_END = re.compile(rb"\r\n|\r|\n")


def message(octets: bytes) -> bytes:
    """Return an RFC 822 message with CRLF at the end of each line; ValueError if it is none, or too large."""
    lines = _LINE_END.split(octets.rstrip())
    if not re.match(rb"[!-9;-~]+:", lines[0]):
        raise ValueError("does not begin with a header field as a message does")
    if b"\0" in octets or len(octets) > MESSAGE_LIMIT:
        raise ValueError(f"has a NUL in it, or more than {MESSAGE_LIMIT // 1024} KiB")
    return b"\r\n".join(lines) + b"\r\n"


@define(eq=False, repr=False)
class Maildrop:
    """One session; ``closed`` tells whether the last word was said."""

    _message: bytes
    """Empty: there is none."""
    closed: bool = field(default=False, init=False)
    _received: Buffer = field(factory=Buffer, init=False)
    _deleted: bool = field(default=False, init=False)
    _said: int = field(default=0, init=False)

    def receive_data(self, octets: bytes) -> bytes:
        """Return the answers to what the client sent."""
        self._received.feed(octets)
        answers = []
        while not self.closed and (answer := self._answer_next()):
            answers.append(answer)
            self._said += len(answer)
            if self._said > SAID_LIMIT:
                self.closed = True
        return b"".join(answers)

    def _answer_next(self) -> bytes:
        """Return the answer to the next command, empty while it is not whole."""
        try:
            line = self._received.line(LINE_LIMIT)
            return b"" if line is None else self._answer(line)
        except Malformed as fault:
            return b"-ERR %b\r\n" % str(fault).encode()
        except RemoteProtocolError as error:
            self.closed = True
            return b"-ERR %b\r\n" % str(error).encode()

    def _answer(self, line: bytes) -> bytes:
        action = self._ACTIONS.get(grammar.keyword(line))
        if action is None:
            raise Malformed("Unknown command")
        return action(self, grammar.argument(line))

    def _stat(self, argument: bytes | None) -> bytes:
        grammar.check_nothing(argument)
        size = self._size()
        return b"+OK %d %d\r\n" % (bool(size), size)

    def _list(self, argument: bytes | None) -> bytes:
        return self._listing(argument, b"%d" % self._size())

    def _uidl(self, argument: bytes | None) -> bytes:
        return self._listing(argument, hashlib.sha256(self._message).hexdigest()[:32].encode())

    def _listing(self, argument: bytes | None, told: bytes) -> bytes:
        """Return what is told of the message asked for, or of all."""
        if argument is None:
            return b"+OK\r\n%b.\r\n" % (b"1 %b\r\n" % told if self._size() else b"")
        self._check(_NUMBER.fullmatch(argument))
        return b"+OK 1 %b\r\n" % told

    def _retr(self, argument: bytes | None) -> bytes:
        self._check(_NUMBER.fullmatch(argument or b""))
        return _lines(self._message.split(b"\r\n")[:-1])

    def _top(self, argument: bytes | None) -> bytes:
        match = self._check(_TOP.fullmatch(argument or b""))
        header, _, body = self._message.partition(b"\r\n\r\n")
        return _lines([*header.removesuffix(b"\r\n").split(b"\r\n"), b"", *body.split(b"\r\n")[:-1][: int(match[1])]])

    def _dele(self, argument: bytes | None) -> bytes:
        self._check(_NUMBER.fullmatch(argument or b""))
        self._deleted = True
        return b"+OK\r\n"

    def _rset(self, argument: bytes | None) -> bytes:
        grammar.check_nothing(argument)
        self._deleted = False
        return b"+OK\r\n"

    def _noop(self, argument: bytes | None) -> bytes:
        grammar.check_nothing(argument)
        return b"+OK\r\n"

    def _capa(self, argument: bytes | None) -> bytes:
        grammar.check_nothing(argument)
        return b"+OK\r\nTOP\r\nUIDL\r\nPIPELINING\r\n.\r\n"

    def _quit(self, argument: bytes | None) -> bytes:
        grammar.check_nothing(argument)
        self.closed = True
        return b"+OK Logging out\r\n"

    _ACTIONS: ClassVar[Mapping[bytes, Callable[[Maildrop, bytes | None], bytes]]] = MappingProxyType(
        {
            b"STAT": _stat,
            b"LIST": _list,
            b"UIDL": _uidl,
            b"RETR": _retr,
            b"TOP": _top,
            b"DELE": _dele,
            b"RSET": _rset,
            b"NOOP": _noop,
            b"CAPA": _capa,
            b"QUIT": _quit,
        },
    )

    def _size(self) -> int:
        return 0 if self._deleted else len(self._message)

    def _check(self, match: re.Match[bytes] | None) -> re.Match[bytes]:
        if match is None or not self._size():
            raise Malformed("No such message")
        return match


def _lines(lines: list[bytes]) -> bytes:
    """Return a multi-line response, with dots doubled where they would end it (RFC 1939, 3)."""
    stuffed = (b"." + line if line.startswith(b".") else line for line in lines)
    return b"+OK\r\n%b\r\n.\r\n" % b"\r\n".join(stuffed)
