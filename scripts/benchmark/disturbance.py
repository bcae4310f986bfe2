"""Whether the machine was ours while we measured: stolen time, others' time, and a loop that always costs the same."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TOLERANCE = 0.10
LOOP_OCTETS = bytes(1 << 20)
LOOP_REPETITIONS = 5


@dataclass(frozen=True)
class CoreTimes:
    """Seconds that some cores have spent since boot, added up."""

    busy: float
    stolen: float


def core_times(stat: str, cores: Iterable[int]) -> CoreTimes:
    """Read the text of /proc/stat; what waits or idles is not busy, what guests use is in user time already."""
    wanted = {f"cpu{core}" for core in cores}
    rows = [list(map(int, line.split()[1:9])) for line in stat.splitlines() if line.split(" ", 1)[0] in wanted]
    ticks = os.sysconf("SC_CLK_TCK")
    busy = sum(user + nice + system + irq + softirq for user, nice, system, _, _, irq, softirq, _ in rows)
    return CoreTimes(busy / ticks, sum(row[7] for row in rows) / ticks)


def core_times_now(cores: Iterable[int]) -> CoreTimes:
    """Read the cores' times from the kernel."""
    return core_times(Path("/proc/stat").read_text(), cores)


def calibrate(cores: Iterable[int]) -> dict[int, float]:
    """Return for each core how many milliseconds of CPU a fixed loop costs there: the least of a few tries."""
    home = os.sched_getaffinity(0)
    try:
        return {core: loop_ms(core) for core in cores}
    finally:
        os.sched_setaffinity(0, home)


def loop_ms(core: int) -> float:
    """Run the loop on one core."""
    os.sched_setaffinity(0, {core})
    least = float("inf")
    for _ in range(LOOP_REPETITIONS):
        begun = time.thread_time_ns()
        hashlib.sha256(LOOP_OCTETS).digest()
        least = min(least, (time.thread_time_ns() - begun) / 1e6)
    return least


@dataclass(frozen=True)
class Disturbance:
    """What went on beside one measurement; shares are of the cores' whole time, calibrations in milliseconds."""

    stolen: float
    foreign: float
    calibrations: dict[int, list[float]]

    def reasons(self, usual: dict[int, float]) -> list[str]:
        """Say what was off by more than the tolerance; ``usual`` is each core's calibration over the whole run."""
        found = [
            f"core {core} {'slower' if off > 0 else 'faster'} by {abs(off):.0%}"
            for core, values in self.calibrations.items()
            for off in [max((value / usual[core] - 1 for value in values), key=abs)]
            if abs(off) > TOLERANCE
        ]
        if self.stolen > TOLERANCE:
            found.append(f"{self.stolen:.0%} stolen by the host")
        if self.foreign > TOLERANCE:
            found.append(f"{self.foreign:.0%} taken by other programs")
        return found
