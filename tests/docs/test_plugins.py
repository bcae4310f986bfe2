"""The plug-in that the documentation shows is installed as it says, and used by commands and by a proxy."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.docs.fences import FENCE

ROOT = Path(__file__).parents[2]
MMP = [sys.executable, "-c", "from mmp.cli.main import main; raise SystemExit(main())"]
BLOCKS = FENCE.findall((ROOT / "docs" / "plugins.md").read_text())
(CODE,) = (text for kind, text in BLOCKS if kind == "python")
(TOML,) = (text for kind, text in BLOCKS if kind == "toml")
LISTENER = '[[listener]]\ntls = "none"\n[login]\nrestrict_plain_passwords = false\nplaintext_min_cipher = 0\n'


class Site:
    """A folder of somebody's own on Python's path, and a configuration beside it."""

    def __init__(self, folder):
        self.folder = folder
        self.plugins = folder / "site" / "mmp" / "plugins"
        self.plugins.mkdir(parents=True)
        self.plug_in("sqlite_users", CODE)
        with closing(sqlite3.connect(folder / "users.sqlite")) as database, database:
            database.execute("CREATE TABLE users (name, domain, store)")
            database.execute("INSERT INTO users VALUES ('alice', 'example.com', 'store1.example.com')")
        self.configure(TOML.replace("/var/lib/mail/users.sqlite", str(folder / "users.sqlite")))

    def plug_in(self, name, code):
        (self.plugins / f"{name}.py").write_text(code)

    def configure(self, directory):
        (self.folder / "mmp.toml").write_text(LISTENER + directory)

    def mmp(self, command, *arguments):
        """Run a command; return its exit status and what it has printed."""
        path = os.pathsep.join([str(self.folder / "site"), str(ROOT)])
        ran = subprocess.run(
            [*MMP, command, self.folder / "mmp.toml", *arguments],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        return ran.returncode, ran.stdout + ran.stderr


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_its_configuration_is_checked_and_shown(site):
    status, printed = site.mmp("check")
    assert (status, "0 errors" in printed) == (0, True), printed
    status, printed = site.mmp("config")
    assert status == 0
    assert 'kind = "sqlite"\n' in printed
    assert f'[directory.plugin]\ndatabase = "{site.folder}/users.sqlite"\n' in printed


def test_a_login_through_it_is_explained(site):
    status, printed = site.mmp("explain", "Alice@Example.com")
    assert (status, "store1.example.com" in printed) == (0, True), printed
    status, printed = site.mmp("explain", "bob@example.com")
    assert (status, "no entries match" in printed) == (1, True), printed


def test_what_the_plug_in_finds_wrong_is_a_mistake(site):
    site.configure('[directory]\nkind = "sqlite"\n[directory.plugin]\ndatabas = "users"\n')
    status, printed = site.mmp("check")
    assert status == 1
    assert "error: directory.plugin: database: must be the name of a file\n" in printed
    assert "error: directory.plugin: databas: unknown key; known here is database\n" in printed


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import nothing_that_there_is\n", "cannot be loaded: ModuleNotFoundError"),
        (CODE.replace("sqlite = SQLite()", "raise RuntimeError('broken')"), "cannot be loaded: RuntimeError: broken"),
        (CODE.replace('fields = ("user", "domain")', 'fields = ("users",)'), "fields are wrong: ['users']"),
        (CODE.replace('name = "sqlite"', 'name = "other"'), "nor a plug-in's name"),
        (CODE.replace("def check(self, settings):", "def check(self, settings):\n        1 / 0"), "ZeroDivisionError"),
    ],
)
def test_a_broken_plug_in_is_a_clear_mistake(site, code, why):
    site.plug_in("sqlite_users", code)
    status, printed = site.mmp("check")
    assert status == 1
    (line,) = (line for line in printed.splitlines() if line.startswith("error: directory."))
    assert why in line


def test_a_broken_one_is_nobody_elses_mistake(site):
    site.plug_in("broken", "import nothing_that_there_is\n")
    status, printed = site.mmp("check")
    assert (status, "0 errors" in printed) == (0, True), printed


def test_the_name_of_two_is_nobodys(site):
    site.plug_in("again", CODE)
    status, printed = site.mmp("check")
    assert (status, "is the name of several plug-ins" in printed) == (1, True), printed


def test_a_secret_is_read_from_its_file(site):
    wanting = CODE.replace('{"database"}:', '{"database", "key_file"}:')
    site.plug_in("sqlite_users", wanting)
    toml = '[directory]\nkind = "sqlite"\n[directory.plugin]\ndatabase = "x"\nkey_file = "secret"\n'
    site.configure(toml)
    status, printed = site.mmp("check")
    assert (status, "directory.plugin.key_file: cannot read" in printed) == (1, True), printed
    (site.folder / "secret").write_text("hunter2\n")
    (site.folder / "secret").chmod(0o600)
    assert site.mmp("check")[0] == 0
    status, printed = site.mmp("config")
    assert f'key_file = "{site.folder}/secret"' in printed
    assert "hunter2" not in printed
