"""Cuts what a store sends into responses: lines, and literals between them (RFC 9051, 2.2.2, 4.3 and 7)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from attrs import define, field, frozen

from mmp.errors import RemoteProtocolError
from mmp.wire.buffer import Buffer
from mmp.wire.imap import grammar

RESPONSE_LIMIT = 64 * 1024
"""Octets in a response before login, its literals included: a capability list has some hundreds."""

STATUSES = (b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH")

_RESPONSE = re.compile(rb"([*+]|[A-Za-z0-9]++)(?: (.*))?\r\n", re.DOTALL)
_STATUS = re.compile(
    rb"(OK|NO|BAD|BYE|PREAUTH)(?![^ ]) ?(?:\[([^\] ]++) ?([^\]]*+)\] ?)?(.*)", re.DOTALL | re.IGNORECASE
)
_DATA = re.compile(rb"([^ ]++) ?(.*)", re.DOTALL)
_REMEMBERED: Final = 64
"""Greetings and lists of capabilities that are not taken apart again: all stores of a site have a few among them."""
_MEMORABLE: Final = 2048
"""Octets of the longest of them."""
_CAPABILITY = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]++')


@frozen(eq=False)
class Offered:
    """What a store can do: as it spells it, in upper case, and the names of SASL mechanisms among that."""

    capabilities: tuple[bytes, ...]
    names: frozenset[bytes]
    mechanisms: frozenset[bytes]


class Response(NamedTuple):
    """One response: ``tag`` is ``*``, ``+`` or a command's own, ``kind`` OK, NO, BAD, BYE, PREAUTH or the name of data.

    Names of kinds and codes are in upper case. The contents of literals are not kept: none matters before login.
    ``offered`` is what it lists, as data or as a response code; None if it lists nothing. ``is_data``: whether it is
    neither status nor continuation; only data can hold literals.
    """

    tag: bytes
    kind: bytes
    code: bytes
    argument: bytes
    text: bytes
    offered: Offered | None = None
    is_data: bool = False


@define(eq=False, repr=False)
class ResponseReader:
    """Takes responses out of a buffer, one after the other."""

    _begun: Response | None = field(default=None, init=False)
    _awaited: int = field(default=0, init=False)
    _size: int = field(default=0, init=False)
    _is_greeted: bool = field(default=False, init=False)

    def next(self, received: Buffer) -> Response | None:
        """Return the next response, or None until it is whole; RemoteProtocolError if it is none, or too long."""
        while not self._awaited or received.take(self._awaited) is not None:
            self._awaited = 0
            line = received.line(RESPONSE_LIMIT)
            if line is None:
                return None
            response = self._begun or self._parsed(line)
            announced = grammar.announcement(line) if response.is_data else None
            self._begun = response if announced else None
            if announced is None:
                self._size = 0
                return response
            self._awaited = announced.size
            self._size += len(line) + announced.size
            if self._size > RESPONSE_LIMIT:
                raise RemoteProtocolError(f"Response longer than {RESPONSE_LIMIT} octets")
        return None

    def _parsed(self, line: bytes) -> Response:
        is_greeted, self._is_greeted = self._is_greeted, True
        return parse(line) if is_greeted or len(line) > _MEMORABLE else _greeting(line)


NOTHING: Final = Offered((), frozenset(), frozenset())


def _offer(names: bytes) -> Offered | None:
    """Take a list of capabilities apart; None if there are none in it."""
    capabilities = tuple(name for name in names.split(b" ") if _CAPABILITY.fullmatch(name))
    if not capabilities:
        return None
    offered = frozenset(name.upper() for name in capabilities)
    mechanisms = frozenset(name.removeprefix(b"AUTH=") for name in offered if name.startswith(b"AUTH="))
    return Offered(capabilities, offered, mechanisms)


_remembered_offer = lru_cache(_REMEMBERED)(_offer)
"""Nearly every list was seen before: to take the two of a login apart would cost it 15 µs."""


def _listed(names: bytes) -> Offered | None:
    return _remembered_offer(names) if len(names) <= _MEMORABLE else _offer(names)


def parse(line: bytes) -> Response:
    """Return the response that a line is or begins."""
    match = _RESPONSE.fullmatch(line)
    if match is None:
        raise RemoteProtocolError("Not an IMAP response")
    tag, rest = match[1], match[2] or b""
    if tag == b"+":
        return Response(tag, b"", b"", b"", rest)
    status = _STATUS.fullmatch(rest)
    if status:
        kind, code, argument, text = status.groups(b"")
        code = code.upper()
        return Response(tag, kind.upper(), code, argument, text, _listed(argument) if code == b"CAPABILITY" else None)
    data = _DATA.fullmatch(rest)
    if data is None or tag != b"*":
        raise RemoteProtocolError("Not an IMAP response")
    kind, text = data[1].upper(), data[2]
    return Response(tag, kind, b"", b"", text, _listed(text) if kind == b"CAPABILITY" else None, is_data=True)


_greeting = lru_cache(_REMEMBERED)(parse)
"""Of what a store says to everybody; what it says later may repeat a password, and is not kept."""
