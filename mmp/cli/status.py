"""``mmp status``: how a running proxy is."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any, Final

from mmp.cli.answer import Answer
from mmp.cli.live import live_command
from mmp.cli.terminal import print_json, print_table, say
from mmp.model import Endpoint

OUT_OF_DATE: Final = {"1.0", "1.1"}
"""Versions of TLS that nobody should speak any more (RFC 8996)."""


def run(arguments: Namespace) -> int:
    """Ask, and print the answer."""
    status = Answer(arguments, "status").finish()
    if arguments.json:
        print_json(status)
    else:
        _print(status)
    return 0


def _print(status: Mapping[str, Any]) -> None:
    of = status["versions"]
    versions = f"Python {of['python']}, Twisted {of['twisted']}, {of['openssl']}"
    state = "draining" if status["draining"] else "serving"
    print(f"mmp {status['version']} ({versions})")
    print(f"{state}, process {status['pid']} since {status['started']}, {status['sessions']} sessions")
    down = "; ".join(f"{url} is down: {why}" for url, why in status["directory"]["down"].items())
    say(f"directory: {'up' if status['directory']['up'] else 'down'}{down and ', '}{down}")
    for url, warnings in status["directory"]["warnings"].items():
        for why in warnings:
            say(f"warning: {url}: {why}")
    for url, why in status["directory"]["watched"].items():
        say(f"changes at {url}: {f'not followed: {why}' if why else 'followed'}")
    if (shared := status["shared"])["url"] or shared["why"]:
        say(f"shared state: {f'down: {why}' if (why := shared['why']) else 'up'}")
    for listener in status["listeners"]:
        if listener["min_version"] in OUT_OF_DATE:
            where = Endpoint(listener["address"], listener["port"])
            print(f"warning: {listener['service']} at {where}: TLS from {listener['min_version']} on, for old clients")
    print()
    rows = [(each["pid"], each["state"], each["sessions"]) for each in status["workers"]]
    print_table(("WORKER", "STATE", "SESSIONS"), rows)


STATUS = live_command(
    "status",
    "Show how a running proxy is: its versions, workers, sessions and directory.",
    run,
    """
    mmp status
    mmp status --config /etc/mmp/mmp.toml --json
    """,
)
