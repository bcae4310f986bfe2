from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import has

from mmp.config.clients import KeyPair
from mmp.config.reference import docs, reference
from mmp.config.schema import OVERRIDABLE, Config, Listener
from mmp.config.stores import Pool
from mmp.config.tables import keys

ROOT = Path(__file__).parents[2]


def shapes(shape: Any) -> list[Any]:
    return [shape, *(inner for kind in keys(shape).values() if has(kind) for inner in shapes(kind))]


@pytest.mark.parametrize("shape", [*shapes(Config), Listener, KeyPair, Pool])
def test_every_key_is_explained_in_one_sentence(shape):
    sentences = docs(shape)
    needed = [key for key in keys(shape) if key not in {"listener", *(OVERRIDABLE if shape is Listener else ())}]
    assert [key for key in needed if not sentences.get(key, "").endswith(".")] == []


def test_the_reference_has_every_key_with_its_default():
    text = reference()
    for shape in [*shapes(Config), Listener]:
        for key, kind in keys(shape).items():
            assert has(kind) or key in {"listener", "pool"} or f"| `{key}` |" in text
    assert "`[pool.NAME]`" in text
    assert '| `deadline` | a duration such as "90s", of at least "1ms" | `"1m"` |' in text


def test_every_row_has_four_cells():
    rows = [line for line in reference().splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}


def test_it_is_printed_by_running_the_module():
    command = [sys.executable, "-m", "mmp.config.reference"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout == reference()
