"""The little of HTTP/1.1 that a question with an answer in its header takes (RFC 9110, 5; RFC 9112, 2 to 6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import field, frozen

from mmp.errors import RemoteProtocolError
from mmp.wire.buffer import Buffer

_LONGEST_LINE: Final = 8192
_MOST_FIELDS: Final = 100
_LONGEST_BODY: Final = 65536
_STATUS_DIGITS: Final = 3
_INFORMATIONAL: Final = range(100, 200)
_WITHOUT_BODY: Final = frozenset({204, 304})


@frozen
class Response:
    """What was answered, with a body if its length was told.

    Of a field that came more than once the first value, by lower-case name.

    ``reusable``: whether the connection may be asked again.
    """

    status: int
    fields: Mapping[str, bytes] = field(repr=False)
    reusable: bool
    body: bytes = field(default=b"", repr=False)


def get(target: str, host: str, fields: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a request; no value may have a control character in it."""
    lines = [f"GET {target} HTTP/1.1".encode(), b"Host: " + host.encode()]
    lines += [name.encode() + b": " + value for name, value in fields]
    if any(octet < 0x20 or octet == 0x7F for line in lines for octet in line):  # noqa: PLR2004 - what ASCII calls control
        raise ValueError("a field has a control character")
    return b"\r\n".join(lines) + b"\r\n\r\n"


def post(target: str, host: str, fields: Iterable[tuple[str, bytes]], body: bytes) -> bytes:
    """Return a request with a body; no value may have a control character in it."""
    request = get(target, host, [*fields, ("Content-Length", b"%d" % len(body))])
    return b"POST" + request.removeprefix(b"GET") + body


class ResponseReader:
    """Reads one response; where the length of its body is not told, the connection is of no more use."""

    def __init__(self) -> None:
        self._buffer = Buffer()
        self._status = 0
        self._version = b""
        self._fields: dict[str, bytes] = {}
        self._body: int | None = None

    def feed(self, octets: bytes) -> Response | None:
        """Take in what was received, and return the response once it is there; RemoteProtocolError if it is none."""
        self._buffer.feed(octets)
        while self._body is None:
            line = self._buffer.line(_LONGEST_LINE)
            if line is None:
                return None
            self._take(line.removesuffix(b"\n").removesuffix(b"\r"))
        body = self._buffer.take(self._body) if self._body else b""
        if body is None:
            return None
        return Response(self._status, self._fields, self._reusable(), body)

    def _take(self, line: bytes) -> None:
        if not self._status:
            self._take_status(line)
        elif line:
            self._take_field(line)
        elif self._status in _INFORMATIONAL:
            self._status = 0
            self._fields.clear()
        else:
            self._body = self._length()

    def _take_status(self, line: bytes) -> None:
        version, _, rest = line.partition(b" ")
        code = rest[:_STATUS_DIGITS]
        if version not in {b"HTTP/1.0", b"HTTP/1.1"} or not code.isdigit() or len(code) != _STATUS_DIGITS:
            raise RemoteProtocolError("no status line")
        self._version, self._status = version, int(code)

    def _take_field(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip() or len(self._fields) >= _MOST_FIELDS:
            raise RemoteProtocolError("no header field")
        self._fields.setdefault(name.decode("latin-1").lower(), value.strip(b" \t"))

    def _length(self) -> int:
        text = self._fields.get("content-length", b"0")
        if self._status in _WITHOUT_BODY or "transfer-encoding" in self._fields:
            return 0
        if not text.isdigit() or len(text) > len(str(_LONGEST_BODY)) or int(text) > _LONGEST_BODY:
            raise RemoteProtocolError("a body that is too long")
        return int(text)

    def _reusable(self) -> bool:
        told = self._status in _WITHOUT_BODY or "content-length" in self._fields
        kept = self._version == b"HTTP/1.1" and b"close" not in self._fields.get("connection", b"").lower()
        return told and kept and "transfer-encoding" not in self._fields and not len(self._buffer)
