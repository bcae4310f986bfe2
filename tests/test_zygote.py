"""The zygote's own part, without a fork; what comes of forks is tried with real processes."""

import errno
import os
import socket
import sys

import pytest

from mmp.shared import link as wire
from mmp.shared.link import Kind, frame
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


def test_it_ends_when_the_supervisor_says_no_more(link):
    supervisor, end = link
    reading, writing = os.pipe2(os.O_NONBLOCK)
    supervisor.shutdown(socket.SHUT_WR)
    Zygote(end, reading).serve()
    os.close(reading)
    os.close(writing)
