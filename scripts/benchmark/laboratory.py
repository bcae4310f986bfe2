"""The place where a run happens: a temporary folder, cores, free ports, and the programs started there."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmark import building
from benchmark.accounting import Account, Accounts, best_accounts

PORTS = range(20000, 32000)  # below those that the kernel gives to outgoing connections
DESCRIPTORS = 65536
START_SECONDS = 20.0
STOP_SECONDS = 3.0


class Trouble(Exception):  # noqa: N818 - it is a word of the report
    """A program did not do what a measurement needs; the text says what, in a line for the report."""


@dataclass(frozen=True)
class Cores:
    """Who runs where: one proxy worker, two of them, the load generator, the stub store."""

    one: frozenset[int]
    two: frozenset[int]
    load: frozenset[int]
    store: frozenset[int]

    @property
    def separate(self) -> bool:
        """Say whether two workers leave a core to the generator and the store."""
        return not self.two & (self.load | self.store)


def share_cores(available: Sequence[int]) -> Cores:
    """Give the proxy the first core and keep the load off it, as far as there are enough of them."""
    first, *others = available
    if not others:
        raise Trouble("two cores are needed: one for the proxy alone")
    second, *rest = others
    load, store = (rest[0], rest[-1]) if rest else (second, second)
    return Cores(*map(frozenset, ({first}, {first, second}, {load}, {store})))


@dataclass
class Program:
    """A program that runs, with its account and its log."""

    name: str
    process: subprocess.Popen[str]
    account: Account
    log: Path

    def last_words(self) -> str:
        """Return the last line of the log that says something."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "no message"

    def stop(self) -> None:
        """End the program and what it has made: by SIGTERM, then without mercy."""
        if self.process.stdin:
            self.process.stdin.close()
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # a session of its own, so the group holds nobody else
        deadline = time.monotonic() + STOP_SECONDS
        while left := set(self.account.pids()):
            if time.monotonic() > deadline:
                raise Trouble(f"{self.name} does not end: processes {sorted(left)}")
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()
            time.sleep(0.02)
        if self.process.stdout:
            self.process.stdout.close()
        self.account.close()


@dataclass
class Laboratory:
    """Starts programs and ends all of them when the run does."""

    folder: Path
    accounts: Accounts
    cores: Cores
    descriptors: int  # that one process may have
    running: list[Program] = field(default_factory=list)
    serial: int = 0
    ports: Iterator[int] = field(default_factory=lambda: iter(PORTS))

    @classmethod
    def open(cls) -> Self:
        """Make the folder, compile the C programs and make a certificate."""
        cores = share_cores(sorted(os.sched_getaffinity(0)))
        os.sched_setaffinity(0, cores.load)
        descriptors = raise_descriptor_limit()
        folder = Path(tempfile.mkdtemp(prefix="mmp-bench-"))
        folder.chmod(0o711)  # proxies that drop their rights must get through
        laboratory = cls(folder, best_accounts(), cores, descriptors)
        try:
            building.compile_programs(folder)
            building.make_certificate(folder)
        except BaseException:
            laboratory.close()
            raise
        return laboratory

    def close(self) -> None:
        """End every program and remove every trace."""
        for program in reversed(self.running[:]):
            with contextlib.suppress(Trouble):
                self.stop(program)
        with contextlib.suppress(OSError):
            self.accounts.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def most_connections(self) -> int:
        """Return how many clients a proxy can be allowed, which has two descriptors for each."""
        return self.descriptors // 2 - 50

    def free_port(self) -> int:
        """Return a port that nobody listens on and that this run has not given out before."""
        for port in self.ports:
            with socket.socket() as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with contextlib.suppress(OSError):
                    trial.bind(("127.0.0.1", port))
                    return port
        raise Trouble("no free port left")

    def subfolder(self, name: str) -> Path:
        """Make a new folder for one program's files."""
        self.serial += 1
        folder = self.folder / f"{self.serial}-{file_name(name)}"
        folder.mkdir()
        return folder

    def start_own(self, name: str, words: Sequence[str], cores: frozenset[int]) -> Program:
        """Start ``load`` or ``store``, whose standard output is for us."""
        return self.start(name, [str(self.folder / words[0]), *words[1:]], cores, output=subprocess.PIPE)

    def start(
        self,
        name: str,
        command: Sequence[str],
        cores: frozenset[int],
        *,
        environment: Mapping[str, str] | None = None,
        output: int | None = None,
    ) -> Program:
        """Start a program on some cores, its costs booked to an account of its own; it logs into a file."""
        folder = self.subfolder(name)
        account = self.accounts.open(folder.name)
        log = folder / "log"
        pinned = ["taskset", "-c", ",".join(map(str, sorted(cores))), *command]
        with log.open("w") as errors:
            process = subprocess.Popen(
                [*account.launcher(), *pinned],
                stdin=subprocess.PIPE,
                stdout=errors if output is None else output,
                stderr=errors,
                text=True,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        account.adopt(process.pid)
        program = Program(name, process, account, log)
        self.running.append(program)
        return program

    def stop(self, program: Program) -> None:
        """End a program that this laboratory started."""
        self.running.remove(program)
        program.stop()

    def await_line(self, program: Program, wanted: str) -> None:
        """Wait until one of our own programs prints its word."""
        assert program.process.stdout  # noqa: S101 - every program is started with a pipe
        line = program.process.stdout.readline().strip()
        if line != wanted:
            raise Trouble(f"{program.name}: {program.last_words()}")

    def await_program(self, program: Program, is_up: Callable[[], bool]) -> None:
        """Wait until a program answers."""
        deadline = time.monotonic() + START_SECONDS
        while not is_up():
            if program.process.poll() is not None:
                raise Trouble(
                    f"{program.name} has ended with status {program.process.returncode}: {program.last_words()}"
                )
            if time.monotonic() > deadline:
                raise Trouble(f"{program.name} does not answer after {START_SECONDS:.0f} s: {program.last_words()}")
            time.sleep(0.05)

    def our_cpu_ns(self) -> int:
        """Return the CPU time of all running programs together."""
        return sum(program.account.cpu_ns() for program in self.running)


def file_name(name: str) -> str:
    """Make a name fit for a file."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name)


def raise_descriptor_limit() -> int:
    """Allow the programs that we start as many descriptors as we may; return how many those are."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (max(hard, DESCRIPTORS), hard):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def greets(port: int, greeting: bytes) -> bool:
    """Say whether a connection to a port is greeted as it should be."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(1024).startswith(greeting)
    except OSError:
        return False


def accepts(port: int) -> bool:
    """Say whether something listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
