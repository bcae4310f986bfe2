"""What twistd is told before anything runs."""

import socket
import subprocess
import sys

import pytest

from tests.integration.proxy import TWISTD, environment

CONFIGURATION = """
[[listener]]
address = "127.0.0.1"
port = {port}
tls = "none"
[login]
restrict_plain_passwords = false
[directory]
kind = "file"
[directory.file]
path = "users.toml"
"""


@pytest.fixture
def run(tmp_path):
    """Runs twistd to its end with a configuration; gives exit status and standard error."""

    def run(configuration, *options):
        (tmp_path / "mmp.toml").write_text(configuration)
        (tmp_path / "users.toml").write_text("")
        command = [*TWISTD, *options, "mmp", "--config", "mmp.toml"]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment("tap"), capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stderr

    return run


def test_a_port_that_is_taken_is_told_in_one_line(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, told = run(CONFIGURATION.format(port=port))
    assert status == 1
    assert told.splitlines() == [f"[Errno 98] cannot listen at 127.0.0.1:{port}: Address already in use"]


def test_a_log_that_cannot_be_written_is_told_in_one_line(run):
    status, told = run(CONFIGURATION.format(port=1), "--logfile=/nonexistent/mmp.log")
    assert status == 1
    assert told.splitlines() == ["[Errno 2] No such file or directory: '/nonexistent/mmp.log'"]


def test_every_mistake_of_a_configuration_is_told_in_a_line(run):
    status, told = run(CONFIGURATION.format(port=0) + "\n[lgo]\n")
    assert status == 1
    assert [line.partition(":")[0] for line in told.splitlines()] == ["lgo", "listener[1].port"]


def test_the_supervisor_runs_by_the_clock_that_nobody_sets():
    program = "import time; from mmp import tap; assert tap._reactor().seconds is time.monotonic"
    subprocess.run([sys.executable, "-c", program], env=environment("tap"), timeout=60, check=True)
