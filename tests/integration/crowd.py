"""Many clients at once, in one thread: they connect, perhaps say something, and wait."""

import resource
import selectors
import socket
from contextlib import contextmanager, suppress

from tests.integration.waiting import PATIENCE

BATCH = 500
"""Connections begun before the last has been accepted; fewer than a listening socket has waiting."""


def most_descriptors():
    """Let this process have as many descriptors as it may, and return how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


class Crowd:
    """Clients of one port."""

    def __init__(self, port):
        self.address = "127.0.0.1", port
        self.clients = []

    def come(self, count, words=b""):
        """Connect so many more, each of which says this."""
        for number in range(1, count + 1):
            client = socket.create_connection(self.address, timeout=PATIENCE)
            self.clients.append(client)
            client.sendall(words)
            if number % BATCH == 0:
                client.recv(1, socket.MSG_PEEK)  # a greeting, or an answer in TLS

    def come_at_once(self, count, words=b""):
        """The same, but wait for nothing in between."""
        for _ in range(count):
            client = socket.socket()
            self.clients.append(client)
            client.setblocking(False)
            client.connect_ex(self.address)
        for client in self.clients[-count:]:
            client.settimeout(PATIENCE)
            if words:
                client.sendall(words)

    def hear(self, words, clients=None):
        """Read until every client, or each of these, has heard the words; ConnectionError if one is turned out."""
        heard = dict.fromkeys(self.clients if clients is None else clients, b"")
        with selectors.DefaultSelector() as waiting:
            for client in heard:
                waiting.register(client, selectors.EVENT_READ)
            while waiting.get_map():
                ready = waiting.select(PATIENCE)
                assert ready, f"{len(waiting.get_map())} have not heard {words}"
                for key, _ in ready:
                    more = key.fileobj.recv(65536)
                    if not more:
                        raise ConnectionError(f"ended after {heard[key.fileobj]!r}")
                    heard[key.fileobj] += more
                    if words in heard[key.fileobj]:
                        waiting.unregister(key.fileobj)

    def await_ends(self):
        """Wait until all have been turned out, and go."""
        for client in self.clients:
            client.settimeout(PATIENCE)
            with suppress(ConnectionError):
                while client.recv(65536):
                    pass
        self.leave()

    def leave(self, count=None):
        """Let the first so many go, or all."""
        gone, self.clients = self.clients[:count], self.clients[len(self.clients) if count is None else count :]
        for client in gone:
            client.close()


@contextmanager
def crowd(port):
    """Return an empty crowd, which is gone at the end."""
    made = Crowd(port)
    try:
        yield made
    finally:
        made.leave()
