from __future__ import annotations

from pathlib import Path

from mmp.cli.main import main

SOUND = '[[listener]]\nport = 1143\ntls = "none"\nrestrict_plain_passwords = false'


def write(folder: Path, toml: str) -> str:
    (folder / "mmp.toml").write_text(toml)
    (folder / "mmp.toml").chmod(0o600)
    return str(folder / "mmp.toml")


def test_a_sound_configuration_is_status_0(tmp_path, capsys):
    path = write(tmp_path, SOUND)
    assert main(["check", path]) == 0
    assert capsys.readouterr().out == f"{path}: 0 errors, 0 warnings\n"


def test_every_mistake_is_printed_and_the_status_is_1(tmp_path, capsys):
    path = write(tmp_path, "workers = -1\n[[listener]]\nport = 1143\ntls = 'implicit'\n[log]\nlevl = 'info'")
    assert main(["check", path]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "error: workers: must be a whole number from 0 to 1024, not -1",
        "error: log.levl: unknown key; did you mean level?",
        f"error: tls.certificate: cannot read {tmp_path}/tls/mail.pem: No such file or directory",
        f"error: tls.private_key: cannot read {tmp_path}/tls/mail.key: No such file or directory",
        f"{path}: 4 errors, 0 warnings",
    ]


def test_warnings_and_notes_leave_the_status_at_0(tmp_path, capsys):
    path = write(tmp_path, "[[listener]]\ntls = 'none'")
    assert main(["check", path]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "warning: listener[1]: nobody can log in here, since under these rules no password is taken",
        "note: Ports under 1024 (143): after --uid they can be opened again only with CAP_NET_BIND_SERVICE.",
        f"{path}: 0 errors, 1 warning",
    ]


def test_a_file_that_is_not_there_is_status_1(tmp_path, capsys):
    path = str(tmp_path / "none.toml")
    assert main(["check", path]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"error: {path}: cannot be read: No such file or directory",
        f"{path}: 1 error, 0 warnings",
    ]
