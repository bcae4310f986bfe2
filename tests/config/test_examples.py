from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import has

from mmp.config.load import load
from mmp.config.schema import OVERRIDABLE, Config, Listener
from mmp.config.tables import keys
from tests.config.folder import Folder

CONF = Path(__file__).parents[2] / "conf"


def paths(table: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, item in table.items():
        if isinstance(item, dict):
            yield from paths(item, f"{path}{key}.")
        else:
            yield f"{path}{key}"


def schema_paths(shape: Any, path: str = "") -> Iterator[str]:
    for key, kind in keys(shape).items():
        if has(kind):
            yield from schema_paths(kind, f"{path}{key}.")
        else:
            yield f"{path}{key}"


def test_the_complete_example_has_every_key_in_the_order_of_the_schema():
    table = tomllib.loads((CONF / "mmp.toml").read_text())
    (listener,) = table.pop("listener")
    assert list(listener) == [key for key in keys(Listener) if key not in OVERRIDABLE]
    assert list(paths(table)) == [
        path for path in schema_paths(Config) if path not in {"listener", "pool", "directory.plugin"}
    ]


def test_the_complete_example_has_every_default(folder: Folder):
    shutil.copy(CONF / "mmp.toml", folder.path / "complete.toml")
    complete = load(str(folder.path / "complete.toml"))
    assert complete.config == folder.load("[[listener]]").config


def test_the_complete_example_has_a_comment_on_each_key():
    lines = (CONF / "mmp.toml").read_text().splitlines()
    assert [line for line in lines if "=" in line and "#" not in line] == []


@pytest.mark.parametrize("example", sorted(CONF.glob("*.toml")), ids=lambda example: example.stem)
def test_each_example_loads_once_the_files_that_it_names_are_there(folder: Folder, example):
    for name in ("imap", "one", "two", "stores"):
        folder.pair(f"tls/{name}.pem", f"tls/{name}.key")
    folder.pair("tls/fullchain.pem", "tls/privkey.pem")
    folder.write("secrets/ldap", "hunter2")
    folder.write("users.toml", '[users."alice@example.com"]\nmailHost = "store1.example.com"')
    assert folder.mistakes(example.read_text()) == []


@pytest.mark.parametrize("example", sorted(CONF.glob("*.toml")), ids=lambda example: example.stem)
def test_the_lines_of_each_example_are_at_most_120_wide(example):
    assert all(len(line) <= 120 for line in example.read_text().splitlines())
