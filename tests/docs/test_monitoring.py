"""The reference of the metrics leaves nothing out."""

import re
from pathlib import Path

from mmp.observe.exposition import METRICS, PREFIX

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "monitoring.md").read_text("utf-8")


def test_every_metric_is_described_with_its_labels() -> None:
    rows = re.findall(r"^\| `(mmp_[a-z_]+)` \| (.*?) \|", TEXT, re.MULTILINE)
    described = {name: tuple(re.findall("`([a-z]+)`", labels)) for name, labels in rows}
    assert described == {PREFIX + name: kind.labels for name, kind in METRICS.items()}
