"""Sockets that the process was started with."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from itertools import count

import pytest

from mmp.net.inherited import inherited

LISTENING = "listening"
_CHILD = """
import os
from mmp.net.inherited import inherited, started_with
import twisted.internet.endpoints
for name, listening in inherited(started_with()):
    print(name, listening.getsockname()[1], listening.getblocking(), os.get_inheritable(listening.fileno()))
"""


@pytest.fixture
def passed():
    """Puts sockets where they would be for a process that is started, and closes the copies."""
    with ExitStack() as held:

        def pass_on(*sockets):
            first = next(number for number in count(3) if not any(map(_is_open, range(number, number + 10))))
            for number, each in enumerate(sockets, first):
                os.dup2(each.fileno(), number)
                held.callback(_close, number)
            return first

        yield pass_on


def _close(descriptor):
    try:
        os.close(descriptor)
    except OSError:
        pass


def _is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _listening():
    return socket.create_server(("127.0.0.1", 0))


def _environment(**changes):
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "imap", "LANG": "C"} | changes


def test_sockets_come_with_their_names(passed):
    with _listening() as one, _listening() as two:
        found = inherited(_environment(LISTEN_FDS="2", LISTEN_FDNAMES="imap:pop3"), passed(one, two))
        assert [(name, each.getsockname()) for name, each in found] == [
            ("imap", one.getsockname()),
            ("pop3", two.getsockname()),
        ]
        assert not [each for _, each in found if each.getblocking() or each.get_inheritable()]
        for _, each in found:
            each.detach()


def test_sockets_without_names_are_called_as_systemd_calls_them(passed):
    with _listening() as one:
        ((name, adopted),) = inherited(_environment(LISTEN_FDNAMES=""), passed(one))
        adopted.detach()
        assert name == "unknown"


@pytest.mark.parametrize(
    "changes", [{"LISTEN_PID": "1"}, {"LISTEN_PID": ""}, {"LISTEN_FDS": "many"}, {"LISTEN_FDS": ""}]
)
def test_what_is_meant_for_another_process_is_left_alone(passed, changes):
    with _listening() as one:
        assert inherited(_environment(**changes), passed(one)) == []


def test_what_does_not_listen_is_left_alone(passed):
    left, right = socket.socketpair()
    with left, right, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, _listening() as one:
        first = passed(left, datagrams, one)
        environment = _environment(LISTEN_FDS="4", LISTEN_FDNAMES="pair:datagrams:imap:closed")
        ((name, adopted),) = inherited(environment, first)
        adopted.detach()
        assert name == "imap"
        os.fstat(first)


def test_a_process_that_is_started_with_a_socket_adopts_it():
    with _listening() as one:
        environment = os.environ | {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "imap"}
        os.set_inheritable(one.fileno(), True)
        told = subprocess.run(
            ["/bin/bash", "-c", f'LISTEN_PID=$$ exec "$0" -c "$1" 3<&{one.fileno()}', sys.executable, _CHILD],
            env=environment,
            pass_fds=[one.fileno()],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert told == f"imap {one.getsockname()[1]} False False\n"
