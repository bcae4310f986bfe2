"""People who come, log in and go, all the time."""

import socket
import threading

from tests.integration.people import ALICE
from tests.integration.waiting import until

LOG_IN = b"a LOGIN %b %b" % (ALICE.user.encode(), ALICE.password)


class Visitors:
    """Logs in up to 25 times a second in each of its threads, until told to stop, and counts what becomes of it."""

    def __init__(self, port, threads=4, source="127.0.0.1"):
        self.port = port
        self.source = source
        self.refused, self.cut, self.welcome = [], [], 0
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._visit) for _ in range(threads)]

    def _visit(self):
        while not self._stopping.wait(0.04):
            try:
                connection = socket.create_connection(("127.0.0.1", self.port), 30, (self.source, 0))
            except OSError as error:
                self.refused.append(error)
                continue
            with connection:
                try:
                    connection.sendall(LOG_IN + b"\r\n")
                    heard = b""
                    while b"a OK" not in heard:
                        more = connection.recv(4096)
                        if not more:
                            raise ConnectionError(heard)
                        heard += more
                    self.welcome += 1
                except OSError as error:
                    self.cut.append(error)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        until(lambda: self.welcome > 20, "people log in")
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def more(self, count=40):
        """Wait until so many more have logged in."""
        before = self.welcome
        until(lambda: self.welcome >= before + count, "people log in")
