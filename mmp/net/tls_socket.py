"""TLS on the socket itself, behind the few methods of a socket that streams and relays use.

The only file that looks below pyOpenSSL's public names: after the handshake a ``Connection`` object would only cost
memory (8 kB a session) and time, so just the SSL structure is kept.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import Any, NoReturn

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from mmp.model import Security

RECORD = 16384
"""The most plaintext that one record carries (RFC 8446, 5.1). A read with that much room leaves nothing decrypted
behind in the SSL structure, where epoll would not see it."""


class WantRead(BlockingIOError):  # noqa: N818 - not an error, like its parent
    """The operation goes on when the socket is readable."""


class WantWrite(BlockingIOError):  # noqa: N818 - likewise
    """The operation goes on when the socket is writable."""


class TLSError(ConnectionError):
    """The handshake failed or the record layer broke; the text is OpenSSL's reason."""


class TLSSocket:
    """A non-blocking socket under TLS; ``connection`` must be made on it and told which side it plays.

    ``recv_into``, ``send`` and ``shutdown`` behave as a socket's, except that the BlockingIOError that they raise is
    WantRead or WantWrite.
    """

    __slots__ = ("_connection", "_context", "_socket", "_ssl", "fileno")
    _context: SSL.Context

    def __init__(self, plain: socket.socket, connection: SSL.Connection) -> None:
        self._socket = plain
        self._connection: SSL.Connection | None = connection
        self._ssl: Any = connection._ssl  # noqa: SLF001 - see the module's first lines
        self.fileno = plain.fileno
        """Returns the descriptor, -1 once closed."""

    def do_handshake(self) -> SSL.Connection:
        """Go on with the handshake; return the connection, for a last look at it, once it is complete."""
        connection = self._connection
        assert connection is not None, "the handshake is over"  # noqa: S101 - a bug of ours
        result = lib.SSL_do_handshake(self._ssl)
        if result <= 0:
            self._explain(connection, result)
        self._context = connection.get_context()  # kept: OpenSSL may still call what it holds
        self._connection = None
        return connection

    def _explain(self, connection: SSL.Connection, result: int) -> NoReturn:
        """Raise what a handshake waits for, which every one does, or what pyOpenSSL makes of its failure."""
        error = lib.SSL_get_error(self._ssl, result)
        if error == SSL_WANT_READ:
            raise WantRead
        if error == SSL_WANT_WRITE:
            raise WantWrite
        try:
            connection._raise_ssl_error(self._ssl, result)  # noqa: SLF001 - it knows what our callbacks have raised
        except SSL.SysCallError as broken:
            raise TLSError(f"TLS handshake failed: {broken.args[-1]}") from None
        except SSL.Error as failed:
            raise TLSError(f"TLS handshake failed: {_reason(failed)}{self._why_untrusted()}") from None
        raise TLSError("TLS handshake failed")

    def _why_untrusted(self) -> str:
        """Return what is wrong with the other end's certificate, to be put behind the reason; empty if nothing is."""
        number = lib.SSL_get_verify_result(self._ssl)
        return f" ({distrust(number)})" if number else ""

    def recv_into(self, buffer: memoryview) -> int:
        """Read into ``buffer`` (64 KiB or more); 0 after the other end's close alert."""
        got = _read_records(self._ssl, ffi.from_buffer(buffer), len(buffer))
        return got if got > 0 else self._nothing(got)

    def send(self, octets: bytes | bytearray | memoryview) -> int:
        """Write what the socket takes now and return how much that was."""
        written = lib.SSL_write(self._ssl, ffi.from_buffer(octets), len(octets))
        if written > 0:
            return int(written)
        return self._nothing(written)

    def shutdown(self, how: int) -> None:
        """Send the close alert, then FIN; only ``SHUT_WR`` makes sense here."""
        self.say_end()
        self._socket.shutdown(how)

    def say_end(self) -> None:
        """Send the close alert (RFC 8446, 6.1)."""
        if lib.SSL_shutdown(self._ssl) < 0:
            self._nothing(-1)

    def _nothing(self, result: int) -> int:
        """Return 0 for a close alert, else raise what the failed call means."""
        error = lib.SSL_get_error(self._ssl, result)
        if error == SSL_WANT_READ:
            raise WantRead
        if error == SSL_WANT_WRITE:
            raise WantWrite
        if error == SSL_ZERO_RETURN:
            return 0
        text = lib.ERR_reason_error_string(lib.ERR_peek_error())
        lib.ERR_clear_error()  # whatever is raised: another connection must not find it
        reason = ffi.string(text).decode() if text else ""
        if error == SSL_SYSCALL and not reason:
            raise ConnectionResetError("connection lost")
        raise TLSError(reason or "TLS failed")

    def session(self) -> SSL.Session | None:
        """Return what another connection to the same host may resume; with TLS 1.3 only once something was read."""
        session = lib.SSL_get1_session(self._ssl)
        if session == ffi.NULL:
            return None
        held: SSL.Session = SSL.Session.__new__(SSL.Session)
        held._session = ffi.gc(session, lib.SSL_SESSION_free)  # noqa: SLF001 - as pyOpenSSL's own connections do it
        held._context = self._context  # noqa: SLF001 - likewise
        return held

    def getpeername(self) -> tuple[str, int]:
        """Return the address of the other end, as sockets do."""
        address: tuple[str, int] = self._socket.getpeername()
        return address

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        """Set an option of the socket."""
        self._socket.setsockopt(level, option, value)

    def close(self) -> None:
        """Close the socket, without any more said."""
        self._socket.close()


SSL_WANT_READ = lib.SSL_ERROR_WANT_READ
SSL_WANT_WRITE = lib.SSL_ERROR_WANT_WRITE
SSL_ZERO_RETURN = lib.SSL_ERROR_ZERO_RETURN
SSL_SYSCALL = lib.SSL_ERROR_SYSCALL


def _read_records(ssl: Any, start: Any, room: int) -> int:
    """Return how many bytes were read to ``start``, or what SSL_read returned if it read none.

    As long as full records come, go on: a bulk transfer then costs one pass through Python for four of them. A function
    of its own, which raises nothing: cffi crashes when the collector finds a ``from_buffer`` in a traceback's frame.
    """
    got: int = 0
    while True:
        read: int = lib.SSL_read(ssl, start + got, room - got)
        if read <= 0:
            if not got:
                return read
            lib.ERR_clear_error()  # whatever it was, the next read meets it again
            return got
        got += read
        if read < RECORD or room - got < RECORD:
            return got


def security_of(connection: SSL.Connection) -> Security:
    """Return what was negotiated on a connection whose handshake is complete."""
    ssl = connection._ssl  # noqa: SLF001 - see the module's first lines
    return _security(lib.SSL_get_version(ssl), lib.SSL_get_current_cipher(ssl), bool(lib.SSL_session_reused(ssl)))


@lru_cache(64)
def _security(version: Any, cipher: Any, resumed: bool) -> Security:  # noqa: FBT001 - what it is
    """Return it, nearly always what was made for another connection, in place of a dozen calls.

    OpenSSL keeps each name and each cipher in one place for ever, which is what cffi compares.
    """
    return Security(
        version=ffi.string(version).decode(),
        cipher=ffi.string(lib.SSL_CIPHER_get_name(cipher)).decode(),
        bits=lib.SSL_CIPHER_get_bits(cipher, ffi.NULL),
        resumed=resumed,
    )


def distrust(number: int) -> str:
    """Return OpenSSL's words for why a certificate was not trusted."""
    text: str = ffi.string(lib.X509_verify_cert_error_string(number)).decode()
    return text


def _reason(error: SSL.Error) -> str:
    """Return OpenSSL's words for an error, without its library and function names."""
    queue = error.args[0] if error.args else ()
    return "; ".join(str(entry[-1]) for entry in queue) if isinstance(queue, list) and queue else "TLS failed"
