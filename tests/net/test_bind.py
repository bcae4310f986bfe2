"""Listening sockets."""

import os
import secrets
import socket
import stat
from contextlib import ExitStack
from pathlib import Path

import pytest

from mmp.model import Endpoint
from mmp.net.alive import SILENCE
from mmp.net.bind import ListeningSockets, listening_socket
from mmp.net.inherited import Inherited
from mmp.net.stream import endpoint_of


def _port() -> int:
    """Return a free port that the kernel gives to nobody by itself, so that it can be had, left and had again."""
    lowest_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    while True:
        port = lowest_given // 2 + secrets.randbelow(lowest_given // 2)
        with ExitStack() as held:
            try:
                for host in ("0.0.0.0", "::"):  # noqa: S104 - closed at once
                    held.enter_context(listening_socket(Endpoint(host, port)))
            except OSError:
                continue
            return port


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


def test_a_client_of_ipv4_at_a_socket_for_both_is_shown_as_ipv4():
    """Such sockets are not made here, but may be given to us."""
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both,
        socket.create_connection(("127.0.0.1", both.getsockname()[1])) as client,
    ):
        accepted, address = both.accept()
        with accepted:
            assert endpoint_of(address) == Endpoint("127.0.0.1", client.getsockname()[1])
            assert address[0].startswith("::ffff:")


def test_ipv4_and_ipv6_can_be_listened_for_apart():
    port = _port()
    with listening_socket(Endpoint("::", port)), listening_socket(Endpoint("0.0.0.0", port)):  # noqa: S104 - it is closed
        pass


def test_a_port_can_be_had_again_while_old_connections_of_it_linger():
    port = _port()
    first = listening_socket(Endpoint("127.0.0.1", port))
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


# Sockets that are files


def test_a_file_that_is_a_socket_is_for_ourselves_and_our_group_and_goes_when_it_is_not_wanted(tmp_path):
    path = tmp_path / "imap.sock"
    where = Endpoint(f"unix:{path}", 0)
    sockets = ListeningSockets()
    sockets.bind([where])
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        accepted, _ = sockets[where].accept()
        accepted.close()
    sockets.keep([where], [])
    assert path.exists()
    sockets.keep([], [])
    assert not path.exists()


def test_a_file_that_is_in_the_way_stays_and_is_named(tmp_path):
    path = tmp_path / "imap.sock"
    path.write_text("mine")
    with pytest.raises(OSError, match=rf"cannot listen at unix:{path}: .*is there and is no socket"):
        listening_socket(Endpoint(f"unix:{path}", 0))
    assert path.read_text() == "mine"


def test_a_socket_that_somebody_listens_at_is_not_taken_from_them(tmp_path):
    where = Endpoint(f"unix:{tmp_path}/imap.sock", 0)
    with listening_socket(where), pytest.raises(OSError, match="another process listens"):
        listening_socket(where)


def test_a_socket_that_nobody_listens_at_any_more_makes_room(tmp_path):
    where = Endpoint(f"unix:{tmp_path}/imap.sock", 0)
    listening_socket(where).close()
    listening_socket(where).close()


# Sockets that we were started with


def test_sockets_that_we_were_started_with_are_found_by_name_and_stay():
    with socket.create_server(("127.0.0.1", 0)) as given:
        where = Endpoint("systemd:imap", 0)
        sockets = ListeningSockets([Inherited("imap", given)])
        sockets.bind([where])
        sockets.keep([], [])
        assert sockets[where] is given
        with socket.create_connection(given.getsockname()):
            accepted, _ = given.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_name_that_no_socket_has_is_told():
    with pytest.raises(OSError, match="cannot listen at systemd:imap: this process was started with no socket"):
        ListeningSockets().bind([Endpoint("systemd:imap", 0)])


# The same port at one address and at every


@pytest.mark.parametrize(
    ("first", "second"),
    [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("::", "::1"), ("::1", "::")],  # noqa: S104 - the test closes it
)
def test_a_port_can_be_listened_at_beside_our_own_other_socket_and_by_nobody_else(first, second):
    sockets = ListeningSockets()
    port = _port()
    sockets.bind([Endpoint(first, port)])
    sockets.bind([Endpoint(second, port)])
    for host in (first, second):
        assert not sockets[Endpoint(host, port)].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        with pytest.raises(OSError, match="Address already in use"):
            listening_socket(Endpoint(host, port))
    sockets.close()


def test_a_socket_at_one_address_goes_on_beside_one_at_every_since_clients_wait_there():
    port = _port()
    one, every, other = (Endpoint(host, port) for host in ("127.0.0.1", "0.0.0.0", "::1"))  # noqa: S104 - it is closed
    sockets = ListeningSockets()
    sockets.bind([one, other])
    sockets.bind([every, other])
    sockets.keep([every], [])
    assert sockets.numbered([other, every]).keys() == {1, 3}
    assert set(sockets) == {one, every}
    sockets.keep([one], [])
    assert set(sockets) == {one}
    sockets.close()


def test_systemd_may_have_several_sockets_of_a_name():
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("::1", 0), family=socket.AF_INET6) as two:
        sockets = ListeningSockets([Inherited("imap", one), Inherited("pop3", two), Inherited("imap", two)])
        endpoints = [Endpoint("systemd:pop3", 0), Endpoint("systemd:imap", 0)]
        assert sockets.numbered(endpoints) == {0: two, 1: one, 3: two}


def test_all_cross_to_the_program_that_replaces_this_one(tmp_path):
    path = tmp_path / "imap.sock"
    with socket.create_server(("127.0.0.1", 0)) as given:
        sockets = ListeningSockets([Inherited("imap", given)])
        sockets.bind([Endpoint("127.0.0.1", free()), Endpoint(f"unix:{path}", 0)])
        copies = [(host, port, os.dup(descriptor)) for host, port, descriptor in sockets.state()]
        crossed = ListeningSockets()
        by_descriptor = crossed.restore(copies)
        assert set(crossed) == set(sockets)
        assert {where: each.getsockname() for where, each in zip(crossed, by_descriptor.values(), strict=True)} == {
            where: sockets[where].getsockname() for where in sockets
        }
        assert not any(each.get_inheritable() for each in by_descriptor.values())
        crossed.close()
        sockets.close()
    assert not path.exists()


def free():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
