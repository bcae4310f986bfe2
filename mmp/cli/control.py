"""``mmp reload`` and ``mmp drain``: what signals do, with an answer."""

from __future__ import annotations

from argparse import Namespace

from mmp.cli.answer import Answer, print_json
from mmp.cli.live import live_command


def _run(command: str, sentence: str, arguments: Namespace) -> int:
    done = Answer(arguments, command).finish()
    if arguments.json:
        print_json(done)
    else:
        print(sentence)
    return 0


def _reload(arguments: Namespace) -> int:
    return _run("reload", "the configuration is right; new workers take over with it", arguments)


def _drain(arguments: Namespace) -> int:
    return _run("drain", "the proxy accepts nobody any more and ends with its last session", arguments)


RELOAD = live_command(
    "reload",
    "Take in a changed configuration, as SIGHUP does; tell what is wrong with it, if it is, and then change nothing.",
    _reload,
    "mmp reload",
)
DRAIN = live_command(
    "drain",
    "End the proxy as SIGTERM does: accept nobody, let sessions go on for shutdown_grace.",
    _drain,
    "mmp drain",
)
