"""The ``mmp`` command: finds the subcommand, reads its arguments, runs it."""

from __future__ import annotations

import os
import signal
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Final

from mmp import __version__
from mmp.cli import backends, badguys, check, config, control, demo, explain, import_mmp, kick, status, trace, who
from mmp.cli.command import Command
from mmp.cli.completion import completion_of

_OTHERS: Final[tuple[Command, ...]] = (
    demo.DEMO,
    check.CHECK,
    explain.EXPLAIN,
    config.CONFIG,
    import_mmp.IMPORT_MMP,
    status.STATUS,
    who.WHO,
    kick.KICK,
    kick.FLUSH,
    badguys.BADGUYS,
    badguys.BAN,
    badguys.UNBAN,
    backends.BACKENDS,
    backends.DISABLE,
    backends.ENABLE,
    trace.TRACE,
    control.RELOAD,
    control.DRAIN,
)
INTERRUPTED: Final = 128 + signal.SIGINT
"""The exit status of what somebody has ended with Ctrl-C, as shells have it."""
COMMANDS: Final = (*_OTHERS, completion_of(_OTHERS))
"""Every subcommand, in the order of the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, by default the process's own, and return the exit status."""
    parsed = parser().parse_args(arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal has no letters for is no error
    try:
        status: int = parsed.run(parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush would complain
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def parser() -> ArgumentParser:
    """Return what reads the command line."""
    whole = ArgumentParser(prog="mmp", description="A multiplexing proxy for IMAP, POP3 and mail submission.")
    whole.add_argument("--version", action="version", version=f"mmp {__version__}")
    subparsers = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name,
            help=command.summary,
            description=command.summary,
            epilog=command.epilog,
            formatter_class=RawDescriptionHelpFormatter,
        )
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return whole


if __name__ == "__main__":
    sys.exit(main())
