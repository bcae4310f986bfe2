"""``mmp config``: prints the whole configuration in force."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from mmp.cli.command import Command
from mmp.cli.terminal import print_toml, say
from mmp.config.load import load
from mmp.config.render import render
from mmp.errors import ConfigError


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", metavar="CONFIG", help="the configuration file, such as /etc/mmp/mmp.toml")


def run(arguments: Namespace) -> int:
    """Print the configuration, or on standard error why it is refused."""
    try:
        print_toml(render(load(arguments.config).config))
    except ConfigError as error:
        for mistake in error.mistakes:
            say(f"error: {mistake}", sys.stderr)
        return 1
    return 0


CONFIG = Command(
    "config",
    "Print the whole configuration in force, defaults filled in. It is safe to send to somebody: it has no secret.",
    add_arguments,
    run,
    "mmp config /etc/mmp/mmp.toml",
)
