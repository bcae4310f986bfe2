"""Stands between the proxy and a server, and passes on what the server says only after a while."""

import socket
import threading
import time
from contextlib import contextmanager, suppress


class Delay:
    """Seconds that each answer takes, in however many pieces; one under way when they change is not hurried."""

    def __init__(self):
        self.seconds = 0.0

    def serve(self, client, server):
        """Join two connections until either ends."""
        back = threading.Thread(target=self._copy, args=(server, client, True), daemon=True)
        back.start()
        self._copy(client, server, late=False)
        back.join()

    def _copy(self, source, target, late):
        with suppress(OSError):
            while octets := source.recv(65536):
                if late:
                    time.sleep(self.seconds)
                    octets += _rest(source)
                target.sendall(octets)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _rest(source):
    """Return what else has come meanwhile."""
    try:
        return source.recv(65536, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


@contextmanager
def delaying(port):
    """Listen in front of a port of this machine; yield the port to use, and the delay, which begins at none."""
    delay, listening = Delay(), socket.create_server(("127.0.0.1", 0))

    def accept():
        with suppress(OSError):  # the listening socket was shut down
            while True:
                client, _ = listening.accept()
                threading.Thread(target=join, args=(client,), daemon=True).start()

    def join(client):
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", port)) as server:
            delay.serve(client, server)

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listening.getsockname()[1], delay
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        accepting.join()
        listening.close()
