from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

LISTENER = '[[listener]]\ntls = "none"\nrestrict_plain_passwords = false\n[admin]\ncontrol = ""\n'


def mmp(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mmp.cli.main", *arguments]


def test_what_an_entry_holds_does_nothing_to_a_terminal(tmp_path: Path) -> None:
    configuration = tmp_path / "mmp.toml"
    configuration.write_text(f'{LISTENER}[directory]\nkind = "file"\n')
    rule = r'mailAllowedServiceAccess = "+imap:\u001b[2J"'
    (tmp_path / "users.toml").write_text(f'[users.alice]\nmailHost = "store1"\n{rule}\n')
    ended = subprocess.run(mmp("explain", str(configuration), "alice"), capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert r'has "\x1b[2J"' in ended.stdout.splitlines()[-1]


@pytest.mark.parametrize("command", [("explain", "alice"), ("check", "--connect")], ids=lambda command: command[0])
def test_an_interruption_ends_what_waits_for_a_directory(tmp_path: Path, command: tuple[str, str]) -> None:
    configuration = tmp_path / "mmp.toml"
    with socket.create_server(("127.0.0.1", 0)) as directory:
        url = f"ldap://127.0.0.1:{directory.getsockname()[1]}"
        (tmp_path / "secret").write_text("x")
        bind = 'bind_dn = "cn=mmp"\nbind_password_file = "secret"\ntimeout = "1h"'
        configuration.write_text(f'{LISTENER}[directory.ldap]\nurls = ["{url}"]\n{bind}\n')
        name, argument = command
        process = subprocess.Popen(mmp(name, str(configuration), argument), stdout=subprocess.PIPE)
        connection, _ = directory.accept()
        with connection:
            assert connection.recv(1)
            process.send_signal(signal.SIGINT)
            process.communicate()
    assert process.returncode == -signal.SIGINT
