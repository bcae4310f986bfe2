"""One run: every scenario, each repetition going round the subjects, so that what changes with time hits all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmark.laboratory import Laboratory, Trouble
from benchmark.mail import MailProtocol, Transport
from benchmark.results import Results
from benchmark.scenarios import Bench, Effort, Scenario, warm_up
from benchmark.subjects import Direct, Instance, Setup, Subject, set_up


@dataclass
class Run:
    """Carries scenarios out and keeps what they find."""

    laboratory: Laboratory
    mail: MailProtocol
    effort: Effort
    results: Results = field(default_factory=Results)
    instances: dict[tuple[str, Setup], Instance] = field(default_factory=dict)
    unusable: dict[tuple[str, Setup], str] = field(default_factory=dict)

    def everything(self, scenarios: Sequence[Scenario], subjects: Sequence[Subject]) -> None:
        """Run scenarios one after the other."""
        self.results.order = [each.name for each in subjects]
        for scenario in scenarios:
            able = [each for each in subjects if takes_part(each, scenario)]
            for repetition in range(self.effort.long_repetitions if scenario.long else self.effort.repetitions):
                for subject in able:
                    self.once(scenario, subject, repetition)

    def once(self, scenario: Scenario, subject: Subject, repetition: int) -> None:
        """Do one repetition on one subject, unless an earlier one has failed."""
        cell = self.results.cell(scenario.name, subject.name)
        if cell.trouble:
            return
        print(f"bench: {scenario.name} {repetition + 1}: {subject.name}", file=sys.stderr)
        if scenario.fresh:
            self.discard(subject, scenario.setups)
        try:
            instances = [self.instance(subject, setup) for setup in scenario.setups]
            cell.measurements.append(scenario.measure(Bench(self.laboratory, self.effort, instances, repetition)))
        except Trouble as trouble:
            cell.trouble = f"{trouble}{self.words_of(subject, scenario.setups)}"
        if scenario.fresh or cell.trouble:
            self.discard(subject, scenario.setups)

    def instance(self, subject: Subject, setup: Setup) -> Instance:
        """Return a subject that runs in a setup and has warmed up; what would not start is not tried again."""
        key = subject.name, setup
        if key in self.unusable:
            raise Trouble(self.unusable[key])
        if key not in self.instances:
            try:
                self.instances[key] = set_up(self.laboratory, subject, setup, self.mail)
            except Trouble as trouble:
                self.unusable[key] = str(trouble)
                raise
            warm_up(Bench(self.laboratory, self.effort, [self.instances[key]], 0), Transport.CLEAR)
        return self.instances[key]

    def words_of(self, subject: Subject, setups: Sequence[Setup]) -> str:
        """Return what the proxies themselves said last."""
        proxies = [
            self.instances[subject.name, setup].proxy for setup in setups if (subject.name, setup) in self.instances
        ]
        return "".join(f"; its log: {proxy.last_words()}" for proxy in proxies)

    def discard(self, subject: Subject, setups: Sequence[Setup]) -> None:
        """End the instances of a subject."""
        for setup in setups:
            if instance := self.instances.pop((subject.name, setup), None):
                instance.stop(self.laboratory)


def takes_part(subject: Subject, scenario: Scenario) -> bool:
    """Say whether a scenario can be run on a subject, and says something about it."""
    if scenario.fresh and isinstance(subject, Direct):
        return False  # a store's own memory tells nothing
    return scenario.transport in subject.transports and all(map(subject.can, scenario.setups))
