from __future__ import annotations

import os
import subprocess
import sys
import tomllib

from mmp.cli.main import main
from mmp.config.load import load

TOML = """
[[listener]]
tls = "none"
[directory.ldap]
bind_dn = "cn=mmp"
bind_password_file = "secret"
"""


def test_the_configuration_in_force_is_printed_whole(tmp_path, capsys):
    (tmp_path / "mmp.toml").write_text(TOML)
    (tmp_path / "secret").write_text("hunter2")
    assert main(["config", str(tmp_path / "mmp.toml")]) == 0
    printed = capsys.readouterr().out
    assert tomllib.loads(printed)["backend"]["imap"]["idle_timeout"] == "30m"
    (tmp_path / "printed.toml").write_text(printed)
    assert load(str(tmp_path / "printed.toml")).config == load(str(tmp_path / "mmp.toml")).config


def test_it_is_printed_as_the_file_it_is_whatever_letters_the_terminal_has(tmp_path):
    (tmp_path / "mmp.toml").write_text(TOML.replace("cn=mmp", "cn=Grüße"), "utf-8")
    (tmp_path / "secret").write_text("hunter2")
    words = [sys.executable, "-m", "mmp.cli.main", "config", str(tmp_path / "mmp.toml")]
    done = subprocess.run(words, env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True, check=True)
    assert tomllib.loads(done.stdout.decode())["directory"]["ldap"]["bind_dn"] == "cn=Grüße"


def test_of_a_secret_only_its_file_is_printed(tmp_path, capsys):
    (tmp_path / "mmp.toml").write_text(TOML)
    (tmp_path / "secret").write_text("hunter2")
    main(["config", str(tmp_path / "mmp.toml")])
    printed = capsys.readouterr().out
    assert "hunter2" not in printed
    assert f'bind_password_file = "{tmp_path}/secret"' in printed


def test_a_mistake_is_told_on_standard_error_and_nothing_is_printed(tmp_path, capsys):
    (tmp_path / "mmp.toml").write_text("workers = -1")
    assert main(["config", str(tmp_path / "mmp.toml")]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "error: workers: must be a whole number from 0 to 1024, not -1",
        "error: listener: at least one table [[listener]] is needed, with these double brackets",
    ]
