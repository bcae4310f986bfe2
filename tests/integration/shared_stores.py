"""Real servers of Redis and memcached on loopback, which can be killed, stopped and started again."""

import os
import re
import signal
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

from tests.integration.waiting import until

ADDRESS = "127.0.0.1"
_NUMBERS = {
    "redis": (b"HVALS %b\r\n", rb"(?m)^(\d+) [\d.]+\r$"),
    "memcached": (b"get %b\r\n", rb"\[(\d+),"),
}
"""By scheme: how one asks for the numbers that hosts have under a key, and what each looks like in the answer."""


@define
class Server:
    """A server on a port, which keeps nothing over its end; ``words`` is what it answers to ``question``, if any."""

    command: list
    port: int
    log: Path
    scheme: str
    question: bytes
    words: bytes
    process: subprocess.Popen = field(default=None, init=False)

    @property
    def url(self):
        return f"{self.scheme}://{ADDRESS}:{self.port}"

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until(self._answers, f"{self.command[0]} answers: {self.log}")

    def _answers(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.words in self._say(self.question)
        except OSError:
            return False

    def _say(self, question):
        with socket.create_connection((ADDRESS, self.port), 1) as connection:
            connection.sendall(question)
            return connection.recv(1000) if question else b""

    def held(self, key):
        """Return how many slots all hosts together have written under a key."""
        question, number = _NUMBERS[self.scheme]
        return sum(map(int, re.findall(number, self._say(question % key))))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Have it answer nothing, while its connections stay."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.process.pid, signal.SIGCONT)


@contextmanager
def redis(port, *options):
    """Run Redis; options are those of its command line."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--bind", ADDRESS, "--port", str(port), "--save", "", "--dir", folder, *options]
        with _running(Server(command, port, Path(folder, "log"), "redis", b"PING\r\n", b"")) as server:
            yield server


@contextmanager
def redis_in_tls(port, pair):
    """Run Redis, which speaks in TLS alone and shows this certificate."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--bind", ADDRESS, "--port", "0", "--save", "", "--dir", folder]
        command += ["--tls-port", str(port), "--tls-auth-clients", "no"]
        command += ["--tls-cert-file", str(pair.certificate), "--tls-key-file", str(pair.key)]
        with _running(Server(command, port, Path(folder, "log"), "rediss", b"", b"")) as server:
            yield server


@contextmanager
def memcached(port):
    """Run memcached."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["memcached", "-l", ADDRESS, "-p", str(port), "-U", "0", "-u", "nobody", "-m", "16"]
        with _running(Server(command, port, Path(folder, "log"), "memcached", b"version\r\n", b"VERSION")) as server:
            yield server


@contextmanager
def _running(server):
    server.start()
    try:
        yield server
    finally:
        server.kill()
