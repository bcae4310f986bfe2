"""What is measured: a proxy in front of a stub store, set up as a scenario needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmark.laboratory import Laboratory, Program, Trouble, greets
from benchmark.mail import MailProtocol, Transport


@dataclass(frozen=True)
class Setup:
    """What a scenario asks of a proxy and its surroundings."""

    workers: int = 1
    store_delay_us: int = 0
    ldap: bool = False
    stopped_store: bool = False  # one user's mail is at a second address, where a store answers nothing
    limited: bool | None = None  # everything is limited and throttled, or nothing is; None: as usual

    @property
    def for_mmp(self) -> bool:
        """Whether only mmp can be set up so."""
        return self.ldap or self.stopped_store or self.limited is not None


@dataclass(frozen=True)
class Task:
    """What a subject needs to know to configure itself; it listens on ``clear`` (with STARTTLS) and ``implicit``."""

    mail: MailProtocol
    setup: Setup
    clear: int
    implicit: int
    store: int
    certificates: Path
    most_connections: int


class Subject(Protocol):
    """A proxy that can be measured."""

    @property
    def name(self) -> str:
        """Return its name in reports."""

    @property
    def transports(self) -> frozenset[Transport]:
        """Return how clients may connect."""

    def missing(self) -> str:
        """Say what has to be installed first; empty when nothing is missing."""

    def version(self) -> str:
        """Say which version is installed; asked only when nothing is missing."""

    def can(self, setup: Setup) -> bool:
        """Say whether it can be set up so."""

    def start(self, laboratory: Laboratory, task: Task) -> Program:
        """Configure and start it with what it needs beside the store, and wait until it answers."""


@dataclass(frozen=True)
class Direct:
    """No proxy at all: what the load generator and the store can do, and what they cost."""

    name: str = "direct"
    transports: frozenset[Transport] = frozenset({Transport.CLEAR})

    def missing(self) -> str:
        """Need nothing."""
        return ""

    def version(self) -> str:
        """Return what stands here instead of a proxy."""
        return "the stub store without a proxy"

    def can(self, setup: Setup) -> bool:
        """Take part where the proxy alone makes the difference."""
        return setup.workers == 1 and not setup.for_mmp

    def start(self, laboratory: Laboratory, task: Task) -> Program:
        """Put another store where a proxy would stand."""
        return start_store(laboratory, task.mail.name, task.clear, task.setup.store_delay_us)


@dataclass(frozen=True)
class Instance:
    """A subject that runs in some setup, with all the programs that it needs."""

    subject: Subject
    task: Task
    proxy: Program
    programs: tuple[Program, ...]

    def port(self, transport: Transport) -> int:
        """Return where clients connect."""
        return self.task.implicit if transport is Transport.IMPLICIT else self.task.clear

    def stop(self, laboratory: Laboratory) -> None:
        """End the proxy and its surroundings."""
        for program in reversed(self.programs):
            laboratory.stop(program)


def set_up(laboratory: Laboratory, subject: Subject, setup: Setup, mail: MailProtocol) -> Instance:
    """Start a subject with a store of its own; nothing is left running when that fails."""
    clear, implicit, store = (laboratory.free_port() for _ in range(3))
    task = Task(mail, setup, clear, implicit, store, laboratory.folder, laboratory.most_connections())
    before = list(laboratory.running)
    try:
        start_store(laboratory, mail.name, store, setup.store_delay_us)
        proxy = subject.start(laboratory, task)
    except Trouble:
        for program in [program for program in laboratory.running if program not in before]:
            laboratory.stop(program)
        raise
    return Instance(subject, task, proxy, tuple(laboratory.running[len(before) :]))


def start_store(laboratory: Laboratory, protocol: str, port: int, argument: int) -> Program:
    """Start a stub store and wait until it listens."""
    program = laboratory.start_own("store", ["store", protocol, str(port), str(argument)], laboratory.cores.store)
    laboratory.await_line(program, "ready")
    return program


def start_proxy(
    laboratory: Laboratory, name: str, command: list[str], task: Task, environment: dict[str, str] | None = None
) -> Program:
    """Start a proxy on the cores it may use and wait until it passes the store's greeting on."""
    cores = laboratory.cores.one if task.setup.workers == 1 else laboratory.cores.two
    program = laboratory.start(name, command, cores, environment=environment)
    laboratory.await_program(program, lambda: greets(task.clear, task.mail.greeting.encode()))
    return program
