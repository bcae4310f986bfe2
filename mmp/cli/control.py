"""``mmp reload`` and ``mmp drain``: what signals do, with an answer."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from mmp.cli.answer import Answer
from mmp.cli.live import duration, live_command
from mmp.cli.terminal import print_json


def _run(command: str, sentence: str, arguments: Namespace, **request: Any) -> int:
    done = Answer(arguments, command, **request).finish()
    if arguments.json:
        print_json(done)
    else:
        print(sentence)
    return 0


def _reload(arguments: Namespace) -> int:
    return _run("reload", "the configuration is right; new workers take over with it", arguments)


def _drain(arguments: Namespace) -> int:
    sentence = "the proxy accepts nobody any more and ends with its last session"
    return _run("drain", sentence, arguments, **({} if arguments.time is None else {"seconds": arguments.time}))


def _add_time(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--for",
        dest="time",
        metavar="TIME",
        type=duration,
        help="how long sessions may go on from now, shutdown_grace if not given; asked again, the new time counts",
    )


RELOAD = live_command(
    "reload",
    "Take in a changed configuration, as SIGHUP does; tell what is wrong with it, if it is, and then change nothing.",
    _reload,
    "mmp reload",
)
DRAIN = live_command(
    "drain",
    "End the proxy as SIGTERM does: accept nobody, let sessions go on for shutdown_grace or the time given.",
    _drain,
    """
    mmp drain
    mmp drain --for 2h
    """,
    _add_time,
)
