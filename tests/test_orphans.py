"""Processes that have lost their parent."""

import os
import signal
import subprocess

import pytest

from mmp.orphans import Orphan
from tests import fakes
from tests.net.turning import Turning


@pytest.fixture
def turning():
    made = Turning()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["true"], "exit code 0"),
        (["sh", "-c", "exit 3"], "exit code 3"),
        (["sh", "-c", "kill -9 $$"], "killed by SIGKILL"),
    ],
)
def test_one_that_is_our_child_now_is_reaped_and_its_end_is_told(turning, command, told):
    log = fakes.Log()
    with subprocess.Popen(command) as child:
        process = os.pidfd_open(child.pid)
        Orphan(turning.reactor, log, child.pid, process)
        turning.until(lambda: log.named("worker"))
        assert log.named("worker") == [{"result": "ended", "pid": child.pid, "reason": told}]
        with pytest.raises(ChildProcessError):
            os.waitpid(child.pid, 0)
    assert not is_open(process)


def test_of_one_that_another_process_reaps_nothing_is_told(turning):
    """A grandchild of ours, which somebody else gets when its parent has gone."""
    command = ["sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"]
    pid = int(subprocess.run(command, capture_output=True, timeout=60, check=True).stdout)
    log, process = fakes.Log(), os.pidfd_open(pid)
    Orphan(turning.reactor, log, pid, process)
    signal.pidfd_send_signal(process, signal.SIGKILL)
    turning.until(lambda: not is_open(process))
    assert log.named("worker") == []


def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
