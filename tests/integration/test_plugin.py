"""Logins through a proxy whose directory comes from a plug-in: the one that the documentation shows."""

import os
import sqlite3
from contextlib import closing

import pytest

from tests.docs.fences import FENCE
from tests.integration import proxy as proxies
from tests.integration.client import connected
from tests.integration.people import ALICE
from tests.integration.proxy import CHECKOUT


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder in which the plug-in is installed, which the proxy's processes have on their path; has a user."""
    folder = tmp_path / "mmp" / "plugins"
    folder.mkdir(parents=True)
    blocks = FENCE.findall((CHECKOUT / "docs" / "plugins.md").read_text())
    (folder / "sqlite_users.py").write_text(next(code for kind, code in blocks if kind == "python"))
    with closing(sqlite3.connect(tmp_path / "users.sqlite")) as database, database:
        database.execute("CREATE TABLE users (name, domain, store)")
        database.execute("INSERT INTO users VALUES (?, 'example.com', ?)", (ALICE.name, ALICE.store))
    usual = proxies.environment

    def environment(*run):
        variables = usual(*run)
        return variables | {"PYTHONPATH": f"{variables['PYTHONPATH']}{os.pathsep}{tmp_path}"}

    monkeypatch.setattr(proxies, "environment", environment)
    return tmp_path


def test_users_of_a_plug_in_log_in_and_others_do_not(run_proxy, stores, certificates, installed):
    directory = {"kind": "sqlite", "plugin": {"database": str(installed / "users.sqlite")}}
    with run_proxy(stores.port, directory=directory, workers=2) as proxy:
        for user, answer in ((ALICE.user.encode(), b"a OK"), (b"bob@example.com", b"a NO [AUTHENTICATIONFAILED]")):
            with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
                assert client.command(b"a LOGIN %b %b" % (user, ALICE.password))[-1].startswith(answer)


def test_a_database_that_is_away_is_an_outage_and_the_log_says_which_plug_in(
    run_proxy, stores, certificates, installed
):
    directory = {"kind": "sqlite", "plugin": {"database": str(installed / "none")}}
    with run_proxy(stores.port, directory=directory) as proxy:
        with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
            words = b"a LOGIN %b %b" % (ALICE.user.encode(), ALICE.password)
            assert client.command(words)[-1].startswith(b"a NO [UNAVAILABLE]")
        assert "the plug-in sqlite" in proxy.logged(" login ", "result=directory-unavailable")
        proxy.logged("OperationalError")
