"""Bash completes what the commands are."""

from __future__ import annotations

import subprocess

import pytest

from mmp.cli.main import COMMANDS, main


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["sta"], ["status"]),
        (["ki"], ["kick"]),
        (["who", "--s"], ["--service", "--sort"]),
        (["who", "--user", "alice", "--j"], ["--json"]),
        (["demo", "--p"], ["--port-base"]),
        (["completion", "--"], ["--help"]),
        (["nonsense", "--"], []),
    ],
)
def test_bash_completes_commands_and_their_options(capsys, typed, offered):
    assert main(["completion"]) == 0
    words = " ".join(["mmp", *typed])
    asking = f'COMP_WORDS=({words}); COMP_CWORD={len(typed)}; _mmp; echo "${{COMPREPLY[@]-}}"'
    script = f"{capsys.readouterr().out}\n{asking}"
    done = subprocess.run(["bash", "-uc", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == offered


def test_every_command_is_offered(capsys):
    main(["completion"])
    shown = capsys.readouterr().out
    assert all(f" {command.name}" in shown.replace('"', " ") for command in COMMANDS)
