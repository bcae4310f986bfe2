"""The PROXY protocol, both directions: whom a connection is made for, said before anything else on it.

HAProxy's specification 'The PROXY protocol, versions 1 & 2', 2.1 and 2.2.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from attrs import frozen

from mmp.errors import RemoteProtocolError
from mmp.model import CLEAR, Endpoint, Security

Address = IPv4Address | IPv6Address

LIMIT: Final = 4096
"""Octets in a header of version 2, which could say 65,551; nginx has the same limit."""
V1_LIMIT: Final = 107
"""Octets in a header of version 1, by the specification."""

_V1: Final = b"PROXY "
_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V1_LINE: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?"
    rb"|TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4}))\r\n"
)
_KINDS: Final[Mapping[bytes, type[Address]]] = {b"4": IPv4Address, b"6": IPv6Address}
_HIGHEST_PORT: Final = 0xFFFF

_START: Final = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_FAMILIES, _PROTOCOLS = range(4), range(3)
_TCP4, _TCP6 = 0x11, 0x21
_ADDRESSES: Final = {_TCP4: struct.Struct("!4s4sHH"), _TCP6: struct.Struct("!16s16sHH")}
_MAPPED: Final = bytes(10) + b"\xff\xff"

_TLV: Final = struct.Struct("!BH")
_ALPN, _AUTHORITY, _UNIQUE_ID, _SSL, _SSL_VERSION, _SSL_CIPHER = 0x01, 0x02, 0x05, 0x20, 0x21, 0x23
_SSL_START: Final = struct.Struct("!BI")
_CLIENT_SSL: Final = 0x01
_NOT_VERIFIED: Final = 1
"""The client has shown no certificate, or none that was verified."""


@frozen
class Header:
    """Where a client came from, where it arrived, and what else the sender knows of its connection.

    ``unique_id`` is the sender's name for it; ``authority`` the server's name and ``alpn`` the protocol that the client
    asked for. Version 1 has room for the addresses alone.
    """

    source: Endpoint
    destination: Endpoint
    security: Security = CLEAR
    unique_id: bytes = b""
    authority: bytes = b""
    alpn: bytes = b""


def size(octets: bytes) -> int | None:
    """Return how long the header is that begins so; None if that is not known yet, and then it has all these octets.

    RemoteProtocolError as soon as it cannot become a header, or is longer than allowed.
    """
    if octets[: len(_V1)] == _V1[: len(octets)]:
        return _v1_size(octets)
    if octets[: len(_V2)] == _V2[: len(octets)]:
        return _v2_size(octets)
    raise RemoteProtocolError("no PROXY header")


def parse(octets: bytes) -> Header | None:
    """Read a header, no longer or shorter than ``size`` says.

    None if the connection is the sender's own, such as a health check, or the client has no address that we could use:
    then the connection's own addresses count. RemoteProtocolError if the header is malformed.
    """
    return _parse_v2(octets) if octets.startswith(_V2) else _parse_v1(octets)


def render_v1(header: Header) -> bytes:
    """Return a header of version 1."""
    source, destination = _of_one_family(header)
    ports = f"{header.source.port} {header.destination.port}"
    return f"PROXY TCP{source.version} {source} {destination} {ports}\r\n".encode()


def render_v2(header: Header) -> bytes:
    """Return a header of version 2, with a TLV for all that is known."""
    source, destination = _of_one_family(header)
    family = _TCP4 if isinstance(source, IPv4Address) else _TCP6
    texts = {_ALPN: header.alpn, _AUTHORITY: header.authority, _UNIQUE_ID: header.unique_id}
    content = b"".join(
        (
            _ADDRESSES[family].pack(source.packed, destination.packed, header.source.port, header.destination.port),
            *(_tlv(kind, text) for kind, text in texts.items() if text),
            _render_security(header.security),
        )
    )
    return _START.pack(_V2, _PROXY, family, len(content)) + content


# Version 1


def _v1_size(octets: bytes) -> int | None:
    end = octets.find(b"\r\n", 0, V1_LIMIT)
    if end >= 0:
        return end + 2
    if len(octets) >= V1_LIMIT:
        raise RemoteProtocolError(f"a PROXY header of version 1 without an end within {V1_LIMIT} octets")
    return None


def _parse_v1(octets: bytes) -> Header | None:
    match = _V1_LINE.fullmatch(octets)
    if match is None:
        raise RemoteProtocolError("a malformed PROXY header of version 1")
    family, source, destination, source_port, destination_port = match.groups()
    if family is None:
        return None
    try:
        return Header(_v1_endpoint(family, source, source_port), _v1_endpoint(family, destination, destination_port))
    except ValueError:
        raise RemoteProtocolError("a PROXY header of version 1 with a wrong address or port") from None


def _v1_endpoint(family: bytes, address: bytes, port: bytes) -> Endpoint:
    if int(port) > _HIGHEST_PORT:
        raise ValueError(port)
    return _endpoint(_KINDS[family](address.decode()), int(port))


# Version 2


def _v2_size(octets: bytes) -> int | None:
    if len(octets) < _START.size:
        return None
    whole = _START.size + int.from_bytes(octets[_START.size - 2 : _START.size])
    if whole > LIMIT:
        raise RemoteProtocolError(f"a PROXY header of {whole} octets, more than {LIMIT}")
    return whole


def _parse_v2(octets: bytes) -> Header | None:
    _, command, transport, _ = _START.unpack_from(octets)
    if command == _LOCAL:
        return None
    family, protocol = divmod(transport, 16)
    if command != _PROXY or family not in _FAMILIES or protocol not in _PROTOCOLS:
        raise RemoteProtocolError(f"a PROXY header with the unknown command or family {command:02x} {transport:02x}")
    addresses = _ADDRESSES.get(transport)
    if addresses is None:  # UNIX, or datagrams, or unspecified
        return None
    if len(octets) < _START.size + addresses.size:
        raise RemoteProtocolError("a PROXY header too short for its addresses")
    source, destination, source_port, destination_port = addresses.unpack_from(octets, _START.size)
    known = _tlvs(octets[_START.size + addresses.size :])
    return Header(
        _endpoint(ip_address(source), source_port),
        _endpoint(ip_address(destination), destination_port),
        _parse_security(known.get(_SSL)),
        known.get(_UNIQUE_ID, b""),
        known.get(_AUTHORITY, b""),
        known.get(_ALPN, b""),
    )


def _parse_security(octets: bytes | None) -> Security:
    if octets is None:
        return CLEAR
    if len(octets) < _SSL_START.size:
        raise RemoteProtocolError("a PROXY header whose TLS facts are cut short")
    client, _ = _SSL_START.unpack_from(octets)
    known = _tlvs(octets[_SSL_START.size :])
    if not client & _CLIENT_SSL:
        return CLEAR
    version, cipher = (known.get(kind, b"").decode("ascii", "backslashreplace") for kind in (_SSL_VERSION, _SSL_CIPHER))
    return Security(version, cipher)


def _render_security(security: Security) -> bytes:
    if not security.encrypted:
        return b""
    facts = _tlv(_SSL_VERSION, security.version.encode()) + _tlv(_SSL_CIPHER, security.cipher.encode())
    return _tlv(_SSL, _SSL_START.pack(_CLIENT_SSL, _NOT_VERIFIED) + facts)


def _tlvs(octets: bytes) -> Mapping[int, bytes]:
    """Return values by their types; of those given twice, the last."""
    found, start = {}, 0
    while start < len(octets):
        if len(octets) - start < _TLV.size:
            raise RemoteProtocolError("a PROXY header with a TLV cut short")
        kind, length = _TLV.unpack_from(octets, start)
        start += _TLV.size
        if length > len(octets) - start:
            raise RemoteProtocolError("a PROXY header with a TLV longer than itself")
        found[kind] = octets[start : start + length]
        start += length
    return found


def _tlv(kind: int, octets: bytes) -> bytes:
    return _TLV.pack(kind, len(octets)) + octets


# Addresses


def _endpoint(address: Address, port: int) -> Endpoint:
    """Return it as accepted connections are shown: an IPv4 client at an IPv6 socket as IPv4."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return Endpoint(str(mapped or address), port)


def _of_one_family(header: Header) -> tuple[Address, Address]:
    """Return both addresses, in IPv6 if either is; a zone means nothing to others."""
    source, destination = (ip_address(end.host.partition("%")[0]) for end in (header.source, header.destination))
    if source.version == destination.version:
        return source, destination
    return _in_ipv6(source), _in_ipv6(destination)


def _in_ipv6(address: Address) -> IPv6Address:
    return address if isinstance(address, IPv6Address) else IPv6Address(_MAPPED + address.packed)
