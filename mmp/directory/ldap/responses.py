"""What a directory server answers (RFC 4511, 4.1.1, 4.1.9, 4.5.2), read without trusting it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import frozen
from ldap3.core.results import RESULT_CODES

from mmp.directory.entry import Entry
from mmp.directory.ldap.ber import (
    BOOLEAN,
    CONTROLS,
    ENUMERATED,
    INTEGER,
    LONGEST_HEADER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    content,
    number,
    size_of,
)
from mmp.errors import RemoteProtocolError

BIND_RESPONSE: Final = 0x61
SEARCH_RESULT_ENTRY: Final = 0x64
SEARCH_RESULT_DONE: Final = 0x65
SEARCH_RESULT_REFERENCE: Final = 0x73
EXTENDED_RESPONSE: Final = 0x78
INTERMEDIATE_RESPONSE: Final = 0x79
WITHIN_SEARCH: Final = frozenset({SEARCH_RESULT_ENTRY, SEARCH_RESULT_REFERENCE})

SUCCESS: Final = 0
SIZE_LIMIT_EXCEEDED: Final = 4
REFERRAL: Final = 10
UNAVAILABLE_CRITICAL_EXTENSION: Final = 12
NO_SUCH_OBJECT: Final = 32
INVALID_DN_SYNTAX: Final = 34
INVALID_CREDENTIALS: Final = 49
BUSY: Final = 51
UNAVAILABLE: Final = 52

NOTICE_OF_DISCONNECTION: Final = "1.3.6.1.4.1.1466.20036"
_RESPONSE_NAME: Final = 0x8A
_REFERRAL: Final = 0xA3

_LARGEST: Final = 1024 * 1024
"""Octets of a message. The few attributes that we ask for have some hundred, a certificate some thousand."""
_LONGEST_DIAGNOSTIC: Final = 200
_NO_CONTROLS: Final[Mapping[str, bytes]] = MappingProxyType({})


class Messages:
    """Cuts what is received into messages. Never holds more than the largest message and what came with its end."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._wanted = 0  # octets of the message that is coming in, once they are known

    def feed(self, octets: bytes) -> None:
        """Add what was received."""
        self._received += octets

    @property
    def pending(self) -> bool:
        """Whether octets are left that no message was made of."""
        return bool(self._received)

    def take(self) -> bytes | None:
        """Take the next message if it is complete; RemoteProtocolError if what comes in is none."""
        received = self._received
        if not self._wanted:
            if len(received) < LONGEST_HEADER:  # the shortest message has more
                return None
            self._wanted = size_of(received, SEQUENCE)
            if self._wanted > _LARGEST:
                raise RemoteProtocolError(f"message of {self._wanted} octets")
        if len(received) < self._wanted:
            return None
        message = bytes(received[: self._wanted])
        del received[: self._wanted]
        self._wanted = 0
        return message


@frozen
class Result:
    """How an operation ended; ``name`` is that of an extended response, ``referral`` has URLs that are alternatives."""

    code: int
    diagnostic: str
    name: str = ""
    referral: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it for the log."""
        words = (self.name, RESULT_CODES.get(self.code, f"result {self.code}"), self.diagnostic)
        return ": ".join(word for word in words if word)


def open_message(message: bytes) -> tuple[int, int, int, int]:
    """Return the message's number, the operation's tag, and where the operation's content starts and stops."""
    start, end = content(message, 0, len(message), SEQUENCE)
    start, position = content(message, start, end, INTEGER)
    identifier = number(message, start, position)
    if position == end:
        raise RemoteProtocolError("message without an operation")
    return identifier, message[position], *content(message, position, end, message[position])


def read_entry(octets: bytes, start: int, stop: int) -> Entry:
    """Return the entry that a SearchResultEntry's content is."""
    start, position = content(octets, start, stop, OCTET_STRING)
    name = _text(octets[start:position])
    position, stop = content(octets, position, stop, SEQUENCE)
    attributes = {}
    while position < stop:
        inner, position = content(octets, position, stop, SEQUENCE)
        start, inner = content(octets, inner, position, OCTET_STRING)
        attribute = _text(octets[start:inner]).lower()
        inner, end = content(octets, inner, position, SET)
        values = []
        while inner < end:
            start, inner = content(octets, inner, end, OCTET_STRING)
            values.append(_text(octets[start:inner]))
        attributes[attribute] = tuple(values)
    return Entry(name, attributes)


def read_name(octets: bytes, start: int, stop: int) -> str:
    """Return the name of the entry that a SearchResultEntry's content is."""
    start, stop = content(octets, start, stop, OCTET_STRING)
    return _text(octets[start:stop])


def read_result(octets: bytes, start: int, stop: int) -> Result:
    """Return the LDAPResult that begins a response's content, with the name if it is an extended response."""
    start, position = content(octets, start, stop, ENUMERATED)
    code = number(octets, start, position)
    _, position = content(octets, position, stop, OCTET_STRING)  # the matched DN
    start, position = content(octets, position, stop, OCTET_STRING)
    diagnostic = _printable(octets[start:position])
    name, referral = "", tuple[str, ...]()
    while position < stop:
        tag = octets[position]
        start, position = content(octets, position, stop, tag)
        if tag == _RESPONSE_NAME:
            name = _printable(octets[start:position])
        elif tag == _REFERRAL:
            referral = read_urls(octets, start, position)
    return Result(code, diagnostic, name, referral)


def read_urls(octets: bytes, start: int, stop: int) -> tuple[str, ...]:
    """Return the URLs, which are alternatives, that a SearchResultReference's content is."""
    urls = []
    while start < stop:
        inner, start = content(octets, start, stop, OCTET_STRING)
        urls.append(_text(octets[inner:start]))
    return tuple(urls)


def read_controls(message: bytes, position: int) -> Mapping[str, bytes]:
    """Return the controls that stand behind the operation, which stops there, with their values (4.1.11)."""
    if position == len(message):
        return _NO_CONTROLS
    position, end = content(message, position, len(message), CONTROLS)
    controls = {}
    while position < end:
        inner, position = content(message, position, end, SEQUENCE)
        start, inner = content(message, inner, position, OCTET_STRING)
        name = _printable(message[start:inner])
        if inner < position and message[inner] == BOOLEAN:  # whether it matters, which is said only to servers
            _, inner = content(message, inner, position, BOOLEAN)
        start = stop = inner
        if inner < position:
            start, stop = content(message, inner, position, OCTET_STRING)
        controls[name] = message[start:stop]
    return controls


def _text(octets: bytes) -> str:
    """Return octets that should be UTF-8; what is not stays recognisable, and unprintable."""
    return octets.decode("utf-8", "surrogateescape")


def _printable(octets: bytes) -> str:
    """Return somebody else's words for the log."""
    text = octets[:_LONGEST_DIAGNOSTIC].decode("utf-8", "replace")
    return "".join(character if character.isprintable() else " " for character in text).strip()
