"""What makes a search go on and tell of each change: content synchronization, and the older persistent search.

RFC 4533, 2.2, 2.5 and 3.4; draft-ietf-ldapext-psearch-03, 4 and 5.
"""

from __future__ import annotations

from typing import Final

from mmp.directory.ldap.ber import BOOLEAN, ENUMERATED, OCTET_STRING, SEQUENCE, content, element, integer

CONTENT_SYNCHRONIZATION: Final = "1.3.6.1.4.1.4203.1.9.1.1"
PERSISTENT_SEARCH: Final = "2.16.840.1.113730.3.4.3"
_SYNC_INFO: Final = b"1.3.6.1.4.1.4203.1.9.1.4"
_ENTRY_CHANGE_NOTIFICATION: Final = b"2.16.840.1.113730.3.4.7"

_CONTROLS: Final = 0xA0
_RESPONSE_NAME, _RESPONSE_VALUE = 0x80, 0x81
_REFRESH_DELETE, _REFRESH_PRESENT, _ID_SET = 0xA1, 0xA2, 0xA3
_REFRESH_AND_PERSIST: Final = 3
_ALL_CHANGES: Final = 15
_REPLICA: Final = "000"
"""The number that we give ourselves as a consumer; it means something only to other consumers at the same place."""


def synchronize(states: tuple[str, ...]) -> bytes:
    """Return the controls that make a search tell what has changed since the server was in these states.

    They are values of contextCSN, which OpenLDAP's cookies are made of.
    """
    cookie = f"rid={_REPLICA},csn={';'.join(states)}".encode("utf-8", "surrogateescape")
    asked = integer(_REFRESH_AND_PERSIST, ENUMERATED) + element(OCTET_STRING, cookie) + _boolean(True)  # noqa: FBT003 - reloadHint
    return _critical(CONTENT_SYNCHRONIZATION, element(SEQUENCE, asked))


def persist() -> bytes:
    """Return the controls that make a search tell of changes alone, and say with each how a name was changed."""
    asked = integer(_ALL_CHANGES) + _boolean(True) + _boolean(True)  # noqa: FBT003 - changesOnly, returnECs
    return _critical(PERSISTENT_SEARCH, element(SEQUENCE, asked))


def _critical(kind: str, value: bytes) -> bytes:
    control = element(OCTET_STRING, kind.encode()) + _boolean(True) + element(OCTET_STRING, value)  # noqa: FBT003 - criticality
    return element(_CONTROLS, element(SEQUENCE, control))


def _boolean(value: bool) -> bytes:  # noqa: FBT001 - what it is about
    return element(BOOLEAN, b"\xff" if value else b"\0")


def ends_refresh(message: bytes, start: int, stop: int) -> bool:
    """Tell whether an intermediate response says that the server has told all that was changed before."""
    value = _sync_info(message, start, stop)
    if value is None or value[0] not in (_REFRESH_DELETE, _REFRESH_PRESENT):
        return False
    start, stop = content(value, 0, len(value), value[0])
    if start < stop and value[start] == OCTET_STRING:
        _, start = content(value, start, stop, OCTET_STRING)
    return start == stop or value[content(value, start, stop, BOOLEAN)[0]] != 0


def tells_of_many(message: bytes, start: int, stop: int) -> bool:
    """Tell whether an intermediate response is about entries that it does not name."""
    value = _sync_info(message, start, stop)
    return value is not None and value[0] == _ID_SET


def _sync_info(message: bytes, start: int, stop: int) -> bytes | None:
    """Return the value of a Sync Info message, None if the response is another."""
    name, value = b"", b""
    while start < stop:
        tag = message[start]
        begin, start = content(message, start, stop, tag)
        if tag == _RESPONSE_NAME:
            name = message[begin:start]
        elif tag == _RESPONSE_VALUE:
            value = message[begin:start]
    return value if name == _SYNC_INFO and value else None


def previous_name(message: bytes, operation_end: int) -> str:
    """Return what the entry was called before the change that this message tells of; empty if as it is called now."""
    if operation_end == len(message):
        return ""
    start, end = content(message, operation_end, len(message), _CONTROLS)
    while start < end:
        inner, start = content(message, start, end, SEQUENCE)
        begin, inner = content(message, inner, start, OCTET_STRING)
        if message[begin:inner] == _ENTRY_CHANGE_NOTIFICATION:
            return _previous_name(message, inner, start)
    return ""


def _previous_name(message: bytes, start: int, stop: int) -> str:
    if start < stop and message[start] == BOOLEAN:
        _, start = content(message, start, stop, BOOLEAN)
    start, stop = content(message, start, stop, OCTET_STRING)
    start, stop = content(message, start, stop, SEQUENCE)
    _, start = content(message, start, stop, ENUMERATED)
    if start == stop or message[start] != OCTET_STRING:
        return ""
    start, stop = content(message, start, stop, OCTET_STRING)
    return message[start:stop].decode("utf-8", "surrogateescape")
