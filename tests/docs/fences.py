"""The code blocks of a Markdown document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@frozen
class Example:
    """Commands, and the lines of their output that the document shows."""

    commands: str
    shown: tuple[str, ...]


def examples(document: Path) -> Iterator[Example]:
    """Return each ``sh`` block with the ``text`` block behind it."""
    blocks = FENCE.findall(document.read_text("utf-8"))
    for (kind, commands), (kind_behind, shown) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if kind == "sh":
            yield Example(commands, tuple(shown.splitlines()) if kind_behind == "text" else ())


def occurs(shown: str, output: str) -> bool:
    """Say whether a line of the output is as shown, where an ellipsis stands for anything."""
    pattern = re.compile(".*".join(map(re.escape, shown.split("…"))))
    return any(pattern.fullmatch(line) for line in output.splitlines())
