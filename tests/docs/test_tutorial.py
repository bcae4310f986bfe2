"""The tutorial does what it says: its commands are run against a demo of our own."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import takewhile
from pathlib import Path
from typing import IO

import pytest

from mmp.demo.listeners import PORTS
from tests.docs.fences import Example, examples, occurs
from tests.integration.ports import Ports

ROOT = Path(__file__).parents[2]
TUTORIAL = tuple(examples(ROOT / "docs" / "tutorial.md"))
MMP = [sys.executable, "-c", "from mmp.cli.main import main; raise SystemExit(main())"]


@pytest.fixture
def port_base() -> Iterator[int]:
    """Give a base from which every port of the demo is free."""
    with closing(Ports()) as ports:
        yield ports.base(PORTS)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give a directory in which ``.venv/bin/mmp`` is the checkout's."""
    command = tmp_path / ".venv" / "bin" / "mmp"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec {shlex.join(MMP)} "$@"\n')
    command.chmod(0o755)
    return tmp_path


@pytest.fixture
def password(place: Path, port_base: int) -> Iterator[str]:
    """Give the password that the demo printed, which the tutorial starts first."""
    script, *arguments = shlex.split(TUTORIAL[0].commands)
    assert script == "scripts/demo"
    demo = subprocess.Popen(
        [*MMP, "demo", *arguments, "--port-base", str(port_base)],
        cwd=place,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    with demo as running:
        try:
            yield announced_password(running.stdout)
        finally:
            running.send_signal(signal.SIGINT)


def announced_password(output: IO[str]) -> str:
    """Read what the demo prints until it is ready."""
    printed = list(takewhile(lambda line: line != "ready\n", output))
    found = [line.split()[1] for line in printed if line.startswith("password ")]
    assert found, "".join(printed)
    return found[0]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}"}


def script(password: str, port_base: int) -> str:
    """Return all that is typed in the second terminal, with a mark behind the output of each example."""
    typed = "printf '\\0'\n".join(example.commands for example in TUTORIAL[1:])
    ports = re.sub(rf"\b10({'|'.join(map(str, PORTS))})\b", lambda port: str(port_base + int(port[1])), typed)
    return ports.replace("'the one that was printed'", shlex.quote(password))


def test_every_command_of_the_tutorial_shows_what_it_says(place: Path, password: str, port_base: int) -> None:
    done = subprocess.run(
        ["bash", "-e", "-c", script(password, port_base)],
        cwd=place,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    for example, output in zip(TUTORIAL[1:], done.stdout.split("\0"), strict=True):
        missing = [line for line in example.shown if not occurs(line, output)]
        assert not missing, f"{example.commands}\n{output}"


def test_the_ellipsis_stands_for_anything_and_nothing_else_does() -> None:
    assert occurs("* OK […] …", "a\n* OK [CAPABILITY IMAP4rev1] ready\nb")
    assert occurs("…", "x")
    assert not occurs("* OK", "* OK ready")
    assert not occurs("a.c", "abc")


def test_an_example_is_a_block_of_commands_with_the_output_behind_it(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text("```sh\na\nb\n```\n\nThen:\n\n```text\nc\n```\n\n```toml\nx\n```\n\n```sh\nd\n```\n")
    assert list(examples(document)) == [Example("a\nb\n", ("c",)), Example("d\n", ())]
