"""``mmp trace``: what a user's next sessions say, as it is said."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from typing import Any, Final

from mmp.cli.answer import Answer
from mmp.cli.live import duration, live_command

HOUR: Final = 3600.0


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="the user, as typed or as the directory names them")
    parser.add_argument(
        "--for", dest="time", metavar="TIME", type=duration, default=HOUR, help="for how long, 1h if not given"
    )
    parser.add_argument("--sessions", metavar="N", type=_number, help="end after so many sessions have ended")


def _number(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise ArgumentTypeError(f"{text} is no number above 0")
    return int(text)


def _run(arguments: Namespace) -> int:
    following = _Following(json_wanted=arguments.json)
    try:
        for entry in Answer(arguments, "trace", user=arguments.user, seconds=arguments.time).items():
            following.show(entry)
            if following.ended == arguments.sessions:
                return 0
    except KeyboardInterrupt:  # that is how one ends it
        return 0
    return 0 if following.seen else 1


class _Following:
    """Shows entries as they come, and counts them and the sessions that have ended."""

    def __init__(self, *, json_wanted: bool) -> None:
        self.seen = self.ended = 0
        self._json_wanted = json_wanted

    def show(self, entry: Mapping[str, Any]) -> None:
        """Print an entry, or what is said about the others."""
        if "workers" in entry:
            print(f"following over {entry['workers']} workers", file=sys.stderr, flush=True)
        elif "lost" in entry:
            print(f"{entry['lost']} entries are lost: they were not read fast enough", file=sys.stderr, flush=True)
        else:
            self.seen += 1
            self.ended += entry["to"] is None and entry["text"].startswith("closed ")
            print(json.dumps(entry) if self._json_wanted else _line(entry), flush=True)


def _line(entry: Mapping[str, Any]) -> str:
    where = "event" if entry["to"] is None else f"{entry['from']} to {entry['to']}"
    return f"{entry['at']} {entry['session']} {entry['service']} {where}: {entry['text']}"


TRACE = live_command(
    "trace",
    "Show what a user's next sessions say: the login word by word but without secrets, then how many octets pass.",
    _run,
    """
    mmp trace alice@example.com
    mmp trace alice@example.com --for 10m --sessions 1
    mmp trace alice --json
    """,
    _add_arguments,
)
