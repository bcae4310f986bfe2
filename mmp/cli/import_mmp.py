"""``mmp import-mmp``: makes a configuration of the older product's files."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mmp.cli.command import Command
from mmp.cli.terminal import print_toml
from mmp.config.legacy import convert


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("directory", metavar="DIR", help="the folder with AService.cfg and the files beside it")


def run(arguments: Namespace) -> int:
    """Print the configuration, or on standard error why there is none."""
    try:
        paths = [path for path in sorted(Path(arguments.directory).glob("*.cfg")) if not path.stem.endswith("-def")]
        files = {path.name: path.read_text("utf-8", "replace") for path in paths}
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not files:
        print(f"error: no *.cfg in {arguments.directory}", file=sys.stderr)
        return 1
    print_toml(convert(files))
    return 0


IMPORT_MMP = Command(
    "import-mmp",
    "Print the mmp.toml that the configuration files of the older product amount to, with what cannot be carried over.",
    add_arguments,
    run,
    "mmp import-mmp /opt/SUNWmsgsr/config",
)
