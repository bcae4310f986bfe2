"""The documentation builds without a warning."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_documentation_builds_with_warnings_as_errors(tmp_path: Path) -> None:
    sources, pages = tmp_path / "docs", tmp_path / "pages"
    shutil.copytree(ROOT / "docs", sources, ignore=shutil.ignore_patterns("_build"))
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", sources, pages],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    assert "shutdown_grace" in (pages / "reference" / "configuration.html").read_text("utf-8")
