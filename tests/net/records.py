"""An end of TLS 1.3 that seals each record by itself, so that a test decides what stands in which (RFC 8446).

The standard library shakes hands and tells the secret; from then on it only reads.
"""

import socket
import ssl
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tests.net.turning import Peer, client_context

ALERT, HANDSHAKE, DATA = 21, 22, 23
"""Types of what a record carries (RFC 8446, 5.1)."""
CLOSE_NOTIFY = b"\x01\x00"
"""The alert that says the end (RFC 8446, 6.1)."""
KEY_UPDATE_REQUESTED = b"\x18\x00\x00\x01\x01"
"""The handshake message that announces a new key and wants to be answered by one (RFC 8446, 4.6.3)."""
TICKET = b"\x04\x00\x00\x2d" + bytes(3) + b"\x3c" + bytes(4) + b"\x00" + b"\x00\x20" + bytes(32) + bytes(2)
"""The handshake message that offers a ticket for a minute (RFC 8446, 4.6.1)."""


def derived(secret, label, size):
    """Return HKDF-Expand-Label without a context (RFC 8446, 7.1)."""
    label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
    return HKDFExpand(SHA384(), size, info).derive(secret)


class Sealer:
    """Makes the records that one end sends after the handshake, under TLS_AES_256_GCM_SHA384."""

    def __init__(self, secret):
        self._use(secret)

    def _use(self, secret):
        self._secret, self._sequence = secret, 0
        self._cipher, self._iv = AESGCM(derived(secret, b"key", 32)), derived(secret, b"iv", 12)

    def record(self, content, kind=DATA):
        """Return one record (RFC 8446, 5.2)."""
        header = b"\x17\x03\x03" + (len(content) + 1 + 16).to_bytes(2, "big")
        nonce = int.from_bytes(self._iv, "big") ^ self._sequence
        self._sequence += 1
        return header + self._cipher.encrypt(nonce.to_bytes(12, "big"), content + bytes([kind]), header)

    def key_update(self):
        """Return the record that announces the next key, and use that from now on."""
        sealed = self.record(KEY_UPDATE_REQUESTED, HANDSHAKE)
        self.next_key()
        return sealed

    def next_key(self):
        """Use the next key, which the other end has been told of (RFC 8446, 7.2)."""
        self._use(derived(self._secret, b"traffic upd", 48))


def shake_hands(peer, context=None, *, server_side=False):
    """Do the handshake on a peer's connection; return a Sealer for what it sends from now on, and where to send it."""
    context = context or client_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if server_side:
        context.num_tickets = 0  # they would be records that the Sealer has not counted
    with tempfile.TemporaryDirectory() as folder:
        context.keylog_filename = str(Path(folder, "secrets"))
        peer.start_tls(context, server_side=server_side)
        context.keylog_filename = None
        lines = Path(folder, "secrets").read_text().splitlines()
    assert peer.sock.cipher()[0] == "TLS_AES_256_GCM_SHA384"
    label = "SERVER_TRAFFIC_SECRET_0 " if server_side else "CLIENT_TRAFFIC_SECRET_0 "
    (secret,) = (line.split()[2] for line in lines if line.startswith(label))
    below = socket.socket(fileno=socket.dup(peer.sock.fileno()))
    below.setblocking(False)
    return Sealer(bytes.fromhex(secret)), Peer(peer.turning, below)
