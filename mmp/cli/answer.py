"""Talks to a running proxy through its control socket."""

from __future__ import annotations

import json
import socket
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from mmp.config.load import load_admin
from mmp.config.operators import Admin
from mmp.errors import ConfigError

DEFAULTS: Final = ("mmp.toml", "/etc/mmp/mmp.toml")
"""Configuration files that are looked for."""
NOT_RUNNING: Final = 3
PATIENCE: Final = 60.0
"""Seconds without a word after which a proxy is given up; a worker that hangs is replaced long before."""
LONGEST: Final = 64 * 1024 * 1024
"""Octets of one line of an answer; a page of any list has far less."""


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
    file = arguments.config or next(filter(_is_there, DEFAULTS), None)
    try:
        path = (load_admin(file) if file else Admin()).control_path
    except ConfigError as error:
        raise RemoteError("\n".join(error.mistakes)) from None
    if not path:
        raise RemoteError(f"{file} has no control socket: admin.control is empty")
    return path


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # in a folder that is not for us: whoever reads it is told so
        return True


class Answer:
    """What the proxy says to one request: ``items`` first, and then ``done``."""

    def __init__(self, arguments: Namespace, command: str, **request: Any) -> None:
        self.done: dict[str, Any] = {}
        self._path = find(arguments)
        self._patience = None if command == "trace" else PATIENCE
        self._request = json.dumps({"command": command, **request}).encode() + b"\n"

    def items(self) -> Iterator[Any]:
        """Yield the items of all pages, as they come; RemoteError if the command is refused, or nobody is there."""
        for told in self._lines():
            match told:
                case list():
                    yield from told
                case {"error": str(why)}:
                    raise RemoteError(why)
                case {"done": dict(done)}:
                    self.done = done
                    return
                case _:
                    raise self._stranger()
        raise RemoteError("the proxy ended in the middle of its answer", NOT_RUNNING)

    def _lines(self) -> Iterator[Any]:
        """Yield each line that comes; RemoteError if it is not a proxy's, or none comes for too long."""
        with closing(self._connected()) as connection, connection.makefile("rb") as lines:
            try:
                connection.sendall(self._request)
                while (line := lines.readline(LONGEST)).endswith(b"\n"):
                    yield json.loads(line)
            except ConnectionError:
                return
            except TimeoutError:
                raise RemoteError(f"the proxy has not answered for {PATIENCE:g} s", NOT_RUNNING) from None
            except (ValueError, RecursionError):
                raise self._stranger() from None
        if len(line) == LONGEST:
            raise self._stranger()

    def _stranger(self) -> RemoteError:
        return RemoteError(f"{self._path}: what answers there is no proxy")

    def finish(self) -> dict[str, Any]:
        """Return what is said at the end, of a command that is answered by nothing else."""
        for _ in self.items():
            pass
        return self.done

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(self._patience)
        try:
            connection.connect(self._path)
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            raise RemoteError(f"no proxy is running: nobody listens at {self._path}", NOT_RUNNING) from None
        except OSError as error:
            connection.close()
            raise RemoteError(f"{self._path}: {error.strerror or error}") from None
        return connection
