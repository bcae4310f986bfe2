"""What the pages say to type is there to be typed, and the configurations in them load."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from mmp.cli.main import parser
from tests.config.folder import Folder
from tests.docs.fences import FENCE

PAGES = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))
_COMMAND = re.compile(r"^ *(?:sudo )?(mmp [a-z].*)$", re.MULTILINE)
CONFIGURATIONS = ("installation", "moving")


def code(page: Path) -> str:
    """Return what stands in code blocks, fenced or indented."""
    text = page.read_text("utf-8")
    fenced = "\n".join(block for kind, block in FENCE.findall(text) if kind in {"sh", "shell", ""})
    indented = "\n".join(line for line in FENCE.sub("", text).splitlines() if line.startswith("    "))
    return f"{fenced}\n{indented}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_is_one_with_these_options(page: Path) -> None:
    for line in _COMMAND.findall(code(page)):
        _, *arguments = shlex.split(line, comments=True)
        assert parser().parse_args(arguments)  # SystemExit if it is wrong


@pytest.mark.parametrize("page", CONFIGURATIONS)
def test_every_whole_configuration_loads(tmp_path: Path, page: str) -> None:
    folder = Folder(tmp_path)
    folder.pair("tls/fullchain.pem", "tls/privkey.pem")
    folder.write("secrets/ldap", b"secret\n")
    folder.write("users.toml", b'[users."alice@example.com"]\nmailHost = "store1"\n')
    (document,) = [each for each in PAGES if each.stem == page]
    found = [block for kind, block in FENCE.findall(document.read_text("utf-8")) if kind == "toml"]
    assert found
    for block in found:
        assert folder.load(block)


@pytest.mark.parametrize("page", ["attack", "limits"])
def test_every_preset_loads(tmp_path: Path, page: str) -> None:
    folder = Folder(tmp_path)
    for name in ("redis", "shared", "wforce"):
        folder.write(f"secrets/{name}", b"secret\n")
    (document,) = [each for each in PAGES if each.stem == page]
    for kind, block in FENCE.findall(document.read_text("utf-8")):
        if kind == "toml":
            folder.load(f'{block}\n[[listener]]\ntls = "none"')


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_piece_of_a_configuration_is_toml(page: Path) -> None:
    for kind, block in FENCE.findall(page.read_text("utf-8")):
        if kind == "toml":
            tomllib.loads(block)
