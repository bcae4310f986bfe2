"""The command line of ``scripts/bench``: which subjects and scenarios, how often, where the results go."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark.laboratory import Laboratory
from benchmark.mail import PROTOCOLS
from benchmark.mmp import HERE, MMP
from benchmark.peers import PEERS
from benchmark.report import YARDSTICK, as_json, report
from benchmark.run import Run
from benchmark.scenarios import FULL, SCENARIOS, SHORT, Effort, Scenario
from benchmark.subjects import Direct, Subject

TROUBLE, INTERRUPTED = 1, 130


def options(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure what mmp costs beside other mail proxies; see docs/performance.md.",
        epilog=f"Scenarios: {', '.join(each.name for each in SCENARIOS)}.",
    )
    add = parser.add_argument
    add(
        "--build",
        action="append",
        type=Path,
        metavar="PATH",
        help="checkout of mmp to measure, several to compare them",
    )
    add(
        "--full",
        action="store_true",
        help="all peers, all scenarios, more repetitions (half an hour)",
    )
    add("--peers", type=names, metavar="NAMES", help=f"which of {', '.join(each.name for each in PEERS)}; or none")
    add("--scenarios", type=names, metavar="NAMES", help="only these, by the beginnings of their names")
    add("--protocol", choices=PROTOCOLS, default="imap", help="what is spoken (imap)")
    add("--repeat", type=int, metavar="N", help="repetitions of each measurement")
    add("--concurrency", type=int, metavar="N", help="logins under way at a time (128)")
    add("--json", type=Path, metavar="FILE", help="where to write every single value")
    return parser.parse_args(words)


def names(text: str) -> list[str]:
    """Split a list of names."""
    return [name.strip() for name in text.split(",") if name.strip()]


def builds(paths: Sequence[Path]) -> list[Subject]:
    """Return the builds of mmp, named so that they can be told apart."""
    if len(paths) == 1:
        return [MMP(paths[0].resolve())]
    return [MMP(path.resolve(), f"mmp-{number} ({path.resolve().name})") for number, path in enumerate(paths, 1)]


def chosen_subjects(chosen: argparse.Namespace) -> list[Subject]:
    """Return what is to be measured: the bare store, the peers wanted, the builds."""
    wanted = chosen.peers if chosen.peers is not None else [each.name for each in PEERS] if chosen.full else [YARDSTICK]
    unknown = set(wanted) - {each.name for each in PEERS} - {"none"}
    if unknown:
        raise SystemExit(f"bench: no such peer: {', '.join(sorted(unknown))}")
    return [Direct(), *(each for each in PEERS if each.name in wanted), *builds(chosen.build or [HERE])]


def chosen_scenarios(chosen: argparse.Namespace) -> list[Scenario]:
    """Return what is to be done."""
    if not chosen.scenarios:
        return [each for each in SCENARIOS if chosen.full or each.in_short]
    found = [each for each in SCENARIOS if each.name.startswith(tuple(chosen.scenarios))]
    if not found:
        raise SystemExit(f"bench: no such scenario: {', '.join(chosen.scenarios)}")
    return found


def chosen_effort(chosen: argparse.Namespace) -> Effort:
    """Return how much is to be done."""
    effort = FULL if chosen.full else SHORT
    changes = {"repetitions": chosen.repeat, "long_repetitions": chosen.repeat, "concurrency": chosen.concurrency}
    return dataclasses.replace(effort, **{name: value for name, value in changes.items() if value})


def about(run: Run, subjects: Sequence[Subject], missing: Sequence[str]) -> list[str]:
    """Describe the machine and the run."""
    laboratory, effort = run.laboratory, run.effort
    cores = laboratory.cores
    places = [("proxy", cores.one), ("load", cores.load), ("store", cores.store)]
    openssl = subprocess.run(["openssl", "version"], check=True, capture_output=True, text=True).stdout
    return [
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC, {platform.platform()}, {processor()}",
        "cores: " + ", ".join(f"{name} {', '.join(map(str, sorted(where)))}" for name, where in places),
        f"{effort.repetitions} repetitions in turns, {effort.concurrency} logins under way at a time",
        f"accounting by {laboratory.accounts.kind}; {' '.join(openssl.split()[:2])} in the load generator",
        f"protocol: {run.mail.name}",
        *(f"{each.name}: {each.version()}" for each in subjects),
        *(f"not measured: {line}" for line in missing),
    ]


def processor() -> str:
    """Name the processor and say how many of them there are."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = models[0].partition(":")[2].strip() if models else platform.machine()
    return f"{os.cpu_count()} processors, {name}"


def main() -> int:
    """Run the benchmark; the status tells whether everything could be measured."""
    chosen = options(sys.argv[1:])
    effort, scenarios = chosen_effort(chosen), chosen_scenarios(chosen)
    subjects = chosen_subjects(chosen)
    missing = [f"{each.name} needs {needs}" for each in subjects if (needs := each.missing())]
    subjects = [each for each in subjects if not each.missing()]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Laboratory.open() as laboratory:
        run = Run(laboratory, PROTOCOLS[chosen.protocol], effort)
        try:
            run.everything(scenarios, subjects)
        except KeyboardInterrupt:
            print("bench: interrupted", file=sys.stderr)
            return INTERRUPTED
        described = about(run, subjects, missing)
    print(report(run.results, described))
    if chosen.json:
        chosen.json.write_text(json.dumps(as_json(run.results, described), indent=1) + "\n")
    return TROUBLE if run.results.troubles() else 0
