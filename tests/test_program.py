"""The program that runs, as it was called; no other is executed here."""

import os
import sys

import pytest
from twisted.scripts.twistd import ServerOptions

from mmp.program import Program, _words


@pytest.fixture
def executed(monkeypatch):
    """What was to be executed; a test goes on, as a program does that could not be."""
    calls = []

    def execve(path, arguments, environment):
        calls.append((path, arguments, environment))
        raise OSError(8, "Exec format error")

    monkeypatch.setattr("mmp.program.os.execve", execve)
    return calls


def program(tmp_path, *options, pid_file=""):
    return Program(options, ("mmp", "--config", "mmp.toml"), str(tmp_path), pid_file)


@pytest.mark.parametrize(
    ("interpreter", "script", "arguments"),
    [
        (["/bin/python3", "/bin/twistd"], "/bin/twistd", ["--pidfile", "mmp", "mmp", "--config", "mmp"]),
        (["python3", "-P", "-c", "run()"], "-c", ["-n", "mmp", "-c", "x.toml"]),
    ],
)
def test_what_is_for_twistd_is_told_from_what_is_for_us(monkeypatch, interpreter, script, arguments):
    monkeypatch.setattr(sys, "orig_argv", interpreter + arguments)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    options = ServerOptions()
    options.parseOptions(arguments[:-3])
    running = Program.running(options)
    assert [*running.options, *running.command] == [*interpreter[1:], *arguments]
    assert running.command == ("mmp", *arguments[-2:])
    assert running.directory == os.getcwd()  # noqa: PTH109 - a string


def test_it_is_executed_with_the_same_arguments_and_no_daemon_twice(monkeypatch, executed, tmp_path):
    monkeypatch.chdir(tmp_path)
    for options in (("-c", "run()"), ("-c", "run()", "--nodaemon")):
        with pytest.raises(OSError, match="Exec format error"):
            program(tmp_path, *options).execute({"MMP_TOLD": "7"})
    once, twice = executed
    assert once == twice
    path, arguments, environment = once
    assert arguments == [path, "-c", "run()", "--nodaemon", "mmp", "--config", "mmp.toml"]
    assert environment == os.environ | {"MMP_TOLD": "7"}


def test_the_pid_file_is_away_for_twistd_and_back_if_it_is_not_executed(monkeypatch, executed, tmp_path):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mmp.pid"
    file.write_text(f"{os.getpid()}")
    seen = []
    monkeypatch.setattr("mmp.program.os.execve", lambda *_: seen.append(file.exists()) or executed.append(1))
    program(tmp_path, "--nodaemon", pid_file=str(file)).execute({})
    assert seen == [False]
    assert file.read_text() == f"{os.getpid()}"


def test_a_pid_file_that_cannot_be_removed_is_told_before_anything_is_executed(executed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mmp.pid").mkdir()
    with pytest.raises(OSError, match=r"mmp\.pid"):
        program(tmp_path, pid_file=str(tmp_path / "mmp.pid")).execute({})
    assert executed == []


def test_the_end_of_what_was_said_is_told_in_one_line_that_the_log_has_room_for():
    assert _words(b"") == ""
    said = b'Traceback:\n  File "a.py", line 3\n    def f(:\n          ^\nSyntaxError: invalid syntax\n'
    assert _words(said) == 'Traceback:; File "a.py", line 3; def f(:; SyntaxError: invalid syntax'
    assert len(_words(b"x" * 5000 + b"\nend")) == 900
    assert _words(b"x" * 5000 + b"\nend").endswith("; end")
    assert _words(b"\n".join(b"%d" % number for number in range(100))).startswith("92; ")
