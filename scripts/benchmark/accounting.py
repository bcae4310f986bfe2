"""What processes cost: CPU time by control group or process tree, memory by proportional set size."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

PROC = Path("/proc")
NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Account(Protocol):
    """The CPU time and memory of one program with all the processes it makes."""

    def launcher(self) -> list[str]:
        """Return the words to put before a command so that its costs are booked here."""

    def adopt(self, pid: int) -> None:
        """Take note of the process that the launcher became."""

    def cpu_ns(self) -> int:
        """Return the CPU time used so far, that of processes which have ended included."""

    def pids(self) -> list[int]:
        """Return the processes alive now."""

    def close(self) -> None:
        """Give the account up; its processes have ended."""


class Accounts(Protocol):
    """Opens accounts of one kind."""

    kind: str

    def open(self, name: str) -> Account:
        """Open an account; names are unique in a run."""

    def close(self) -> None:
        """Give up what was made for all accounts."""


# ---- control groups


@dataclass
class ControlGroup:
    """An account that is a control group, of version 1 (``cpuacct``) or 2."""

    folder: Path

    def launcher(self) -> list[str]:
        """Have a shell enter the group and become the command."""
        return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self.folder / "cgroup.procs")]

    def adopt(self, pid: int) -> None:
        """Need nothing: the shell has entered the group by itself."""

    def cpu_ns(self) -> int:
        """Return what the kernel has booked to the group."""
        version_1 = self.folder / "cpuacct.usage"
        if version_1.exists():
            return int(version_1.read_text())
        return 1000 * usage_us((self.folder / "cpu.stat").read_text())

    def pids(self) -> list[int]:
        """Return the group's members."""
        return [int(pid) for pid in (self.folder / "cgroup.procs").read_text().split()]

    def close(self) -> None:
        """Remove the group."""
        self.folder.rmdir()


@dataclass
class ControlGroups:
    """Accounts in a control group of our own."""

    folder: Path
    kind: str = "control groups"

    def open(self, name: str) -> ControlGroup:
        """Make a group."""
        folder = self.folder / name
        folder.mkdir()
        return ControlGroup(folder)

    def close(self) -> None:
        """Remove the group of groups."""
        self.folder.rmdir()


def usage_us(cpu_stat: str) -> int:
    """Return the ``usage_usec`` of a version 2 group's ``cpu.stat``."""
    return next(int(line.split()[1]) for line in cpu_stat.splitlines() if line.startswith("usage_usec "))


def cgroup_parents(mounts: str, own: str) -> list[Path]:
    """Return where a group could be made, best first, from the texts of /proc/self/mounts and /proc/self/cgroup."""
    own_path = next((line[3:] for line in own.splitlines() if line.startswith("0::/")), "/")
    parents: list[Path] = []
    for line in mounts.splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind == "cgroup2":
            parents += [Path(folder + own_path), Path(folder)]
        elif kind == "cgroup" and "cpuacct" in options.split(","):
            parents.append(Path(folder))
    return parents


def usable(groups: ControlGroups) -> bool:
    """Say whether a process can be moved into such a group and its time be read."""
    try:
        group = groups.open("trial")
        try:
            subprocess.run([*group.launcher(), "true"], check=True, stderr=subprocess.DEVNULL)
            group.cpu_ns()
        finally:
            group.close()
    except (OSError, subprocess.CalledProcessError, StopIteration):
        return False
    return True


def best_accounts() -> Accounts:
    """Return control groups where this process may make some, else process trees."""
    parents = cgroup_parents((PROC / "self/mounts").read_text(), (PROC / "self/cgroup").read_text())
    for parent in parents:
        groups = ControlGroups(parent / f"mmp-bench-{os.getpid()}")
        with contextlib.suppress(OSError):
            groups.folder.mkdir()
            if usable(groups):
                return groups
            groups.close()
    return ProcessTrees()


# ---- process trees


@dataclass
class ProcessTree:
    """An account that is a process and its descendants; reaped children count, orphans do not."""

    root: int = 0

    def launcher(self) -> list[str]:
        """Need no launcher."""
        return []

    def adopt(self, pid: int) -> None:
        """Take the process as the root."""
        self.root = pid

    def cpu_ns(self) -> int:
        """Add up user and system time of each process and of the children it has reaped."""
        return NS_PER_TICK * sum(ticks_with_children(text) for text in map(stat_of, self.pids()) if text)

    def pids(self) -> list[int]:
        """Return the root and its descendants."""
        parents = {int(entry.name): parent_of(stat_of(int(entry.name))) for entry in PROC.glob("[0-9]*")}
        found = [self.root] if self.root in parents else []
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def close(self) -> None:
        """Need nothing."""


@dataclass
class ProcessTrees:
    """Accounts that need no rights, and are only as fine as the clock tick."""

    kind: str = field(default="process trees (no control group may be made here)")

    def open(self, name: str) -> ProcessTree:  # noqa: ARG002 - a tree needs no name
        """Open an account without a process."""
        return ProcessTree()

    def close(self) -> None:
        """Need nothing."""


def stat_of(pid: int) -> str:
    """Return a process's line of statistics, empty when it has ended."""
    try:
        return (PROC / str(pid) / "stat").read_text()
    except OSError:
        return ""


def fields_of(stat: str) -> list[str]:
    """Return the fields from the third (state) on; the second, a name, may hold spaces and parentheses."""
    return stat.rpartition(")")[2].split()


def parent_of(stat: str) -> int:
    """Return the parent's process id, 0 for an empty line."""
    return int(fields_of(stat)[1]) if stat else 0


def ticks_with_children(stat: str) -> int:
    """Return utime + stime + cutime + cstime in clock ticks."""
    return sum(int(ticks) for ticks in fields_of(stat)[11:15])


# ---- single processes


def process_cpu_ns(pid: int) -> int:
    """Return the CPU time of a process's threads alive now."""
    total = 0
    for thread in (PROC / str(pid) / "task").glob("*"):
        with contextlib.suppress(OSError):
            total += int((thread / "schedstat").read_text().split()[0])
    return total


def pss_kib(account: Account) -> float:
    """Return the memory of an account's processes, each shared page divided by those that share it."""
    return sum(map(process_pss_kib, account.pids()))


def process_pss_kib(pid: int) -> float:
    """Return one process's proportional set size in KiB, 0 when it has ended."""
    try:
        return pss_in((PROC / str(pid) / "smaps_rollup").read_text())
    except OSError:
        return 0


def pss_in(smaps_rollup: str) -> float:
    """Return the ``Pss`` line's figure in KiB."""
    return next(float(line.split()[1]) for line in smaps_rollup.splitlines() if line.startswith("Pss:"))
