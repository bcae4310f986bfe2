"""The parts of the benchmark that measure nothing: statistics, accounting's parsers, scripts, the report."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

from benchmark import accounting, disturbance, laboratory, report, results
from benchmark.generator import Observation, Seen
from benchmark.mail import IMAP, Transport
from benchmark.scenarios import Measurement, times, unevenness

PROC_STAT = """\
cpu  100 0 100 1000 50 0 10 30 0 0
cpu0 60 10 40 500 20 5 5 10 7 0
cpu1 40 0 60 500 30 0 5 20 0 0
intr 1 2 3
"""
PID_STAT = "42 (a (strange) name) S 7 42 42 0 -1 4194560 1 2 3 4 11 22 33 44 20 0 1 0 5 6 7"
SEEN = Seen(seconds=2.0, logins=1000, resumed=0, octets=1, p50_us=1.0, p99_us=2.0, max_us=3.0)


def observation(*, calibration=10.0, foreign=0.0, stolen=0.0):
    what_else = disturbance.Disturbance(stolen, foreign, {0: [calibration, 10.0]})
    return Observation(SEEN, proxy_cpu=1.0, load_cpu=0.5, worker_cpu=(1.0,), disturbance=what_else)


def found(**figures_by_subject):
    """Return the results of a run of ``login`` alone, from each subject's values of ``ms``."""
    run = results.Results(order=list(figures_by_subject))
    for subject, values in figures_by_subject.items():
        run.cell("login", subject).measurements += [Measurement({"ms": v}, [observation()]) for v in values]
    return run


# ---- statistics


def test_the_best_of_a_cost_is_the_lowest():
    assert results.summary("ms", [3.0, 1.0, 2.0]) == results.Summary(1.0, 2.0, 1.0, (3.0, 1.0, 2.0))


def test_the_best_of_a_rate_is_the_highest():
    assert results.summary("per_second", [3.0, 1.0, 2.0]).best == 3.0


def test_a_figure_that_is_always_zero_has_no_spread():
    assert results.summary("cpu_ms_per_second", [0.0, 0.0]).spread == 0.0


@pytest.mark.parametrize(("cpu", "expected"), [((1.0, 1.0), 1.0), ((3.0, 1.0), 1.5), ((5.0,), 1.0)])
def test_unevenness_is_the_busiest_worker_over_the_mean(cpu, expected):
    assert unevenness(cpu) == expected


# ---- accounting


def test_a_process_name_with_parentheses_does_not_shift_the_fields():
    assert accounting.ticks_with_children(PID_STAT) == 11 + 22 + 33 + 44
    assert accounting.parent_of(PID_STAT) == 7


def test_an_ended_process_has_no_parent():
    assert accounting.parent_of("") == 0


def test_a_version_2_group_tells_its_usage():
    assert accounting.usage_us("usage_usec 1234\nuser_usec 1000\nsystem_usec 234\n") == 1234


def test_proportional_memory_is_read_from_its_line():
    assert accounting.pss_in("Rss:  900 kB\nPss:  321 kB\nPss_Dirty:  5 kB\n") == 321


def test_groups_are_tried_under_our_own_then_the_root_then_version_1():
    mounts = (
        "c2 /cg/unified cgroup2 rw 0 0\nc1 /cg/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\nc1 /cg/pids cgroup rw,pids 0 0\n"
    )
    assert accounting.cgroup_parents(mounts, "3:pids:/a\n0::/user/me\n") == [
        Path("/cg/unified/user/me"),
        Path("/cg/unified"),
        Path("/cg/cpu,cpuacct"),
    ]


def test_cores_times_leave_idling_waiting_and_guests_out():
    times = disturbance.core_times(PROC_STAT, [0])
    assert times.busy * 10 == pytest.approx(times.stolen * (60 + 10 + 40 + 5 + 5))


# ---- disturbance


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({}, []),
        ({"calibration": 10.9}, []),
        ({"calibration": 12.0}, ["core 0 slower by 20%"]),
        ({"calibration": 8.0}, ["core 0 faster by 20%"]),
        ({"stolen": 0.2}, ["20% stolen by the host"]),
        ({"foreign": 0.3}, ["30% taken by other programs"]),
    ],
)
def test_what_is_off_by_more_than_a_tenth_is_told(what, expected):
    assert observation(**what).disturbance.reasons({0: 10.0}) == expected


def test_the_usual_calibration_is_the_median_of_the_run():
    many = [observation(calibration=value).disturbance for value in (10.0, 10.0, 99.0)]
    assert results.usual(many) == {0: 10.0}


def test_disturbed_repetitions_are_counted():
    run = found(mmp=[1.0, 1.0])
    run.cell("login", "mmp").measurements[1].observations[0] = observation(foreign=0.5)
    assert run.disturbances() == ["login, mmp, 1 of 2: 50% taken by other programs"]


# ---- cores and names


@pytest.mark.parametrize(
    ("available", "load", "store", "separate"),
    [([0, 1], {1}, {1}, False), ([4, 5, 6], {6}, {6}, True), ([0, 1, 2, 3], {2}, {3}, True)],
)
def test_the_load_stays_off_the_proxy_as_far_as_there_are_cores(available, load, store, separate):
    cores = laboratory.share_cores(available)
    assert (cores.one, cores.load, cores.store) == ({available[0]}, load, store)
    assert cores.separate is separate


def test_one_core_is_not_enough():
    with pytest.raises(laboratory.Trouble, match="two cores"):
        laboratory.share_cores([0])


def test_a_name_becomes_fit_for_a_file():
    assert laboratory.file_name("mmp-1 (new/one)") == "mmp-1-new-one-"


# ---- scripts


def test_implicit_tls_begins_before_the_greeting():
    assert IMAP.opening(Transport.IMPLICIT)[:3] == ["tls", "hear", "* OK"]


def test_starttls_begins_between_greeting_and_login():
    assert IMAP.opening(Transport.STARTTLS)[:6] == ["hear", "* OK", "say", "s STARTTLS", "s OK", "tls"]


# ---- the report


def test_a_proxy_that_costs_more_than_the_budget_is_marked():
    table = report.ratios(found(nginx=[0.1, 0.2], mmp=[0.25]))
    assert "| mmp | 2.50 ✗ |" in table
    assert "| *at most* | 2 |" in table


def test_a_peer_is_not_held_to_the_budget():
    assert "| dovecot | 2.50 |" in report.ratios(found(nginx=[0.1], dovecot=[0.25]))


def test_too_little_is_marked_where_the_budget_asks_for_more():
    column = report.Column("times", "two-workers", "times", 2, at_least=1.9)
    assert report.missed(column, 1.8)
    assert not report.missed(column, 2.0)
    assert report.limit(column) == "at least 1.9"


def test_what_misses_the_budget_is_listed_with_the_budget():
    missed = report.misses(found(nginx=[0.1, 0.2], mmp=[0.25]))
    assert missed == ["mmp, login ms: 2.50, budget at most 2"]
    assert report.misses(found(nginx=[0.1, 0.2], mmp=[0.15])) == []


def test_a_disturbed_p99_stands_beside_the_undisturbed_and_as_its_multiple():
    figures = {"undisturbed": 2.0, "silent": 3.0, times("silent"): 1.5}
    cells = {("disturbance", "mmp"): results.Cell([Measurement(figures, [observation()])])}
    text = report.report(results.Results(["mmp"], cells), [])
    assert "| mmp | 2.00 | 3.00 |" in text
    assert "| mmp | 1.50 |" in text


def test_a_proxy_within_the_budget_is_not_marked():
    assert "| mmp | 1.50 |" in report.ratios(found(nginx=[0.1], mmp=[0.15]))


def test_without_nginx_there_are_no_ratios():
    assert report.ratios(found(mmp=[1.0])) == ""


def test_subjects_are_reported_in_the_order_that_was_asked_for():
    text = report.costs(report.COSTS, found(nginx=[1.0], mmp=[2.0]), report.best)
    assert text.splitlines() == ["|  | login ms |", "| --- | --- |", "| nginx | 1.000 |", "| mmp | 2.000 |"]


def test_trouble_is_told_once_with_all_it_prevented():
    run = results.Results(order=["mmp"])
    run.cell("login", "mmp").trouble = run.cell("bulk", "mmp").trouble = "does not start"
    assert run.troubles() == ["mmp: does not start (login, bulk)"]


def test_the_instrument_tells_how_busy_both_sides_were():
    assert report.busy(found(mmp=[1.0]), "login", "mmp") == "50% + 25%"


def test_everything_measured_is_in_the_json():
    [only] = report.as_json(found(mmp=[1.0, 3.0]), ["a machine"])["results"]
    assert only["figures"]["ms"]["values"] == (1.0, 3.0)
    assert len(only["observations"]) == 2
