"""A log that cannot be written to stops no login: its disk is full, or nobody reads the pipe."""

import os
import subprocess
import urllib.request
from contextlib import contextmanager

import pytest

from tests.integration.client import connected
from tests.integration.people import ALICE, FIRST, MAIL_HOSTS
from tests.integration.proxy import TWISTD, environment
from tests.integration.rapid import rapid_store
from tests.integration.settings import settings, write_users
from tests.integration.toml import document
from tests.integration.waiting import until

LOGINS = 300
"""They say more than a pipe holds, at level debug."""


@pytest.fixture
def configured(ports, pair, tmp_path):
    """A configuration of two workers, in a folder, with a store."""
    store = ports.free()
    write_users(tmp_path / "users.toml", MAIL_HOSTS)
    two = {"workers": 2, "login": {"restrict_plain_passwords": False}, "admin": {"http": f"127.0.0.1:{ports.free()}"}}
    made = settings(ports, pair, store, tmp_path / "users.toml", **two)
    (tmp_path / "mmp.toml").write_text(document(made))
    with rapid_store(FIRST, store):
        yield made


@contextmanager
def running(directory, *options, output=subprocess.DEVNULL):
    """Run a proxy whose standard error goes to ``output``."""
    command = [*TWISTD, *options, "mmp", "--config", "mmp.toml"]
    with subprocess.Popen(
        command, cwd=directory, env=environment(""), stdin=subprocess.DEVNULL, stdout=output, stderr=output
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.terminate()
            process.wait(timeout=60)


def log_in_often(port):
    def serves():
        try:
            with connected("127.0.0.1", port):
                return True
        except OSError:
            return False

    until(serves, "it serves")
    for _ in range(LOGINS):
        with connected("127.0.0.1", port) as client:
            assert client.command(b"a LOGIN %b %b" % (ALICE.user.encode(), ALICE.password))[-1].startswith(b"a OK")


def test_a_full_disk_stops_no_login(configured, tmp_path):
    with running(tmp_path, "--logfile=/dev/full"):
        log_in_often(configured["listener"][0]["port"])
        until(lambda: _lost(configured) >= LOGINS, "monitoring is told")


def _lost(configured):
    """Return how many lines of the log are lost, as monitoring is told."""
    with urllib.request.urlopen(f"http://{configured['admin']['http']}/metrics", timeout=30) as answer:
        (line,) = [line for line in answer.read().decode().splitlines() if line.startswith("mmp_log_lines_lost_total ")]
    return float(line.split()[1])


def test_a_pipe_that_nobody_reads_stops_no_login_and_what_was_lost_is_told(configured, tmp_path):
    port = configured["listener"][0]["port"]
    reading, writing = os.pipe()
    with running(tmp_path, output=writing):
        os.close(writing)
        log_in_often(port)
        os.set_blocking(reading, False)
        seen = b""

        def told():
            nonlocal seen
            with connected("127.0.0.1", port):
                pass
            try:
                seen += os.read(reading, 1 << 20)
            except BlockingIOError:
                pass
            return b" lost=" in seen

        until(told, "a line tells how many were lost")
        os.close(reading)
