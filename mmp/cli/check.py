"""``mmp check``: reads a configuration and everything that it uses, and tells every mistake."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime

from mmp.cli.command import Command
from mmp.cli.terminal import say
from mmp.cli.trial import connect
from mmp.config.check import Report, check
from mmp.config.load import load


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", metavar="CONFIG", help="the configuration file, such as /etc/mmp/mmp.toml")
    parser.add_argument(
        "--connect", action="store_true", help="also try the directory, each store that is known, and the shared state"
    )


def run(arguments: Namespace) -> int:
    """Print what was found, mistakes first; refused if there is one."""
    report = check(arguments.config, datetime.now(UTC))
    if arguments.connect and not report.mistakes:
        report = _tried(report, arguments.config)
    for kind, lines in (("error", report.mistakes), ("warning", report.warnings), ("note", report.notes)):
        for line in lines:
            say(f"{kind}: {line}")
    print(f"{arguments.config}: {_count(report.mistakes, 'error')}, {_count(report.warnings, 'warning')}")
    return 1 if report.mistakes else 0


def _tried(report: Report, path: str) -> Report:
    """Return the report with what came of connecting."""
    found = connect(load(path))
    lines = {kind: tuple(str(each) for each in found if each.kind == kind) for kind in ("error", "warning", "note")}
    return Report(lines["error"], report.warnings + lines["warning"], report.notes + lines["note"])


def _count(lines: tuple[str, ...], kind: str) -> str:
    return f"{len(lines)} {kind}{'' if len(lines) == 1 else 's'}"


CHECK = Command(
    "check",
    "Read a configuration and everything that it uses, and tell every mistake.",
    add_arguments,
    run,
    """
    mmp check /etc/mmp/mmp.toml
    mmp check --connect /etc/mmp/mmp.toml
    """,
)
