"""``mmp completion``: what makes the shell complete the names of commands and options."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from mmp.cli.command import Command

SCRIPT = """\
_mmp() {{
    local words
    case ${{COMP_CWORD}}:${{COMP_WORDS[1]}} in
        1:*) words="{names}" ;;
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _mmp mmp
"""


def completion_of(commands: Sequence[Command]) -> Command:
    """Return the command that prints what completes these, and itself."""

    def run(_arguments: Namespace) -> int:
        everything = [*commands, completion]
        cases = "\n".join(f'        *:{command.name}) words="{_options(command)}" ;;' for command in everything)
        print(SCRIPT.format(names=" ".join(command.name for command in everything), cases=cases), end="")
        return 0

    completion = Command(
        "completion",
        "Print what completes commands and options in bash, to be read with: source <(mmp completion).",
        lambda _: None,
        run,
        "source <(mmp completion)",
    )
    return completion


def _options(command: Command) -> str:
    parser = ArgumentParser()
    command.add_arguments(parser)
    return " ".join([*dict.fromkeys(re.findall(r"--[a-z-]+", parser.format_usage())), "--help"])
