"""``mmp kick`` and ``mmp flush``: to end somebody's sessions, and to forget what is remembered of them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from mmp.cli.answer import Answer
from mmp.cli.live import live_command, tell_count


def _add_target(parser: ArgumentParser) -> None:
    parser.add_argument("target", metavar="USER|ADDRESS|SESSION", help="a user, an address or network, or a session")


def _kick(arguments: Namespace) -> int:
    done = Answer(arguments, "kick", target=arguments.target).finish()
    if not done.get("elsewhere"):
        return tell_count(arguments, done, "{count} sessions ended")
    tell_count(arguments, done, "{count} sessions ended here; the other hosts are told to do likewise")
    return 0


def _add_user(parser: ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="the user, as typed or as the directory names them")


def _flush(arguments: Namespace) -> int:
    done = Answer(arguments, "flush", user=arguments.user).finish()
    return tell_count(arguments, done, "{count} answers of the directory forgotten")


KICK = live_command(
    "kick",
    "End the sessions of a user, from an address or network, or a single one; they may log in again.",
    _kick,
    """
    mmp kick alice@example.com
    mmp kick 192.0.2.7
    mmp kick 2001:db8::/64 --json
    mmp kick 5f0c9a1e2b
    """,
    _add_target,
)
FLUSH = live_command(
    "flush",
    "Forget what is remembered of a user, so that the directory is asked at the next login.",
    _flush,
    "mmp flush alice@example.com",
    _add_user,
)
