"""``mmp backends``, ``mmp disable`` and ``mmp enable``: the stores of a running proxy."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Final

from mmp.cli.answer import Answer
from mmp.cli.live import duration, live_command, tell_count
from mmp.cli.terminal import print_json, print_table

COLUMNS: Final = ("backend", "service", "up", "disabled", "sessions", "why")


def _backends(arguments: Namespace) -> int:
    rows = list(Answer(arguments, "backends").items())
    if arguments.json:
        print_json(rows)
    else:
        print_table(tuple(map(str.upper, COLUMNS)), [tuple(row[key] for key in COLUMNS) for row in rows])
    return 0


def _add_backend(parser: ArgumentParser) -> None:
    parser.add_argument("backend", metavar="BACKEND", help="the store, as mailHost names it")


def _add_kick(parser: ArgumentParser) -> None:
    _add_backend(parser)
    parser.add_argument("--kick", action="store_true", help="also end the sessions that it has")
    parser.add_argument(
        "--over",
        metavar="TIME",
        type=duration,
        default=30.0,
        help="the time that --kick takes for it, 30s if not given",
    )


def _disable(arguments: Namespace) -> int:
    request = {"backend": arguments.backend, "kick": arguments.kick, "seconds": arguments.over}
    done = Answer(arguments, "disable", **request).finish()
    sentence = "no login goes to {backend} any more"
    if arguments.kick:
        sentence += "; {kicked} sessions are being ended"
    return tell_count(arguments, done, sentence)


def _enable(arguments: Namespace) -> int:
    done = Answer(arguments, "enable", backend=arguments.backend).finish()
    sentence = "logins go to {backend} again" if done["count"] else "{backend} was not disabled"
    return tell_count(arguments, done, sentence)


BACKENDS = live_command(
    "backends",
    "List the stores that a running proxy has met, with their sessions and whether they are up.",
    _backends,
    """
    mmp backends
    mmp backends --json
    """,
)
DISABLE = live_command(
    "disable",
    "Take a store out of service: no login goes there until it is enabled again, or the proxy is started anew.",
    _disable,
    """
    mmp disable store1.example.com
    mmp disable store1.example.com --kick --over 5m
    """,
    _add_kick,
)
ENABLE = live_command(
    "enable",
    "Let logins go to a disabled store again.",
    _enable,
    "mmp enable store1.example.com",
    _add_backend,
)
