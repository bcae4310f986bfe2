"""The zygote's own part, without a fork; what comes of forks is tried with real processes."""

import errno
import os
import signal
import socket
import sys
import threading

import pytest

from mmp.net.share import Shares
from mmp.shared import link as wire
from mmp.shared.link import Kind, frame, frames
from mmp.zygote import Zygote


@pytest.fixture
def link():
    ours, theirs = wire.pair()
    with ours, theirs:
        yield ours, theirs


def test_a_fork_that_fails_ends_the_workers_link_and_nothing_else(link, monkeypatch, capsys):
    supervisor, end = link
    zygote = Zygote(end, -1)
    zygote._make_inheritance[1] = lambda share: None

    def fork():
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("mmp.zygote.os.fork", fork)
    monkeypatch.delitem(sys.modules, "twisted.internet.reactor", raising=False)
    worker, workers_end = wire.pair()
    with worker:
        with workers_end:
            socket.send_fds(supervisor, [frame(Kind.FORK, wire.TWO_NUMBERS.pack(1, 1))], [workers_end.fileno()])
        assert zygote._answer()
        assert worker.recv(1) == b""
    assert "Resource temporarily unavailable" in capsys.readouterr().err


@pytest.fixture
def child(monkeypatch):
    """A process that ends with code 3 when it is told, and is the only child that is waited for; and what tells it."""
    reading, writing = os.pipe()
    pid = os.posix_spawn(
        "/bin/sh", ["sh", "-c", "read line; exit 3"], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, reading, 0)]
    )
    os.close(reading)
    wait = os.waitpid
    monkeypatch.setattr("mmp.zygote.os.waitpid", lambda _, options: wait(pid, options))
    yield pid, lambda: os.write(writing, b"end\n")
    os.close(writing)


@pytest.fixture
def wakeup():
    """A descriptor that is readable after a SIGCHLD, as the zygote has it."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    yield reading
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, before)
    os.close(reading)
    os.close(writing)


def test_it_tells_how_a_worker_ended_that_had_let_go_of_its_link_a_moment_before(link, child, wakeup):
    supervisor, end = link
    pid, finish = child
    zygote = Zygote(end, wakeup)
    zygote._own[pid] = Shares().of(1)
    supervisor.shutdown(socket.SHUT_WR)
    timer = threading.Timer(0.1, finish)
    timer.start()
    zygote.serve()
    timer.join()
    (told,) = frames(supervisor.recv(100))
    assert told == (Kind.DIED, wire.EXIT.pack(pid, 3))


def test_it_does_not_wait_for_workers_when_the_supervisor_is_gone(link, child, wakeup):
    supervisor, end = link
    pid, finish = child
    zygote = Zygote(end, wakeup)
    zygote._own[pid] = Shares().of(1)
    supervisor.close()
    zygote.serve()
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    finish()
    os.waitpid(pid, 0)


def test_it_ends_when_the_supervisor_says_no_more(link):
    supervisor, end = link
    reading, writing = os.pipe2(os.O_NONBLOCK)
    supervisor.shutdown(socket.SHUT_WR)
    Zygote(end, reading).serve()
    os.close(reading)
    os.close(writing)
