"""What a run found: measurements by scenario and subject, and what is reported of their repetitions."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmark.disturbance import Disturbance
from benchmark.generator import Observation
from benchmark.scenarios import Measurement

MORE_IS_BETTER = frozenset({"per_second", "mb_per_second", "times", "measured"})


@dataclass(frozen=True)
class Summary:
    """One figure over all repetitions; the spread is the whole range as a share of the median."""

    best: float
    median: float
    spread: float
    values: tuple[float, ...]


def summary(figure: str, values: Sequence[float]) -> Summary:
    """Summarise a figure's values: the best is the lowest, or the highest where more is better."""
    best = max(values) if figure in MORE_IS_BETTER else min(values)
    median = statistics.median(values)
    return Summary(best, median, (max(values) - min(values)) / abs(median) if median else 0.0, tuple(values))


@dataclass
class Cell:
    """What one subject did in one scenario; ``trouble`` says why there is no more."""

    measurements: list[Measurement] = field(default_factory=list)
    trouble: str = ""

    def summaries(self) -> dict[str, Summary]:
        """Summarise each figure."""
        names = self.measurements[0].figures if self.measurements else {}
        return {name: summary(name, [each.figures[name] for each in self.measurements]) for name in names}

    def observations(self) -> list[Observation]:
        """Return what stands behind the figures, in the order of time."""
        return [observation for each in self.measurements for observation in each.observations]


@dataclass
class Results:
    """All cells of a run."""

    order: list[str] = field(default_factory=list)  # of the subjects
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)  # by scenario and subject, as they were first run

    def cell(self, scenario: str, subject: str) -> Cell:
        """Return a cell, made when it is asked for first."""
        return self.cells.setdefault((scenario, subject), Cell())

    def figure(self, scenario: str, figure: str, subject: str) -> Summary | None:
        """Return one figure of one subject, if it was measured."""
        cell = self.cells.get((scenario, subject))
        return cell.summaries().get(figure) if cell else None

    def subjects(self) -> list[str]:
        """Return the subjects that took part, in order."""
        took_part = {subject for _, subject in self.cells}
        return [name for name in self.order if name in took_part]

    def scenarios(self) -> list[str]:
        """Return the scenarios that were run, in order."""
        return list(dict.fromkeys(scenario for scenario, _ in self.cells))

    def troubles(self) -> list[str]:
        """Return a line for each thing that went wrong, with the scenarios that it kept from being measured."""
        found: dict[tuple[str, str], list[str]] = {}
        for (scenario, subject), cell in self.cells.items():
            if cell.trouble:
                found.setdefault((subject, cell.trouble), []).append(scenario)
        return [f"{subject}: {trouble} ({', '.join(scenarios)})" for (subject, trouble), scenarios in found.items()]

    def usual_calibrations(self) -> dict[int, float]:
        """Return each core's median calibration over the whole run."""
        return usual(each.disturbance for cell in self.cells.values() for each in cell.observations())

    def disturbances(self) -> list[str]:
        """Return a line for each cell beside whose measurements something went on that may have changed them."""
        calibrations = self.usual_calibrations()
        lines = []
        for (scenario, subject), cell in self.cells.items():
            reasons = [each.disturbed_by(calibrations) for each in cell.measurements]
            if disturbed := [", ".join(why) for why in reasons if why]:
                times = f"{len(disturbed)} of {len(reasons)}"
                lines.append(f"{scenario}, {subject}, {times}: {'; '.join(disturbed)}")
        return lines


def usual(disturbances: Iterable[Disturbance]) -> dict[int, float]:
    """Return the median calibration of each core."""
    values: dict[int, list[float]] = {}
    for disturbance in disturbances:
        for core, calibrations in disturbance.calibrations.items():
            values.setdefault(core, []).extend(calibrations)
    return {core: statistics.median(found) for core, found in values.items()}
