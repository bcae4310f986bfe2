"""A mail client that says exactly what a test wants said."""

import socket
import ssl
from contextlib import contextmanager

PATIENCE = 30


class Client:
    """One connection to the proxy, spoken to in octets."""

    def __init__(self, connection):
        self.connection = connection
        self.received = b""

    def send(self, octets):
        """Send octets as they are."""
        self.connection.sendall(octets)

    def line(self):
        """Return the next line, without its end; ConnectionError if the connection ends before it."""
        return self.until(b"\r\n").removesuffix(b"\r\n")

    def until(self, end):
        """Return all that comes up to and with ``end``."""
        while end not in self.received:
            if not (more := self.connection.recv(65536)):
                raise ConnectionError(f"ended after {self.received!r}")
            self.received += more
        before, found, self.received = self.received.partition(end)
        return before + found

    def exactly(self, size):
        """Return this many octets."""
        while len(self.received) < size:
            if not (more := self.connection.recv(65536)):
                raise ConnectionError(f"ended after {self.received!r}")
            self.received += more
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    def command(self, octets):
        """Send a command, whose tag is its first word; return the lines of the answer, the tagged one last."""
        self.send(octets + b"\r\n")
        return self.answer(octets.partition(b" ")[0])

    def answer(self, tag):
        """Return the lines up to and with the tagged one."""
        lines = [self.line()]
        while not lines[-1].startswith(tag + b" "):
            lines.append(self.line())
        return lines

    def rest(self):
        """Return all that comes until the connection ends, in order or by a reset."""
        try:
            while more := self.connection.recv(65536):
                self.received += more
        except (ConnectionError, ssl.SSLError):
            pass
        rest, self.received = self.received, b""
        return rest

    def start_tls(self, ca, name="localhost"):
        """Do the handshake on this connection."""
        self.connection = ssl.create_default_context(cafile=ca).wrap_socket(self.connection, server_hostname=name)


@contextmanager
def connected(address, port, ca=None, greeting=True, source=None):
    """Connect, from a ``source`` address if there is one, with TLS if there is a ``ca`` to trust; read the greeting."""
    connection = socket.create_connection((address, port), PATIENCE, source and (source, 0))
    client = Client(connection)
    try:
        if ca:
            client.start_tls(ca)
        if greeting:
            assert client.line().startswith(b"* OK ")
        yield client
    finally:
        client.connection.close()
