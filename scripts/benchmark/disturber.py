"""A program that disturbs a proxy while others log in: ``disturber.py WAY CLEAR IMPLICIT STORE``, until it is ended.

WAY   silent          10,000 clients connect, 1,000 a second, and say nothing
      half-handshakes 2,000 connect likewise, and send the first flight of a TLS handshake and nothing more
      dribbling       1,000 clients send a line that has no end, each one octet a second
      never-reading   16 clients ask for a GB each, and read nothing of it
      small-records   16 clients send NOOPs in TLS records of one octet, 4,000 records a second in all
      stopped-store   a store that takes connections and answers nothing, as one does that was stopped, and 50 logins a
                      second of a user whose mail is there

CLEAR and IMPLICIT are the proxy's ports; a stopped store is at port STORE of 127.0.0.2. Prints `ready` when it begins.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator

SILENT, HALF, DRIBBLING, NOT_READING = 10_000, 2000, 1000, 16
PATIENCE = 20.0


def by_the_clock(rate: float) -> Iterator[int]:
    """Count from 0, so many a second, catching up when late."""
    begun = time.monotonic()
    for number in itertools.count():
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        yield number


def connect(port: int) -> socket.socket:
    """Connect to the proxy."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def sit_there(port: int, count: int, words: bytes) -> None:
    """Have many clients connect and say the same."""
    clients = []
    for number in by_the_clock(1000):
        if number == count:
            break
        clients.append(connect(port))
        clients[-1].sendall(words)
    time.sleep(3600)


def insecure() -> ssl.SSLContext:
    """Return a context that takes the benchmark's own certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def first_flight() -> bytes:
    """Return what a TLS client says first."""
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        insecure().wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()


def log_in(connection: socket.socket, user: str) -> None:
    """Log in, and be logged in."""
    connection.sendall(f"a LOGIN {user} secret\r\n".encode())
    heard = b""
    while b"a OK" not in heard:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError(heard)
        heard += more


def dribbling(port: int) -> None:
    """Have many clients send a line, octet by octet."""
    clients = [connect(port) for _ in range(DRIBBLING)]
    for number in by_the_clock(DRIBBLING):
        with contextlib.suppress(ConnectionError):  # a proxy need not wait for ever
            clients[number % DRIBBLING].sendall(b"x")


def never_reading(port: int) -> None:
    """Have a few clients ask for a lot and read nothing."""
    clients = [connect(port) for _ in range(NOT_READING)]
    for number, client in enumerate(clients):
        log_in(client, f"u{number}")
        client.sendall(b"b BULK 1000000000\r\n")
    time.sleep(3600)


def small_records(port: int) -> None:
    """Have a few clients dribble commands, and read what is answered."""
    clients = [insecure().wrap_socket(connect(port)) for _ in range(16)]
    for number, client in enumerate(clients):
        log_in(client, f"u{number}")
        client.setblocking(False)  # noqa: FBT003 - the standard library's signature
    words = b"n NOOP\r\n"
    for number in by_the_clock(4000):
        turn, which = divmod(number, len(clients))
        with contextlib.suppress(ssl.SSLWantWriteError):
            clients[which].send(words[turn % len(words) :][:1])
        with contextlib.suppress(ssl.SSLWantReadError):
            clients[which].recv(65536)


def stopped_store(port: int, store: int) -> None:
    """Have a user log in again and again whose store answers nothing."""
    listening = socket.create_server(("127.0.0.2", store), backlog=4096)
    clients = []
    for _ in by_the_clock(50):
        clients.append(connect(port))
        clients[-1].sendall(b"a LOGIN away secret\r\n")
    listening.close()


def main() -> None:
    """Disturb."""
    way, (clear, implicit, store) = sys.argv[1], map(int, sys.argv[2:])
    ways: dict[str, Callable[[], None]] = {
        "silent": lambda: sit_there(clear, SILENT, b""),
        "half-handshakes": lambda: sit_there(implicit, HALF, first_flight()),
        "dribbling": lambda: dribbling(clear),
        "never-reading": lambda: never_reading(clear),
        "small-records": lambda: small_records(implicit),
        "stopped-store": lambda: stopped_store(clear, store),
    }
    print("ready", flush=True)
    ways[way]()


if __name__ == "__main__":
    main()
