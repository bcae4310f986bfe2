"""The report: Markdown with ratios and the budget beside them, and the whole as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.results import Results, Summary

NOTHING = "\N{EN DASH}"
YARDSTICK = "nginx"


@dataclass(frozen=True)
class Column:
    """A figure that is reported, and the budget for it: a ratio to nginx, or an amount."""

    heading: str
    scenario: str
    figure: str
    digits: int
    at_most: float | None = None
    aim: float | None = None


COSTS = (
    Column("login ms", "login", "ms", 3, 2.0, 1.3),
    Column("STARTTLS login ms", "login-starttls", "ms", 3),
    Column("TLS login ms", "login-tls", "ms", 3, 1.3, 1.0),
    Column("resumed ms", "login-resumed", "ms", 3, 1.2, 0.95),
    Column("bulk s/GB", "bulk", "s_per_gb", 3, 0.30, 0.22),
    Column("bulk TLS s/GB", "bulk-tls", "s_per_gb", 3, 1.0, 0.65),
    Column("round trip µs", "round-trip", "us", 1, 1.8, 1.4),
    Column("TLS round trip µs", "round-trip-tls", "us", 1, 1.9, 1.4),
)
"""CPU for a unit of work; the budget is a ratio."""

MEMORY = (
    Column("idle KiB", "idle", "kib", 1, 2.5, 1.5),
    Column("idle TLS KiB", "idle-tls", "kib", 1, 24, 18),
    Column("idle KiB (10,000)", "idle-10000", "kib", 1, 2.5, 1.5),
    Column("idle TLS KiB (10,000)", "idle-tls-10000", "kib", 1, 24, 18),
    Column("sessions held (10,000)", "idle-tls-10000", "sessions", 0),
    Column("before the first MiB", "idle-tls", "base_mib", 0),
)
"""Memory for each idle session; the budget is an amount."""

SITTING = (
    Column("CPU ms/s", "idle-tls", "cpu_ms_per_second", 2),
    Column("login p50 ms", "idle-tls", "p50_ms", 2),
    Column("login p99 ms", "idle-tls", "p99_ms", 2),
    Column("CPU ms/s (10,000)", "idle-tls-10000", "cpu_ms_per_second", 2, 2.0),
    Column("login p50 ms (10,000)", "idle-tls-10000", "p50_ms", 2),
    Column("login p99 ms (10,000)", "idle-tls-10000", "p99_ms", 2, 10.0),
)
"""What TLS sessions cost while they sit there, and what they do to others' logins; the budget is an amount."""

RATES = (
    Column("logins/s", "login", "per_second", 0),
    Column("TLS logins/s", "login-tls", "per_second", 0),
    Column("resumed/s", "login-resumed", "per_second", 0),
    Column("bulk MB/s", "bulk", "mb_per_second", 0),
    Column("bulk TLS MB/s", "bulk-tls", "mb_per_second", 0),
    Column("round trips/s", "round-trip", "per_second", 0),
    Column("TLS round trips/s", "round-trip-tls", "per_second", 0),
)
"""How fast it went, the proxy having one core."""

OTHERS = (
    Column("uncached look-up µs", "lookup", "us", 0, 150, 40),
    Column("login p50 ms, store 5 ms away", "far-store", "p50_ms", 1),
    Column("two workers, times one", "two-workers", "times", 2),
    Column("busier worker, times the mean", "two-workers", "uneven", 2, 1.3),
    Column("two workers, times one as measured", "two-workers", "measured", 2),
)
"""What only some can be asked; the budget is an amount."""

Show = Callable[[Column, Summary], str]


def best(column: Column, summary: Summary) -> str:
    """Show the best of the repetitions."""
    return f"{summary.best:,.{column.digits}f}"


def median_and_spread(column: Column, summary: Summary) -> str:
    """Show the median and how far the repetitions lie apart."""
    return f"{summary.median:,.{column.digits}f} ({summary.spread:.0%})"


def markdown(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Render a table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measured(columns: Sequence[Column], results: Results) -> list[Column]:
    """Return those columns that anybody has a figure for."""
    return [each for each in columns if any(results.figure(each.scenario, each.figure, s) for s in results.subjects())]


def table(columns: Sequence[Column], results: Results, show: Show, *, budget: bool = False) -> str:
    """Render what each proxy did; empty when nothing was measured."""
    shown = measured(columns, results)
    rows = [[name, *(cell(each, results, name, show) for each in shown)] for name in results.subjects()]
    rows = [row for row in rows if any(value != NOTHING for value in row[1:])]
    if budget:
        rows += budget_rows(shown)
    return markdown(["", *(each.heading for each in shown)], rows) if shown else ""


def cell(column: Column, results: Results, subject: str, show: Show) -> str:
    """Render one figure, if there is one."""
    found = results.figure(column.scenario, column.figure, subject)
    return show(column, found) if found else NOTHING


def budget_rows(columns: Sequence[Column]) -> list[list[str]]:
    """Render the budget as rows."""
    names = (("*at most*", [each.at_most for each in columns]), ("*aim*", [each.aim for each in columns]))
    return [[name, *(NOTHING if value is None else f"{value:g}" for value in values)] for name, values in names]


def ratios(results: Results) -> str:
    """Render CPU as ratios to nginx in the same run, with the budget."""

    def ratio(column: Column, summary: Summary) -> str:
        yardstick = results.figure(column.scenario, column.figure, YARDSTICK)
        if not yardstick:
            return NOTHING
        mark = " ✗" if column.at_most and summary.best / yardstick.best > column.at_most else ""
        return f"{summary.best / yardstick.best:.2f}{mark}"

    return table(COSTS, results, ratio, budget=True) if YARDSTICK in results.subjects() else ""


def instrument(results: Results) -> str:
    """Render how busy each side was: where the proxy's core is not full, the load or waiting was the limit."""
    rows = [
        [subject, *(busy(results, scenario, subject) for scenario in RATE_SCENARIOS if scenario in results.scenarios())]
        for subject in results.subjects()
    ]
    return markdown(["", *(each for each in RATE_SCENARIOS if each in results.scenarios())], rows)


RATE_SCENARIOS = tuple(column.scenario for column in RATES)


def busy(results: Results, scenario: str, subject: str) -> str:
    """Render the cores' use of one cell: the proxy's, then the load's."""
    found = results.cells.get((scenario, subject))
    if not found or not (done := found.observations()):
        return NOTHING
    proxy, load = (sum(values) / len(done) for values in ([o.proxy_busy for o in done], [o.load_busy for o in done]))
    return f"{proxy:.0%} + {load:.0%}"


def report(results: Results, about: Sequence[str]) -> str:
    """Render the whole report."""
    sections = (
        ("CPU of the proxy for a unit of work (best of the repetitions)", table(COSTS, results, best)),
        (f"The same as ratios to {YARDSTICK}", ratios(results)),
        ("The same, median and spread", table(COSTS, results, median_and_spread)),
        ("Rates, with one core for the proxy and one for load and store", table(RATES, results, best)),
        ("Memory of an idle session", table(MEMORY, results, best, budget=True)),
        ("While TLS sessions sit idle", table(SITTING, results, best, budget=True)),
        ("Others", table(OTHERS, results, best, budget=True)),
        ("The instrument: cores in use, the proxy's + the load's", instrument(results)),
        ("Trouble", bullets(results.troubles())),
        ("Disturbed", bullets(results.disturbances())),
    )
    return "\n\n".join(
        ["# Benchmark", bullets(about), *(f"## {name}\n\n{text}" for name, text in sections if text), ""]
    )


def bullets(lines: Sequence[str]) -> str:
    """Render a list."""
    return "\n".join(f"- {line}" for line in lines)


def as_json(results: Results, about: Sequence[str]) -> dict[str, Any]:
    """Return everything that was measured."""
    return {
        "about": list(about),
        "usual_calibration_ms": results.usual_calibrations(),
        "results": [
            {
                "scenario": scenario,
                "subject": subject,
                "trouble": found.trouble,
                "figures": {name: dataclasses.asdict(value) for name, value in found.summaries().items()},
                "observations": [dataclasses.asdict(each) for each in found.observations()],
            }
            for (scenario, subject), found in results.cells.items()
        ],
        "disturbances": results.disturbances(),
    }
