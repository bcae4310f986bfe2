"""Makes the commands that talk to a running proxy."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable

from mmp.cli import answer
from mmp.cli.answer import RemoteError
from mmp.cli.command import Command
from mmp.cli.terminal import print_json, say
from mmp.config.units import parse_duration

_STATUSES = "exit status: 0 done, 1 refused or nothing matched, 3 no running proxy"


def live_command(
    name: str,
    summary: str,
    run: Callable[[Namespace], int],
    examples: str,
    add_arguments: Callable[[ArgumentParser], None] = lambda _: None,
) -> Command:
    """Return a command with the arguments that all of these have; what the proxy refuses goes to standard error."""

    def declare(parser: ArgumentParser) -> None:
        add_arguments(parser)
        answer.add_arguments(parser)

    def guarded(arguments: Namespace) -> int:
        try:
            return run(arguments)
        except RemoteError as error:
            for line in f"mmp {name}: {error}".split("\n"):
                say(line, sys.stderr)
            return error.status

    return Command(name, summary, declare, guarded, examples, _STATUSES)


def duration(text: str) -> float:
    """Return the seconds that an argument says."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text} {error}") from None


def some_time(text: str) -> float:
    """Return the seconds that an argument says, which are more than none."""
    if not (seconds := duration(text)):
        raise ArgumentTypeError("no time at all")
    return seconds


def tell_count(arguments: Namespace, done: dict[str, int], sentence: str) -> int:
    """Print how much a command has done, and return its exit status: 1 if that is nothing.

    ``sentence`` may name what was done, and what the command line says.
    """
    if arguments.json:
        print_json(done)
    else:
        say(sentence.format_map(vars(arguments) | done))
    return 0 if done["count"] else 1
