"""The proxy as operators run it: `twistd` as a subprocess, with a configuration file of its own."""

import os
import signal
import subprocess
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

from tests.integration import processes
from tests.integration.toml import document
from tests.integration.waiting import PATIENCE, until

CHECKOUT = Path(__file__).parents[2]
MARK = "MMP_TEST_MARK"
TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--nodaemon", "--pidfile="]


def environment(mark, code=CHECKOUT):
    """Return the environment in which the checkout, or a copy of it, runs uninstalled."""
    paths = f"{code / 'plugins'}{os.pathsep}{code}"
    return os.environ | {"PYTHONPATH": paths, MARK: mark}


@define(kw_only=True)
class Proxy:
    """A proxy that may have been started, with all that is known of it from outside."""

    directory: Path
    settings: dict
    code: Path = CHECKOUT
    process: subprocess.Popen = None
    mark: str = field(factory=lambda: uuid.uuid4().hex)

    @property
    def configuration(self):
        """The path of its configuration file."""
        return self.directory / "mmp.toml"

    @property
    def ports(self):
        """Where it listens."""
        return {listener["port"] for listener in self.settings["listener"]}

    def port(self, tls, address="127.0.0.1", service=None):
        """Return the port of the listener that has this TLS mode and address, and this service if one is named."""
        (found,) = (
            listener["port"]
            for listener in self.settings["listener"]
            if listener["tls"] == tls and listener["address"] == address and service in {None, listener["service"]}
        )
        return found

    def write(self):
        """Write its configuration file."""
        self.configuration.write_text(document(self.settings))

    def start(self):
        """Run it and wait until clients are served on every listener."""
        self.write()
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*TWISTD, "mmp", "--config", self.configuration],
                cwd=self.directory,
                env=environment(self.mark, self.code),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(lambda: self.process.poll() is not None or self._serves(), f"the proxy serves\n{self.log()}")
        assert self.process.poll() is None, self.log()

    def log(self):
        """Return all that it has logged so far."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def logged(self, *words, after=0, patience=PATIENCE):
        """Wait for a log line that has all of these words, and return it; ``after`` skips so many characters."""

        def found():
            lines = self.log()[after:].splitlines()
            return next((line for line in lines if all(word in line for word in words)), None)

        return until(found, f"a line with {words} in the log:\n{self.log()[after:]}", patience)

    def pids(self):
        """Return the ids of all of its living processes, also of those that have lost their parent."""
        return processes.with_variable(MARK, self.mark)

    def zygote(self):
        """Return the id of the process that forks workers."""
        return until(lambda: next(iter(self._children({self.process.pid})), None), "there is a zygote")

    def workers(self):
        """Return the ids of the zygote's children."""
        return self._children(self._children({self.process.pid}))

    def listeners(self):
        """Return the processes that hold one of its listening sockets open."""
        inodes = {inode for port in self.ports for inode in processes.listening_inodes(port)}
        return {pid for pid in self.pids() if inodes & processes.descriptors(pid)}

    def terminate(self):
        """Ask it to drain."""
        self.process.send_signal(signal.SIGTERM)

    def wait_for_end(self):
        """Wait until none of its processes is left; return the exit status."""
        status = self.process.wait(timeout=60)
        until(lambda: not self.pids(), "all of its processes end")
        return status

    def stop(self):
        """End it at once, and see that nothing is left behind: no process and no listening socket."""
        try:
            if self.process.poll() is None:
                self.terminate()
                until(lambda: not self._serves_any() or self.process.poll() is not None, "it stops listening")
                self.terminate()
            self.wait_for_end()
        finally:
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)
        assert not [port for port in self.ports if processes.listening_inodes(port)]

    @property
    def _log_path(self):
        return self.directory / "log"

    def _children(self, of):
        return {pid for pid in self.pids() if processes.parent(pid) in of}

    def _serves(self):
        return all(map(processes.listening_inodes, self.ports)) and self.workers()

    def _serves_any(self):
        return any(map(processes.listening_inodes, self.ports))


@contextmanager
def running(directory, settings, code=CHECKOUT):
    """Run a proxy; at the end nothing of it may be left."""
    proxy = Proxy(directory=directory, settings=settings, code=code)
    try:
        proxy.start()
        yield proxy
    finally:
        proxy.stop()
