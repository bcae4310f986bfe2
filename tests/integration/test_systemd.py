"""The unit file, and what a proxy that systemd has started tells it."""

import configparser
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from tests.integration.commands import mmp
from tests.integration.waiting import until

UNIT = Path(__file__).parents[2] / "conf" / "mmp.service"


def test_the_unit_leaves_a_service_little_to_do_harm_with():
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(re.search(r"Overall exposure level for mmp\.service: ([0-9.]+)", shown)[1]) < 2.5


def test_the_unit_gives_more_time_to_end_than_the_proxy_takes():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(UNIT)
    assert int(unit["Service"]["TimeoutStopSec"]) >= 30 + 15  # shutdown_grace, and the supervisor's own patience
    assert unit["Service"]["Type"] == "notify"


def test_the_socket_unit_is_one_that_systemd_takes(tmp_path):
    shutil.copy(UNIT.with_name("mmp@.socket"), tmp_path / "mmp@993.socket")
    (tmp_path / "mmp.service").write_text("[Service]\nExecStart=/bin/true\n")
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "mmp@993.socket")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_is_told_when_all_workers_serve_and_of_reloads_replacements_and_the_end(
    run_proxy, ports, tmp_path, monkeypatch
):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with run_proxy(ports.free(), workers=2) as proxy:
            assert manager.recv(1000) == b"READY=1"
            assert len(proxy.workers()) == 2
            proxy.process.send_signal(signal.SIGHUP)
            assert manager.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert manager.recv(1000) == b"READY=1"
            until(lambda: len(proxy.workers()) == 2, "the old workers are gone")
            proxy.process.send_signal(signal.SIGUSR2)
            manager.settimeout(120)
            assert manager.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")  # the rehearsal tells nothing
            assert manager.recv(1000) == b"READY=1"
            proxy.configuration.write_text("workres = 1\n" + proxy.configuration.read_text())
            mmp(proxy, "reload", status=1)
            assert manager.recv(1000).startswith(b"RELOADING=1\n")
            assert manager.recv(1000) == b"READY=1"
            proxy.terminate()
            assert manager.recv(1000) == b"STOPPING=1"
