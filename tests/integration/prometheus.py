"""A real Prometheus that scrapes a proxy every second and judges our alert rules."""

import json
import subprocess
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from attrs import frozen

from tests.integration.waiting import until

CONF = Path(__file__).parents[2] / "conf"


@frozen
class Prometheus:
    """Where it answers."""

    port: int

    def get(self, path, **parameters):
        """Return what its API says."""
        with urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(parameters)}", timeout=30) as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        """Return the samples that match now."""
        return self.get("query", query=expression)["result"]


@contextmanager
def prometheus(directory, port, target):
    """Run one with the alert rules, scraping the target."""
    rules = json.dumps(str(CONF / "alerts.yml"))
    (directory / "prometheus.yml").write_text(
        f"global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n"
        f"rule_files: [{rules}]\n"
        f"scrape_configs: [{{ job_name: mmp, static_configs: [{{ targets: ['{target}'] }}] }}]\n"
    )
    command = [
        "prometheus",
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'numbers'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (directory / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            served = Prometheus(port)
            until(lambda: _answers(served), (directory / "log").read_text())
            yield served
        finally:
            process.terminate()


def _answers(served):
    try:
        return served.get("status/runtimeinfo")
    except OSError:
        return None
