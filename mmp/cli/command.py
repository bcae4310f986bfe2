"""What a subcommand of ``mmp`` is."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from attrs import frozen


@frozen
class Command:
    """A subcommand: ``run`` takes what ``add_arguments`` declared and returns the exit status.

    That is 0 when it did what was asked, 1 when it was refused or found mistakes; argparse ends with 2 by itself.
    ``examples`` are lines to type, ``statuses`` what the help says of the exit status.
    """

    name: str
    summary: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
    examples: str
    statuses: str = "exit status: 0 done, 1 refused, or mistakes found"

    @property
    def epilog(self) -> str:
        """What stands at the end of its help."""
        lines = "".join(f"  {line.strip()}\n" for line in self.examples.strip().splitlines())
        return f"examples:\n{lines}\n{self.statuses}"
