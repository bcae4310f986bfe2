"""The scenarios: what load each puts on a proxy, and which figures come of it."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.accounting import pss_kib
from benchmark.generator import Load, Observation, load
from benchmark.laboratory import Laboratory, Trouble
from benchmark.mail import Transport
from benchmark.mmp import USERS
from benchmark.subjects import Instance, Setup

MIB = 1 << 20
GB = 1e9
SETTLE_SECONDS = 1.0
GENTLE = 16
"""Logins at a time where what they need at their peak would hide what a session at rest needs."""

SPARE_CONNECTIONS = 150
"""Of those that descriptors allow, for logins beside the idle sessions."""

DISTURBER = Path(__file__).with_name("disturber.py")

UNDISTURBED, STOPPED_STORE = "undisturbed", "stopped-store"
WAYS = ("silent", "half-handshakes", "dribbling", "small-records", "never-reading")
"""What the disturber does, in its own words."""

LOOKED_UP_AT_ONCE = 2000
"""Users that one look-up measurement asks for; each measurement has users of its own."""


@dataclass(frozen=True)
class Effort:
    """How much is done per measurement; the sizes make one last about a second."""

    repetitions: int
    long_repetitions: int  # of scenarios that last long and vary little
    logins: int = 3000
    concurrency: int = 128
    bulk_sessions: int = 8
    bulk_octets: int = 32 * MIB
    bulk_rounds: int = 4
    round_trip_sessions: int = 16
    round_trips: int = 2000
    watch_seconds: float = 2.0
    paced_rate: int = 200
    admission_rate: int = 500
    paced_logins: int = 500
    outage_logins: int = 500


SHORT = Effort(repetitions=3, long_repetitions=1)
FULL = Effort(
    repetitions=4,
    long_repetitions=1,
    logins=6000,
    bulk_rounds=8,
    round_trips=4000,
    watch_seconds=5.0,
    paced_logins=2000,
    outage_logins=12_000,  # a minute of them
)


@dataclass(frozen=True)
class Measurement:
    """One repetition of a scenario on one subject: figures by name, and the observations that they come from."""

    figures: dict[str, float]
    observations: list[Observation]

    def disturbed_by(self, usual_calibrations: dict[int, float]) -> list[str]:
        """Say what else went on that may have changed the figures."""
        return [why for each in self.observations for why in each.disturbance.reasons(usual_calibrations)]


@dataclass(frozen=True)
class Bench:
    """What a scenario's function is given."""

    laboratory: Laboratory
    effort: Effort
    instances: Sequence[Instance]  # one for each of the scenario's setups
    repetition: int

    @property
    def instance(self) -> Instance:
        """Return the only, or first, instance."""
        return self.instances[0]


@dataclass(frozen=True)
class Scenario:
    """One row of the table of scenarios."""

    name: str
    measure: Callable[[Bench], Measurement]
    transport: Transport = Transport.CLEAR
    setups: tuple[Setup, ...] = (Setup(),)
    fresh: bool = False  # the proxy is started anew for each repetition
    long: bool = False  # it is not repeated as often
    in_short: bool = True


# ---- load


def churn(
    bench: Bench, transport: Transport, sessions: int, *, instance: Instance | None = None, **options: int
) -> Observation:
    """Have sessions begin, log in and end."""
    options = {"sessions": sessions, "users": USERS, "concurrency": bench.effort.concurrency, **options}
    on = instance or bench.instance
    with load(bench.laboratory, on, transport, mode="churn", script=["close"], options=options) as ready:
        return ready.work()


def warm_up(bench: Bench, transport: Transport) -> None:
    """Have every user log in once, so that what is made once is there and the cache is full."""
    churn(bench, transport, USERS, concurrency=GENTLE)


def paced(bench: Bench, transport: Transport, logins: int = 0) -> Observation:
    """Have sessions begin by the clock, so slowly that none waits for another."""
    return churn(bench, transport, logins or bench.effort.paced_logins, rate=bench.effort.paced_rate)


def holding(
    bench: Bench, transport: Transport, script: list[str], **options: int
) -> contextlib.AbstractContextManager[Load]:
    """Have sessions logged in that stay, and are ready for work if the script has any."""
    options = {"users": USERS, "concurrency": bench.effort.concurrency, **options}
    return load(bench.laboratory, bench.instance, transport, mode="hold", script=script, options=options)


# ---- logins


def login(transport: Transport, *, resume: bool = False) -> Callable[[Bench], Measurement]:
    """Measure CPU for each login, from the connection to its end, and how fast they go."""

    def measure(bench: Bench) -> Measurement:
        did = churn(bench, transport, bench.effort.logins, resume=int(resume))
        if resume and did.seen.resumed < did.seen.logins:
            raise Trouble(f"only {did.seen.resumed} of {did.seen.logins} sessions were resumed")
        return Measurement(login_figures(did), [did])

    return measure


def login_figures(did: Observation) -> dict[str, float]:
    """Return what a login costs and how long it takes."""
    return {
        "ms": 1e3 * did.proxy_cpu / did.seen.logins,
        "per_second": did.seen.logins / did.seen.seconds,
        "p50_ms": did.seen.p50_us / 1e3,
        "p99_ms": did.seen.p99_us / 1e3,
    }


def far_store(bench: Bench) -> Measurement:
    """Measure how often a login has to wait for the store: its latency, each answer coming late."""
    did = paced(bench, Transport.CLEAR)
    return Measurement(login_figures(did), [did])


def lookup(bench: Bench) -> Measurement:
    """Measure what a login costs more when the directory has to be asked: the same users uncached, then cached."""
    first_user = USERS + bench.repetition * LOOKED_UP_AT_ONCE
    asked, cached = (
        churn(bench, Transport.CLEAR, LOOKED_UP_AT_ONCE, users=LOOKED_UP_AT_ONCE, first_user=first_user)
        for _ in ("asked", "cached")
    )
    extra = (asked.proxy_cpu - cached.proxy_cpu) / LOOKED_UP_AT_ONCE
    return Measurement({"us": 1e6 * extra, "per_second": LOOKED_UP_AT_ONCE / asked.seen.seconds}, [asked, cached])


def two_workers(bench: Bench) -> Measurement:
    """Measure whether a second worker doubles the capacity: TLS logins on one worker, then on two.

    Where generator and store leave the workers two cores, ``measured`` is the ratio of the rates. The ratio that
    follows from the CPU does not depend on that: twice as many cores, at what each login costs then, until the busier
    worker is full.
    """
    one, two = (churn(bench, Transport.IMPLICIT, 2 * bench.effort.logins, instance=i) for i in bench.instances)
    uneven = unevenness(two.worker_cpu[:2])
    dearer = (two.proxy_cpu / two.seen.logins) / (one.proxy_cpu / one.seen.logins)
    figures = {"times": 2 / dearer / uneven, "uneven": uneven}
    if bench.laboratory.cores.separate:
        figures["measured"] = (two.seen.logins / two.seen.seconds) / (one.seen.logins / one.seen.seconds)
    return Measurement(figures, [one, two])


def admission(bench: Bench) -> Measurement:
    """Measure what it costs to have everything limited and throttled: to workers, and to the supervisor.

    Both at the same pace, in turns: first without, then with, then without again, so that a drift weighs nothing.
    """
    free, limited = bench.instances
    logins = 2 * bench.effort.paced_logins
    did = [
        churn(bench, Transport.CLEAR, logins, instance=each, rate=bench.effort.admission_rate)
        for each in (free, limited, limited, free)
    ]
    workers = [each.proxy_cpu - each.first_cpu for each in did]
    first = [each.first_cpu for each in did]
    return Measurement(
        {"worker_us": dearer(workers, logins), "supervisor_us": dearer(first, logins)},
        did,
    )


def dearer(cpu: Sequence[float], logins: int) -> float:
    """Return by how many microseconds for each login the two in the middle are dearer than the two outside."""
    before, *between, after = cpu
    return 1e6 * (sum(between) - before - after) / 2 / logins


def unevenness(worker_cpu: Sequence[float]) -> float:
    """Return how much the busiest worker had to do, compared to the mean; 1 for a proxy whose workers are threads."""
    return max(worker_cpu) / statistics.mean(worker_cpu) if len(worker_cpu) > 1 else 1.0


# ---- relaying


def bulk(transport: Transport) -> Callable[[Bench], Measurement]:
    """Measure CPU for each GB that a store sends to clients, and the rate."""

    def measure(bench: Bench) -> Measurement:
        effort = bench.effort
        work = ["work", *bench.instance.task.mail.bulk(effort.bulk_octets)]
        amount = {"rounds": effort.bulk_rounds, "skip": effort.bulk_octets}
        with holding(bench, transport, work, sessions=effort.bulk_sessions, **amount) as ready:
            did = ready.work()
        figures = {
            "s_per_gb": did.proxy_cpu / did.seen.octets * GB,
            "mb_per_second": did.seen.octets / 1e6 / did.seen.seconds,
        }
        return Measurement(figures, [did])

    return measure


def round_trip(transport: Transport) -> Callable[[Bench], Measurement]:
    """Measure CPU for each small command with its small answer."""

    def measure(bench: Bench) -> Measurement:
        effort = bench.effort
        work = ["work", *bench.instance.task.mail.short]
        amount = {"sessions": effort.round_trip_sessions, "rounds": effort.round_trips}
        with holding(bench, transport, work, **amount) as ready:
            did = ready.work()
        trips = effort.round_trip_sessions * effort.round_trips
        figures = {"us": 1e6 * did.proxy_cpu / trips, "per_second": trips / did.seen.seconds}
        return Measurement(figures, [did])

    return measure


# ---- disturbed


def disturbed(*ways: str) -> Callable[[Bench], Measurement]:
    """Measure the latency of logins by the clock, undisturbed and then while others misbehave in each of these ways."""

    def measure(bench: Bench) -> Measurement:
        calm = paced(bench, Transport.CLEAR)
        figures, observations = {UNDISTURBED: calm.seen.p99_us / 1e3}, [calm]
        for way in ways:
            with disturbing(bench, way):
                did = paced(bench, Transport.CLEAR, bench.effort.outage_logins if way == STOPPED_STORE else 0)
            figures[way] = did.seen.p99_us / 1e3
            figures[times(way)] = did.seen.p99_us / calm.seen.p99_us
            observations.append(did)
            time.sleep(SETTLE_SECONDS)  # thousands have gone at once: that is no part of the next one's
        return Measurement(figures, observations)

    return measure


def times(way: str) -> str:
    """Return the name of the figure that compares a disturbance to none."""
    return f"{way}, times undisturbed"


@contextlib.contextmanager
def disturbing(bench: Bench, way: str) -> Iterator[None]:
    """Have the proxy disturbed."""
    task, laboratory = bench.instance.task, bench.laboratory
    words = [
        "nice",
        "-n",
        "19",
        sys.executable,
        str(DISTURBER),
        way,
        *map(str, (task.clear, task.implicit, task.store)),
    ]
    program = laboratory.start("disturber", words, laboratory.cores.load, output=subprocess.PIPE)
    try:
        laboratory.await_line(program, "ready")
        yield
        if program.process.poll() is not None:
            raise Trouble(f"the disturber has ended: {program.last_words()}")
    finally:
        laboratory.stop(program)


# ---- sitting idle


def idle(transport: Transport, most_sessions: int) -> Callable[[Bench], Measurement]:
    """Measure memory for each session that is logged in and idle, CPU while all are, and logins of others beside them.

    The proxy has to be fresh, or memory that earlier sessions have left would be used again unseen.
    """

    def measure(bench: Bench) -> Measurement:
        sessions = min(most_sessions, bench.laboratory.most_connections() - SPARE_CONNECTIONS)
        warm_up(bench, transport)
        time.sleep(SETTLE_SECONDS)
        account = bench.instance.proxy.account
        empty = pss_kib(account)
        with holding(
            bench, transport, bench.instance.task.mail.resting(), sessions=sessions, concurrency=GENTLE
        ) as held:
            time.sleep(SETTLE_SECONDS)
            full = pss_kib(account)
            used = account.cpu_ns()
            time.sleep(bench.effort.watch_seconds)
            used = account.cpu_ns() - used
            did = paced(bench, transport)
            held.finish()
        figures = {
            "sessions": sessions,
            "kib": (full - empty) / sessions,
            "base_mib": empty / 1024,
            "cpu_ms_per_second": used / 1e6 / bench.effort.watch_seconds,
            "p50_ms": did.seen.p50_us / 1e3,
            "p99_ms": did.seen.p99_us / 1e3,
        }
        return Measurement(figures, [did])

    return measure


def idle_scenario(name: str, transport: Transport, sessions: int, *, in_short: bool) -> Scenario:
    """Return an idle scenario."""
    return Scenario(name, idle(transport, sessions), transport, fresh=True, long=True, in_short=in_short)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("login", login(Transport.CLEAR)),
    Scenario("login-starttls", login(Transport.STARTTLS), Transport.STARTTLS),
    Scenario("login-tls", login(Transport.IMPLICIT), Transport.IMPLICIT),
    Scenario("login-resumed", login(Transport.IMPLICIT, resume=True), Transport.IMPLICIT),
    Scenario("bulk", bulk(Transport.CLEAR)),
    Scenario("bulk-tls", bulk(Transport.IMPLICIT), Transport.IMPLICIT),
    Scenario("round-trip", round_trip(Transport.CLEAR)),
    Scenario("round-trip-tls", round_trip(Transport.IMPLICIT), Transport.IMPLICIT),
    idle_scenario("idle", Transport.CLEAR, 2000, in_short=True),
    idle_scenario("idle-tls", Transport.IMPLICIT, 2000, in_short=True),
    idle_scenario("idle-10000", Transport.CLEAR, 10000, in_short=False),
    idle_scenario("idle-tls-10000", Transport.IMPLICIT, 10000, in_short=False),
    Scenario("lookup", lookup, setups=(Setup(ldap=True),)),
    Scenario("far-store", far_store, setups=(Setup(store_delay_us=5000),), long=True),
    Scenario("disturbance", disturbed(*WAYS), Transport.IMPLICIT, long=True),
    Scenario("disturbance-store", disturbed(STOPPED_STORE), setups=(Setup(stopped_store=True),), long=True),
    Scenario("admission", admission, setups=(Setup(workers=2, limited=False), Setup(workers=2, limited=True))),
    Scenario("two-workers", two_workers, Transport.IMPLICIT, (Setup(), Setup(workers=2)), in_short=False),
)
