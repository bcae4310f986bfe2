"""Talks to a running proxy through its control socket."""

from __future__ import annotations

import json
import socket
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from mmp.config.load import load_admin
from mmp.config.operators import Admin
from mmp.errors import ConfigError

DEFAULTS: Final = ("mmp.toml", "/etc/mmp/mmp.toml")
"""Configuration files that are looked for."""
NOT_RUNNING: Final = 3


class RemoteError(Exception):
    """A command was not done, for the reason in the text; with the exit status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


def add_arguments(parser: ArgumentParser) -> None:
    """Declare how the proxy is found and how it is answered."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--control", metavar="unix:PATH", type=_path, help="the proxy's control socket")
    where.add_argument(
        "--config",
        metavar="FILE",
        help=f"the proxy's configuration file, which names it; otherwise {', then '.join(DEFAULTS)}",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _path(text: str) -> str:
    if not text.startswith("unix:"):
        raise ArgumentTypeError(f'must begin with "unix:", unlike {text}')
    return text.removeprefix("unix:")


def find(arguments: Namespace) -> str:
    """Return the path of the control socket that is meant."""
    if arguments.control is not None:
        return str(arguments.control)
    file = arguments.config or next((path for path in DEFAULTS if Path(path).exists()), None)
    try:
        path = (load_admin(file) if file else Admin()).control_path
    except ConfigError as error:
        raise RemoteError("\n".join(error.mistakes)) from None
    if not path:
        raise RemoteError(f"{file} has no control socket: admin.control is empty")
    return path


class Answer:
    """What the proxy says to one request: ``items`` first, and then ``done``."""

    def __init__(self, arguments: Namespace, command: str, **request: Any) -> None:
        self.done: dict[str, Any] = {}
        self._path = find(arguments)
        self._request = json.dumps({"command": command, **request}).encode() + b"\n"

    def items(self) -> Iterator[Any]:
        """Yield the items of all pages, as they come; RemoteError if the command is refused, or nobody is there."""
        with closing(self._connected()) as connection, connection.makefile("rb") as lines:
            connection.sendall(self._request)
            for line in lines:
                told = json.loads(line)
                if isinstance(told, list):
                    yield from told
                elif "error" in told:
                    raise RemoteError(told["error"])
                else:
                    self.done = told["done"]
                    return
        raise RemoteError("the proxy ended in the middle of its answer", NOT_RUNNING)

    def finish(self) -> dict[str, Any]:
        """Return what is said at the end, of a command that is answered by nothing else."""
        for _ in self.items():
            pass
        return self.done

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(self._path)
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            raise RemoteError(f"no proxy is running: nobody listens at {self._path}", NOT_RUNNING) from None
        except OSError as error:
            connection.close()
            raise RemoteError(f"{self._path}: {error.strerror or error}") from None
        return connection


def print_json(value: object) -> None:
    """Print a value as JSON, for programs and for people."""
    json.dump(value, sys.stdout, indent=2)
    print()


def print_json_list(items: Iterator[Any]) -> None:
    """Print a list as JSON, each item as it comes."""
    opening = "[\n"
    for item in items:
        print(opening, json.dumps(item), sep="", end="")
        opening = ",\n"
    print("[]" if opening == "[\n" else "\n]")


def print_table(titles: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
    """Print columns, each as wide as what is in it."""
    cells = [titles, *(tuple(map(_shown, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _shown(value: object) -> str:
    """Return a cell's text; nothing that a client or a directory chose moves the cursor of the terminal."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = "-" if value is None or value == "" else str(value)
    return text if text.isprintable() else ascii(text)[1:-1]
