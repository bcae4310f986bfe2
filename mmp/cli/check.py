"""``mmp check``: reads a configuration and everything that it uses, and tells every mistake."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime

from mmp.cli.command import Command
from mmp.config.check import check


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", metavar="CONFIG", help="the configuration file, such as /etc/mmp/mmp.toml")


def run(arguments: Namespace) -> int:
    """Print what was found, mistakes first; refused if there is one."""
    report = check(arguments.config, datetime.now(UTC))
    for kind, lines in (("error", report.mistakes), ("warning", report.warnings), ("note", report.notes)):
        for line in lines:
            print(f"{kind}: {line}")
    print(f"{arguments.config}: {_count(report.mistakes, 'error')}, {_count(report.warnings, 'warning')}")
    return 1 if report.mistakes else 0


def _count(lines: tuple[str, ...], kind: str) -> str:
    return f"{len(lines)} {kind}{'' if len(lines) == 1 else 's'}"


CHECK = Command(
    "check", "Read a configuration and everything that it uses, and tell every mistake.", add_arguments, run
)
