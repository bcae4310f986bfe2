"""``mmp demo``: the proxy with two small stores of its own, on loopback, with nothing to install."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace

from mmp.cli.command import Command

HIGHEST_BASE = 65535 - 995
"""Ports up to the base plus 995 are used."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--directory", metavar="DIR", help="where its files are kept; otherwise they go when it ends")
    parser.add_argument(
        "--port-base",
        metavar="N",
        type=_port_base,
        default=10000,
        help="ports are N+143, N+993 and so on (%(default)s)",
    )


def run(arguments: Namespace) -> int:
    """Run it until it is interrupted."""
    from mmp.demo.main import run as demonstrate  # noqa: PLC0415 - only this command needs the stores and Twisted

    demonstrate(arguments.directory, arguments.port_base)
    return 0


def _port_base(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text) <= HIGHEST_BASE:
        raise ArgumentTypeError(f"must be a whole number from 0 to {HIGHEST_BASE}, not {text}")
    return int(text)


DEMO = Command(
    "demo",
    "Run a proxy with two small stores on loopback, to try it: nothing to install.",
    add_arguments,
    run,
    """
    mmp demo
    mmp demo --directory demo --port-base 20000
    """,
)
