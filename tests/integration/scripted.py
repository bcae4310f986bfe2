"""A store that follows a script, however bad: one thread a connection, plain sockets."""

import socket
import ssl
import threading
from contextlib import contextmanager, suppress

from tests.integration.client import Client

PATIENCE = 120
"""Seconds after which a script gives up, that of a busy machine included; sessions may sit idle meanwhile."""
CAPABILITY = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR ID\r\n"
GREETING = b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR ID] ready\r\n"


@contextmanager
def scripted(address, port, script):
    """Listen, and call ``script`` with a Client for each connection, in a thread; it closes when the script ends."""
    server = socket.create_server((address, port), backlog=512)
    accepting = threading.Thread(target=_accept, args=(server, script), daemon=True)
    accepting.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        accepting.join()
        server.close()


def _accept(server, script):
    with suppress(OSError):  # the listening socket was shut down
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_serve, args=(connection, script), daemon=True).start()


def _serve(connection, script):
    connection.settimeout(PATIENCE)
    client = Client(connection)
    with suppress(OSError):  # whatever the proxy does to us is for the test to judge
        script(client)
    client.connection.close()


def start_tls(client, pair):
    """Do the store's side of a handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    client.connection = context.wrap_socket(client.connection, server_side=True)


def log_in(client, greeting=GREETING, capabilities=b"IMAP4rev1"):
    """Be an orderly store, with these capabilities behind the login, until there is one; return the last command."""
    client.send(greeting)
    while True:
        tag, _, command = client.line().partition(b" ")
        name = command.partition(b" ")[0].upper()
        if name == b"CAPABILITY":
            client.send(CAPABILITY)
        if name in (b"LOGIN", b"AUTHENTICATE"):
            client.send(tag + b" OK [CAPABILITY %b] done\r\n" % capabilities)
            return command
        client.send(tag + b" OK done\r\n")


def orderly(client):
    """Let everybody in, answer every command with OK, and end at LOGOUT."""
    log_in(client)
    while True:
        tag, _, command = client.line().partition(b" ")
        if command.upper() == b"LOGOUT":
            client.send(b"* BYE gone\r\n" + tag + b" OK done\r\n")
            return
        client.send(tag + b" OK done\r\n")
