# ruff: noqa: INP001 - Sphinx reads this file by its path
"""How the documentation is built: ``sphinx-build -W docs docs/_build``."""

import runpy
import sys
from contextlib import redirect_stdout
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from mmp import __version__  # noqa: E402 - found through the line above

project = "mmp"
release = version = __version__
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {"description": "A multiplexing proxy for mail", "fixed_sidebar": True}
html_copy_source = False


def setup(_app: object) -> None:
    """Write the reference of the configuration from its schema, before the sources are read."""
    with (HERE / "reference" / "configuration.md").open("w", encoding="utf-8") as written, redirect_stdout(written):
        runpy.run_module("mmp.config.reference", run_name="__main__")
