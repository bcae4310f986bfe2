"""What no library sends before a handshake: record by record, from a socket in clear, to a listener that waits for TLS.

What OpenSSL cannot go on from ends the connection at once, and what it can, at the deadline.
"""

import pytest

from tests.net.listener import LOGIN, client_hello, under_tls
from tests.net.records import ALERT, DATA, HANDSHAKE
from tests.net.turning import client_context

MOST = 2**14 + 256
"""The longest record that may come in clear or sealed (RFC 8446, 5.2)."""
MOST_EXTENSIONS = 2**16 - 1
"""The most that the extensions of a hello may be (RFC 8446, 4.1.2)."""
UNKNOWN_EXTENSION = b"\xfe\xfe"
CHANGE_CIPHER_SPEC = 20
"""A type of records, which begins no connection (RFC 8446, 5)."""
NO_RENEGOTIATION = b"\x01\x64"
"""A warning (RFC 5246, 7.2)."""


def somebody_else_logs_in(scene):
    peer = under_tls(scene)
    peer.start_tls(client_context())
    assert peer.receive(5) == b"* OK "
    peer.send(LOGIN)
    scene.turning.until(lambda: scene.attempts)
    peer.close()


def record(kind, content):
    """Return one record (RFC 8446, 5.1)."""
    return bytes([kind]) + b"\x03\x01" + len(content).to_bytes(2, "big") + content


def large_hello(size):
    """Return a ClientHello whose extensions have this size, as one is added that nobody knows (RFC 8446, 4.1.2)."""
    hello = client_hello()[5 + 4 :]  # behind the headers of the record and of the message
    start = 2 + 32  # behind the version and the random octets
    for width in (1, 2, 1):  # the session, the suites, the compressions
        start += width + int.from_bytes(hello[start : start + width], "big")
    known = hello[start + 2 :]
    filling = size - len(known) - 4
    extensions = known + UNKNOWN_EXTENSION + filling.to_bytes(2, "big") + bytes(filling)
    body = hello[:start] + size.to_bytes(2, "big") + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"".join(record(HANDSHAKE, message[at : at + 2**14]) for at in range(0, len(message), 2**14))


NO_GOOD = {
    "an unknown type": record(99, bytes(50)),
    "data": record(DATA, bytes(50)),
    "too long": record(HANDSHAKE, b"\x01\x00\xff\xff" + bytes(MOST - 3)),
    "empty": record(HANDSHAKE, b"") * 1000,
    "a flood of warnings": record(ALERT, NO_RENEGOTIATION) * 1000,
    "warnings, then a hello": record(ALERT, NO_RENEGOTIATION) * 1000 + client_hello(),
    "a change of ciphers": record(CHANGE_CIPHER_SPEC, b"\x01"),
    "a change of ciphers, then a hello": record(CHANGE_CIPHER_SPEC, b"\x01") + client_hello(),
}


@pytest.mark.parametrize("octets", NO_GOOD.values(), ids=NO_GOOD)
def test_records_that_begin_no_handshake_end_the_connection_before_the_deadline(scene, octets):
    peer = under_tls(scene)
    peer.send(octets)
    (closed,) = scene.closed()
    assert (closed["who"], closed["why"].partition(":")[0]) == ("client", "TLS handshake failed")
    peer.close()
    somebody_else_logs_in(scene)


def test_a_hello_of_64_kib_of_extensions_is_answered_and_its_sender_has_until_the_deadline(scene, clock):
    peer = under_tls(scene)
    peer.send(large_hello(MOST_EXTENSIONS))
    assert peer.receive(1) == bytes([HANDSHAKE])
    while not scene.log.named("closed"):
        clock.tick()
    assert scene.closed()[0]["why"] == "login deadline"
    peer.close()
    somebody_else_logs_in(scene)


def test_a_hello_that_says_it_is_longer_than_any_ends_the_connection_at_once(scene):
    peer = under_tls(scene)
    peer.send(record(HANDSHAKE, b"\x01\xff\xff\xff\x03\x03" + bytes(500)))
    (closed,) = scene.closed()
    assert closed["why"] == "TLS handshake failed: excessive message size"
    peer.close()
    somebody_else_logs_in(scene)
