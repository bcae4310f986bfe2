"""Runs the load generator against an instance, and observes what that costs."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from benchmark import accounting, disturbance
from benchmark.disturbance import Disturbance
from benchmark.laboratory import Laboratory, Program, Trouble
from benchmark.mail import Transport
from benchmark.subjects import Instance

QUIET_SECONDS = 0.05
"""How long the ends of sessions may take to be booked after the generator has seen the last of them."""


@dataclass(frozen=True)
class Seen:
    """What the load generator saw."""

    seconds: float
    logins: int
    resumed: int
    octets: int
    p50_us: float
    p99_us: float
    max_us: float


@dataclass(frozen=True)
class Observation:
    """One piece of work: what was seen, what it cost, and what else went on. CPU times are in seconds."""

    seen: Seen
    proxy_cpu: float
    load_cpu: float  # the generator's and the store's
    worker_cpu: tuple[float, ...]  # of each process of the proxy, busiest first
    disturbance: Disturbance
    first_cpu: float = 0.0  # of the process that was started: mmp's supervisor

    @property
    def proxy_busy(self) -> float:
        """Return the proxy's share of one core while the work was done."""
        return self.proxy_cpu / self.seen.seconds

    @property
    def load_busy(self) -> float:
        """Return the generator's and the store's share of one core."""
        return self.load_cpu / self.seen.seconds


@dataclass(frozen=True)
class Load:
    """A load generator that is ready to work."""

    laboratory: Laboratory
    instance: Instance
    program: Program

    def work(self) -> Observation:
        """Have the work done that the generator was started for."""
        return observe(self.laboratory, self.instance, self.finish)

    def finish(self) -> Seen:
        """Give the word and wait for the results."""
        pipes = self.program.process
        assert pipes.stdin  # noqa: S101 - started with pipes
        assert pipes.stdout  # noqa: S101 - likewise
        with contextlib.suppress(BrokenPipeError):
            pipes.stdin.write("go\n")
            pipes.stdin.flush()
        results = pipes.stdout.readline()
        if not results:
            raise Trouble(self.program.last_words())
        return Seen(**json.loads(results))


def observe(laboratory: Laboratory, instance: Instance, work: Callable[[], Seen]) -> Observation:
    """Do some work and book its costs; calibrate before and after."""
    cores = sorted(laboratory.cores.two | laboratory.cores.load | laboratory.cores.store)
    before = disturbance.calibrate(cores)
    all_before, ours_before = disturbance.core_times_now(cores), laboratory.our_cpu_ns()
    workers_before = cpu_by_process(instance)
    proxy_before = instance.proxy.account.cpu_ns()
    begun = time.monotonic()
    seen = work()
    time.sleep(QUIET_SECONDS)
    proxy = (instance.proxy.account.cpu_ns() - proxy_before) / 1e9
    whole = (time.monotonic() - begun) * len(cores)
    workers, first = cpu_by_process(instance), instance.proxy.process.pid
    ours = (laboratory.our_cpu_ns() - ours_before) / 1e9
    everything = disturbance.core_times_now(cores)
    after = disturbance.calibrate(cores)
    return Observation(
        seen,
        proxy,
        ours - proxy,
        tuple(sorted(((cpu - workers_before.get(pid, 0)) / 1e9 for pid, cpu in workers.items()), reverse=True)),
        Disturbance(
            stolen=(everything.stolen - all_before.stolen) / whole,
            foreign=max(0.0, everything.busy - all_before.busy - ours) / whole,
            calibrations={core: [before[core], after[core]] for core in cores},
        ),
        first_cpu=(workers.get(first, 0) - workers_before.get(first, 0)) / 1e9,
    )


def cpu_by_process(instance: Instance) -> dict[int, int]:
    """Return the CPU time of each process of the proxy."""
    return {pid: accounting.process_cpu_ns(pid) for pid in instance.proxy.account.pids()}


@contextlib.contextmanager
def load(
    laboratory: Laboratory,
    instance: Instance,
    transport: Transport,
    *,
    mode: str,
    script: list[str],
    options: Mapping[str, int],
) -> Iterator[Load]:
    """Start a load generator and wait until it is ready to work; it ends with the context."""
    separate = instance.task.setup.workers == 1 or laboratory.cores.separate
    cores = laboratory.cores.load if separate else laboratory.cores.two | laboratory.cores.load
    words = [f"{name}={value}" for name, value in options.items()]
    opening = instance.task.mail.opening(transport)
    program = laboratory.start_own(
        "load", ["load", mode, str(instance.port(transport)), *words, "--", *opening, *script], cores
    )
    try:
        laboratory.await_line(program, "ready")
        yield Load(laboratory, instance, program)
    finally:
        laboratory.stop(program)
