"""What Linux tells about processes and their listening sockets."""

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

LISTEN, ESTABLISHED = "0A", "01"
"""States of a TCP socket in /proc/net/tcp."""
KEEPING_ALIVE = "02:"
"""Its only timer, there, when nothing is under way."""


def with_variable(name, value):
    """Return the ids of the living processes whose environment has this variable, whoever their parent is now."""
    wanted = f"{name}={value}".encode()
    return {pid for pid in _pids() if wanted in _read(pid, "environ").split(b"\0") and state(pid) not in ("", "Z")}


def parent(pid):
    """Return the id of a process's parent; 0 if there is no such process."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def state(pid):
    """Return the letter of a process's state, Z for one that only waits to be reaped; empty if there is none."""
    fields = _stat(pid)
    return fields[0] if fields else ""


def descriptors(pid):
    """Return what the open descriptors of a process are."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(link.readlink().name)
    return found


def descriptor_count(pid):
    """Return how many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - thousands at a time


def threads(pid):
    """Return how many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208 - a number is wanted


def resident(pid):
    """Return the octets of memory that a process keeps in RAM and that no file is behind (RssAnon).

    What it has in common with its parent counts whole: so the end of another process changes nothing.
    """
    for line in _read(pid, "status").decode().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def listening_inodes(port, address=None):
    """Return the inodes of the sockets that listen on a port, as /proc/PID/fd names them.

    They listen on any address, or on this one, which is IPv4.
    """
    found = set()
    wanted = f"{_hexadecimal(address) if address else ''}:{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and fields[1].endswith(wanted):
                found.add(f"socket:[{fields[9]}]")
    return found


def kept_alive(port):
    """Return for each connection from or to a port whether the kernel is to see that its other end still lives."""
    wanted = f":{port:04X}"
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return [
        fields[5].startswith(KEEPING_ALIVE)
        for fields in lines
        if fields[3] == ESTABLISHED and (fields[1].endswith(wanted) or fields[2].endswith(wanted))
    ]


def connected_to(pid, port):
    """Whether a process has a connection to this port of another."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    inodes = {fields[9] for fields in lines if fields[3] == ESTABLISHED and fields[2].endswith(f":{port:04X}")}
    return not descriptors(pid).isdisjoint(f"socket:[{inode}]" for inode in inodes)


def _hexadecimal(address):
    """Return an IPv4 address as /proc/net/tcp has it: as a number of this machine's byte order."""
    return f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}"


def _pids():
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid):
    return _read(pid, "stat").rpartition(b")")[2].decode().split()


def _read(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
