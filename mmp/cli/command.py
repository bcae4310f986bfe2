"""What a subcommand of ``mmp`` is."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from attrs import frozen


@frozen
class Command:
    """A subcommand: ``run`` takes what ``add_arguments`` declared and returns the exit status.

    That is 0 when it did what was asked, 1 when it was refused or found mistakes; argparse ends with 2 by itself.
    """

    name: str
    summary: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
