"""Listening sockets."""

import os
import socket

import pytest

from mmp.model import Endpoint
from mmp.net.alive import SILENCE
from mmp.net.bind import listening_socket


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_socket_listens_does_not_block_and_is_not_inherited(host):
    with listening_socket(Endpoint(host, 0)) as listening:
        with pytest.raises(BlockingIOError):
            listening.accept()
        assert not listening.get_inheritable()
        with socket.create_connection(listening.getsockname()[:2]):
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_ipv4_and_ipv6_can_be_listened_for_apart():
    with listening_socket(Endpoint("::", 0)) as six:
        port = six.getsockname()[1]
        with listening_socket(Endpoint("0.0.0.0", port)):  # noqa: S104 - the test closes it again
            pass


def test_a_port_can_be_had_again_while_old_connections_of_it_linger():
    first = listening_socket(Endpoint("127.0.0.1", 0))
    port = first.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as client:
        accepted, _ = first.accept()
        first.close()
        accepted.close()  # our side closes first, and so keeps TIME_WAIT
        client.recv(1)
    listening_socket(Endpoint("127.0.0.1", port)).close()


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", r"127\.0\.0\.1:"), ("::1", r"\[::1\]:")], ids=["IPv4", "IPv6"]
)
def test_a_port_that_is_taken_is_named_and_no_descriptor_is_lost(host, shown):
    with listening_socket(Endpoint(host, 0)) as taken:
        port = taken.getsockname()[1]
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the count alone
        with pytest.raises(OSError, match=rf"cannot listen at {shown}{port}: Address already in use"):
            listening_socket(Endpoint(host, port))
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - likewise


def test_an_address_that_is_not_ours_is_named():
    with pytest.raises(OSError, match=r"cannot listen at 192\.0\.2\.1:0: Cannot assign requested address"):
        listening_socket(Endpoint("192.0.2.1", 0))


def test_what_is_accepted_is_asked_in_silence_whether_it_still_lives():
    with listening_socket(Endpoint("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            asked = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            assert (accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), asked) == (1, SILENCE)
