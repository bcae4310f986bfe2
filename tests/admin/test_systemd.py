"""What systemd is told."""

import os
import re
import socket

import pytest
from twisted.internet.task import Clock

from mmp.admin.systemd import Systemd


class Manager:
    """Systemd's end."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def told(self):
        found = []
        while True:
            try:
                found.append(self.socket.recv(1000).decode())
            except BlockingIOError:
                return found


@pytest.fixture(params=["path", "abstract"])
def address(request, tmp_path):
    return str(tmp_path / "notify") if request.param == "path" else f"\0mmp-test-notify-{os.getpid()}"


@pytest.fixture
def manager(address):
    made = Manager(address)
    yield made
    made.socket.close()


def environment(address, **more):
    return {"NOTIFY_SOCKET": address.replace("\0", "@", 1), **more}


def test_it_is_told_of_start_reload_and_end(manager, address):
    systemd = Systemd(Clock(), environment(address))
    systemd.ready()
    systemd.reloading()
    systemd.ready()
    systemd.stopping()
    first, reloading, again, last = manager.told()
    assert (first, again, last) == ("READY=1", "READY=1", "STOPPING=1")
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", reloading)


def test_the_watchdog_is_fed_twice_as_often_as_it_barks(manager, address):
    clock = Clock()
    systemd = Systemd(clock, environment(address, WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getpid())))
    systemd.ready()
    systemd.ready()  # after a reload there is still one
    assert manager.told() == ["READY=1", "WATCHDOG=1", "READY=1"]
    clock.advance(14.9)
    assert manager.told() == []
    clock.advance(0.2)
    clock.advance(15)
    assert manager.told() == ["WATCHDOG=1"] * 2


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}])
def test_no_watchdog_is_fed_where_none_is_for_us(manager, address, more):
    clock = Clock()
    Systemd(clock, environment(address, **more)).ready()
    assert manager.told() == ["READY=1"]
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("path", ["", "relative", "/nowhere/at/all"])
def test_without_it_nothing_happens(path):
    Systemd(Clock(), {"NOTIFY_SOCKET": path}).ready()
    Systemd(Clock(), {}).ready()


def test_a_manager_that_does_not_read_keeps_nobody(tmp_path):
    manager = Manager(str(tmp_path / "notify"))
    systemd = Systemd(Clock(), {"NOTIFY_SOCKET": str(tmp_path / "notify")})
    for _ in range(2000):
        systemd.stopping()
    manager.socket.close()
