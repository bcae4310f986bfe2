from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from mmp import __version__
from mmp.cli.command import Command
from mmp.cli.main import COMMANDS, main, parser

ROOT = Path(__file__).parents[2]


def status_of(*arguments: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


@pytest.mark.parametrize(
    "arguments",
    [(), ("frobnicate",), ("check",), ("check", "a", "b"), ("config",), ("check", "--frob", "a"), ("demo", "x")],
)
def test_wrong_usage_is_status_2_with_the_usage_on_standard_error(capsys, arguments):
    assert status_of(*arguments) == 2
    assert capsys.readouterr().err.startswith("usage: mmp")


def test_the_help_lists_every_command(capsys):
    assert status_of("--help") == 0
    shown = capsys.readouterr().out
    first_words = {line.split()[0] for line in shown.splitlines() if line.startswith("    ")}
    assert {command.name for command in COMMANDS} <= first_words


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_command_has_help_of_its_own(capsys, command):
    assert status_of(command.name, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: mmp {command.name}")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_command_says_in_sentences_what_it_does(command):
    assert command.summary.endswith(".")
    command.add_arguments(ArgumentParser())


def test_it_tells_its_version(capsys):
    assert status_of("--version") == 0
    assert capsys.readouterr().out == f"mmp {__version__}\n"


def test_a_reader_that_goes_away_is_no_traceback(tmp_path):
    (tmp_path / "mmp.toml").write_text('[[listener]]\ntls = "none"')
    program = "import sys; from mmp.cli.main import main; sys.stdin.read(); sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "config", str(tmp_path / "mmp.toml")]
    reading, writing = os.pipe()
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    os.close(reading)
    _, error = process.communicate()
    assert (process.returncode, error) == (1, b"")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_help_has_examples_that_are_right(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command.name, "--help"])
    assert not ended.value.code
    shown = capsys.readouterr().out
    examples = re.findall(rf"^  mmp ({command.name}\b.*)$", shown, re.MULTILINE)
    assert examples or command.name == "completion"
    for example in examples:
        assert parser().parse_args(shlex.split(example))
    assert "exit status: 0 done" in shown
