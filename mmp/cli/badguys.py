"""``mmp badguys``, ``ban`` and ``unban``: who is slowed down or kept out, and keeping others out."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from mmp.cli.answer import Answer
from mmp.cli.live import live_command, some_time, tell_count
from mmp.cli.terminal import print_json_list, print_table


def _list(arguments: Namespace) -> int:
    rows = Answer(arguments, "badguys").items()
    if arguments.json:
        print_json_list(rows)
    else:
        columns = ("kind", "network", "user", "badness", "failures", "waiting", "until", "reason")
        titles = tuple(map(str.upper, columns))
        print_table(titles, [tuple(row[key] or None for key in columns) for row in rows])
    return 0


def _add_network(parser: ArgumentParser) -> None:
    parser.add_argument("network", metavar="NETWORK", help="an address, or a network such as 192.0.2.0/24")


def _add_ban(parser: ArgumentParser) -> None:
    _add_network(parser)
    parser.add_argument(
        "--for", dest="seconds", metavar="TIME", type=some_time, help="how long, such as 1h; else until it is lifted"
    )
    parser.add_argument("--reason", default="", help="what the list and the log are to say")


def _ban(arguments: Namespace) -> int:
    asked = {"network": arguments.network, "seconds": arguments.seconds, "reason": arguments.reason}
    return tell_count(arguments, Answer(arguments, "ban", **asked).finish(), "banned")


def _unban(arguments: Namespace) -> int:
    return tell_count(arguments, Answer(arguments, "unban", network=arguments.network).finish(), "{count} bans lifted")


BADGUYS = live_command(
    "badguys",
    "List who is slowed down after failed logins, who is banned, and who submits too much.",
    _list,
    "mmp badguys --json",
)
BAN = live_command(
    "ban",
    "Refuse connections from an address or network; sessions that are logged in go on, and can be ended by mmp kick.",
    _ban,
    """
    mmp ban 203.0.113.7
    mmp ban 2001:db8:7::/48 --for 12h --reason "guesses passwords"
    """,
    _add_ban,
)
UNBAN = live_command(
    "unban",
    "Lift every ban that covers an address or network, or lies in it.",
    _unban,
    "mmp unban 203.0.113.7",
    _add_network,
)
