"""The report: Markdown with ratios and the budget beside them, and the whole as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.results import Results, Summary
from benchmark.scenarios import STOPPED_STORE, UNDISTURBED, times

NOTHING = "\N{EN DASH}"
YARDSTICK = "nginx"
OURS = "mmp"
NO_PROXY = "direct"
MISSED = " ✗"


@dataclass(frozen=True)
class Column:
    """A figure that is reported, and mmp's budget for it: a ratio to nginx, or an amount."""

    heading: str
    scenario: str
    figure: str
    digits: int
    at_most: float | None = None
    aim: float | None = None
    at_least: float | None = None


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
    Column("limits and throttle, worker µs", "admission", "worker_us", 0, 25),
    Column("limits and throttle, supervisor µs", "admission", "supervisor_us", 0, 25),
    Column("two workers, times one", "two-workers", "times", 2, at_least=1.9),
    Column("busier worker, times the mean", "two-workers", "uneven", 2, 1.3),
    Column("two workers, times one as measured", "two-workers", "measured", 2, at_least=1.9),
)
"""What only some can be asked; the budget is an amount."""

DISTURBANCE = (
    Column("undisturbed", "disturbance", UNDISTURBED, 2),
    Column("silent clients", "disturbance", "silent", 2),
    Column("half handshakes", "disturbance", "half-handshakes", 2),
    Column("an octet a second", "disturbance", "dribbling", 2),
    Column("records of one octet", "disturbance", "small-records", 2),
    Column("clients that never read", "disturbance", "never-reading", 2),
    Column("again undisturbed", "disturbance-store", UNDISTURBED, 2),
    Column("another's store stopped", "disturbance-store", STOPPED_STORE, 2),
)
"""p99 of logins in ms while others misbehave."""

RISE = tuple(
    dataclasses.replace(column, figure=times(column.figure)) for column in DISTURBANCE if column.figure != UNDISTURBED
)
"""The same, as multiples of the p99 while nobody did."""

Amount = Callable[[Column, Summary], float | None]
"""What is shown of a figure, if it can be."""


def best(_: Column, summary: Summary) -> float:
    """Show the best of the repetitions."""
    return summary.best


def median(_: Column, summary: Summary) -> float:
    """Show the median of the repetitions."""
    return summary.median


def ratio(results: Results) -> Amount:
    """Show the best as a ratio to nginx's."""

    def amount(column: Column, summary: Summary) -> float | None:
        yardstick = results.figure(column.scenario, column.figure, YARDSTICK)
        return summary.best / yardstick.best if yardstick else None

    return amount


def markdown(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Render a table, without the rows that would be empty; empty when none is left."""
    rows = [row for row in rows if any(value != NOTHING for value in row[1:])]
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""


def measured(columns: Sequence[Column], results: Results) -> list[Column]:
    """Return those columns that anybody has a figure for."""
    return [each for each in columns if any(results.figure(each.scenario, each.figure, s) for s in results.subjects())]


def costs(columns: Sequence[Column], results: Results, amount: Amount) -> str:
    """Render what each proxy did."""
    shown = measured(columns, results)
    rows = [[name, *(cell(each, results, name, amount) for each in shown)] for name in results.subjects()]
    return markdown(["", *(each.heading for each in shown)], rows)


def judged(columns: Sequence[Column], results: Results, amount: Amount, leave_out: str = "") -> str:
    """Render what each proxy did with the budget beneath, and mark where mmp does not keep it."""
    shown = measured(columns, results)
    rows = [
        [name, *(cell(each, results, name, amount, mark=name.startswith(OURS)) for each in shown)]
        for name in results.subjects()
        if name != leave_out
    ]
    budget = [["*at most*", *map(limit, shown)], ["*aim*", *(number(each.aim) for each in shown)]]
    return markdown(["", *(each.heading for each in shown)], rows + budget) if shown else ""


def ratios(results: Results) -> str:
    """Render CPU as ratios to nginx in the same run; only where nginx took part."""
    columns = [dataclasses.replace(column, digits=2) for column in COSTS]
    return judged(columns, results, ratio(results), leave_out=NO_PROXY) if YARDSTICK in results.subjects() else ""


def spreads(columns: Sequence[Column], results: Results) -> str:
    """Render medians, and how far the repetitions lie apart."""
    shown = measured(columns, results)
    rows = [[name, *(spread(each, results, name) for each in shown)] for name in results.subjects()]
    return markdown(["", *(each.heading for each in shown)], rows)


def spread(column: Column, results: Results, subject: str) -> str:
    """Render one figure with its spread, if there is one."""
    found = results.figure(column.scenario, column.figure, subject)
    return f"{found.median:,.{column.digits}f} ({found.spread:.0%})" if found else NOTHING


def cell(column: Column, results: Results, subject: str, amount: Amount, *, mark: bool = False) -> str:
    """Render one figure, if there is one, marked if it misses the budget."""
    found = results.figure(column.scenario, column.figure, subject)
    value = amount(column, found) if found else None
    if value is None:
        return NOTHING
    return f"{value:,.{column.digits}f}{MISSED if mark and missed(column, value) else ''}"


def missed(column: Column, value: float) -> bool:
    """Say whether a value is outside the budget."""
    too_much = column.at_most is not None and value > column.at_most
    too_little = column.at_least is not None and value < column.at_least
    return too_much or too_little


def misses(results: Results) -> list[str]:
    """Return a line for each part of the budget that a build of mmp does not keep."""
    judgements = [(COSTS, ratio(results)), *((columns, median) for columns in (MEMORY, SITTING, OTHERS))]
    return [
        f"{name}, {column.heading}: {value:.2f}, budget {'' if column.at_least else 'at most '}{limit(column)}"
        for columns, amount in judgements
        for column in columns
        for name in results.subjects()
        if name.startswith(OURS) and (found := results.figure(column.scenario, column.figure, name))
        if (value := amount(column, found)) is not None and missed(column, value)
    ]


def limit(column: Column) -> str:
    """Render the budget's hard limit."""
    return f"at least {column.at_least:g}" if column.at_least is not None else number(column.at_most)


def number(value: float | None) -> str:
    """Render a number of the budget."""
    return NOTHING if value is None else f"{value:g}"


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
        ("CPU of the proxy for a unit of work (best of the repetitions)", costs(COSTS, results, best)),
        (f"The same as ratios to {YARDSTICK}", ratios(results)),
        ("The same, median and spread", spreads(COSTS, results)),
        ("Rates, the proxy having one core (best)", costs(RATES, results, best)),
        ("Memory of an idle session (median)", judged(MEMORY, results, median)),
        ("While TLS sessions sit idle (median)", judged(SITTING, results, median)),
        ("p99 of logins in ms, while others misbehave (median)", costs(DISTURBANCE, results, median)),
        ("The same, times the undisturbed", costs(RISE, results, median)),
        ("Others (median)", judged(OTHERS, results, median)),
        ("The instrument: cores in use, the proxy's + the load's", instrument(results)),
        ("Missed", bullets(misses(results))),
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
