"""``mmp who``: the sessions of a running proxy."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from mmp.cli.answer import Answer
from mmp.cli.live import live_command
from mmp.cli.terminal import print_json_list, print_table
from mmp.model import Service

FILTERS: Final = ("user", "address", "backend", "service", "phase")
ORDERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {
    "user": lambda row: (row["user"], row["since"]),
    "address": lambda row: (row["address"], row["port"]),
    "backend": lambda row: (row["backend"], row["user"]),
    "age": lambda row: row["since"],
    "idle": lambda row: -(row["idle"] or 0),
    "bytes": lambda row: -(row["bytes_in"] + row["bytes_out"]),
}
"""What sessions can be sorted by: names in their order, the oldest, most idle and largest first."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--user", metavar="USER", help="only the sessions of this user")
    parser.add_argument("--address", metavar="NETWORK", help="only those from this address or network")
    parser.add_argument("--backend", metavar="BACKEND", help="only those on this store")
    parser.add_argument("--service", choices=[service.value for service in Service], help="only those of this service")
    parser.add_argument("--phase", choices=("login", "relay", "closing"), help="only those that are so far")
    parser.add_argument("--sort", choices=tuple(ORDERS), help="the order; otherwise they come as they are found")


def run(arguments: Namespace) -> int:
    """Ask, and print the answer."""
    wanted = {name: value for name in FILTERS if (value := getattr(arguments, name))}
    rows = _sorted(Answer(arguments, "who", wanted=wanted).items(), arguments.sort)
    if arguments.json:
        print_json_list(rows)
    else:
        _print(rows)
    return 0


def _sorted(rows: Iterator[Any], order: str | None) -> Iterator[Any]:
    return rows if order is None else iter(sorted(rows, key=ORDERS[order]))


def _print(rows: Iterable[Mapping[str, Any]]) -> None:
    titles = ("SESSION", "USER", "SERVICE", "CLIENT", "STORE", "TLS", "PHASE", "AGE", "IDLE", "IN", "OUT")
    print_table(titles, [_columns(row) for row in rows])


def _columns(row: Mapping[str, Any]) -> tuple[object, ...]:
    age = time.time() - datetime.fromisoformat(row["since"]).timestamp()
    idle = None if row["idle"] is None else _time(row["idle"])
    return (
        *(row[key] for key in ("session", "user", "service", "address", "backend", "tls", "phase")),
        _time(age),
        idle,
        _size(row["bytes_in"]),
        _size(row["bytes_out"]),
    )


def _time(seconds: float) -> str:
    """Return a time to two digits or so."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def _size(octets: float) -> str:
    for unit in ("", "K", "M"):
        if octets < 10_000:  # noqa: PLR2004 - four digits are read at a glance
            return f"{octets:.0f}{unit}"
        octets /= 1024
    return f"{octets:.0f}G"


WHO = live_command(
    "who",
    "List the sessions of a running proxy: who, from where, on which store, for how long.",
    run,
    """
    mmp who
    mmp who --user alice@example.com
    mmp who --address 192.0.2.0/24 --sort idle
    mmp who --backend store1 --phase relay --json
    """,
    add_arguments,
)
