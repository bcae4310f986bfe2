"""Prometheus itself: it scrapes two workers, and what is in conf/ for it works."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from mmp.observe.exposition import METRICS, PREFIX
from tests.integration.client import connected
from tests.integration.people import ALICE, FIRST
from tests.integration.prometheus import CONF, prometheus
from tests.integration.rapid import rapid_store
from tests.integration.waiting import until


@pytest.fixture(scope="module")
def scraping(run_proxy, ports, tmp_path_factory):
    """A Prometheus that scrapes a proxy to which somebody has logged in."""
    store, http = ports.free(), f"127.0.0.1:{ports.free()}"
    settings = {"workers": 2, "login": {"restrict_plain_passwords": False}, "admin": {"http": http}}
    with (
        rapid_store(FIRST, store),
        run_proxy(store, **settings) as proxy,
        prometheus(tmp_path_factory.mktemp("prometheus"), ports.free(), http) as scraping,
        connected("127.0.0.1", proxy.port("starttls")) as client,
    ):
        proxy.logged(" serving ", "workers=2")
        assert client.command(b"a LOGIN %b %b" % (ALICE.user.encode(), ALICE.password))[-1].startswith(b"a OK")
        yield scraping


def expressions():
    """Return what the dashboard asks for, with its variables filled in."""
    panels = json.loads((CONF / "grafana.json").read_text())["panels"]
    for panel in panels:
        for target in panel["targets"]:
            yield target["expr"].replace("$instance", ".*").replace("$__rate_interval", "5s")


def test_what_it_scrapes_is_what_happened(scraping):
    logins = 'mmp_logins_total{result="ok",service="imap",mechanism="LOGIN"}'
    (sample,) = until(lambda: scraping.query(f"{logins} == 1"), "the login is scraped")
    assert sample["metric"]["job"] == "mmp"
    assert [sample["value"][1] for sample in scraping.query("up")] == ["1"]
    assert scraping.query("mmp_workers == 2")
    assert not scraping.query('scrape_samples_scraped{job="mmp"} > 1000')


def test_the_dashboards_expressions_are_right_and_of_metrics_that_there_are(scraping):
    found = list(expressions())
    named = {name for text in found for name in re.findall(r"\bmmp_[a-z_]+", text)}
    known = {PREFIX + name + end for name, kind in METRICS.items() for end in _endings(kind)}
    assert named <= known
    assert {re.sub("_bucket$", "", name) for name in named} >= {PREFIX + name for name in METRICS}
    for expression in found:
        scraping.query(expression)  # HTTPError if it is wrong


def _endings(kind):
    return ("_bucket", "_sum", "_count") if kind.kind == "histogram" else ("",)


def test_the_rules_are_of_metrics_that_there_are_and_judged_without_an_error(scraping):
    until(lambda: _health(scraping) == {"ok"}, "all rules were judged")
    (group,) = scraping.get("rules")["groups"]
    known = {PREFIX + name + end for name, kind in METRICS.items() for end in _endings(kind)}
    named = {name for rule in group["rules"] for name in re.findall(r"\bmmp_[a-z_]+", rule["query"])}
    assert named <= known
    assert len(group["rules"]) == (CONF / "alerts.yml").read_text().count("- alert:")


def _health(scraping):
    return {rule["health"] for group in scraping.get("rules")["groups"] for rule in group["rules"]}


def test_the_rules_tell_what_they_should():
    played = Path(__file__).with_name("alerts.yml")
    done = subprocess.run(["promtool", "test", "rules", str(played)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    subprocess.run(["promtool", "check", "rules", str(CONF / "alerts.yml")], check=True)
