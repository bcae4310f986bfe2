"""How commands get on with a terminal: what they print does nothing to it, and Ctrl-C ends them."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, TextIO


def printable(text: str) -> str:
    """Return what can be printed in one line: nothing that a client, a store or a directory chose moves the cursor."""
    return text if text.isprintable() else ascii(text)[1:-1]


def say(line: str, to: TextIO | None = None) -> None:
    """Print one line, on standard output unless told otherwise."""
    print(printable(line), file=to)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end the process, where a reactor would log the exception and go on."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def print_toml(document: str) -> None:
    """Print a configuration, in UTF-8 whatever the terminal has letters for: it is to be read by us again."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    print(document, end="")


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
    """Return a cell's text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value == "" else printable(str(value))
