"""Listeners that are no address and port of their own, and what a reload makes of them."""

import os
import signal
import socket
import stat
import subprocess
import threading
from contextlib import contextmanager

import pytest

from tests.integration.client import PATIENCE, Client, connected
from tests.integration.commands import mmp, mmp_json
from tests.integration.people import ALICE, FIRST, MAIL_HOSTS
from tests.integration.proxy import MARK, TWISTD, Proxy, environment
from tests.integration.rapid import rapid_store
from tests.integration.scripted import log_in as be_store
from tests.integration.scripted import scripted
from tests.integration.settings import settings, write_users
from tests.integration.test_replacement import replace
from tests.integration.toml import document
from tests.integration.waiting import until

OPEN = {"restrict_plain_passwords": False}
LOGIN = b"a LOGIN %b %b" % (ALICE.user.encode(), ALICE.password)


@pytest.fixture(scope="module")
def store_port(ports):
    """A store that lets everybody in."""
    port = ports.free()
    with rapid_store(FIRST, port):
        yield port


@pytest.fixture
def path(tmp_path_factory):
    """Where a socket is to be."""
    return tmp_path_factory.mktemp("sockets") / "imap.sock"


def listeners(ports, path, **changes):
    """Return a listener on TCP, and one at a path, whose port has no meaning."""
    usual = {"service": "imap", "address": "127.0.0.1", "port": ports.free(), "tls": "starttls"}
    return [usual, usual | {"address": f"unix:{path}"} | changes]


@contextmanager
def at(path):
    """Connect to a socket that is a file."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(path))
        client = Client(connection)
        yield client
        client.connection.close()


# Unix sockets


def test_a_client_logs_in_over_a_unix_socket_and_counts_as_one_of_this_machine(run_proxy, ports, store_port, path):
    with run_proxy(store_port, workers=2, login=OPEN, listener=listeners(ports, path)) as proxy, at(path) as client:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert client.line().startswith(b"* OK ")
        assert client.command(LOGIN)[-1].startswith(b"a OK")
        (row,) = until(lambda: mmp_json(proxy, "who", "--phase", "relay"), "it is seen")
        assert (row["address"], row["port"], row["user"]) == ("127.0.0.1", 0, ALICE.user)
        proxy.logged(" login ", "result=ok", "client=127.0.0.1:0")
    assert not path.exists()


def test_tls_goes_over_a_unix_socket(run_proxy, ports, store_port, path, certificates):
    with run_proxy(store_port, listener=listeners(ports, path)), at(path) as client:
        client.line()
        assert client.command(b"a STARTTLS")[-1].startswith(b"a OK")
        client.start_tls(certificates.ca)
        assert client.command(LOGIN)[-1].startswith(b"a OK")


def test_a_proxy_in_front_tells_over_a_unix_socket_who_comes(run_proxy, ports, store_port, path):
    described = listeners(ports, path, proxy_protocol_from=["127.0.0.1/32"])
    with run_proxy(store_port, login=OPEN, listener=described) as proxy, at(path) as client:
        client.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 143\r\n")
        assert client.line().startswith(b"* OK ")
        client.command(LOGIN)
        proxy.logged(" login ", "result=ok", "client=192.0.2.7:4711")


def test_much_mail_passes_whole_over_a_unix_socket(run_proxy, ports, path):
    sent = os.urandom(1 << 16) * 200

    def generous(client):
        be_store(client)
        client.send(sent)

    port = ports.free()
    with (
        scripted(FIRST, port, generous),
        run_proxy(port, login=OPEN, listener=listeners(ports, path)),
        at(path) as client,
    ):
        client.line()
        client.command(LOGIN)
        assert client.exactly(len(sent)) == sent


def test_a_reload_adds_a_unix_socket_and_takes_it_away(run_proxy, ports, store_port, path):
    both = listeners(ports, path)
    with run_proxy(store_port, login=OPEN, listener=both[:1]) as proxy:
        for described, there in ((both, True), (both[:1], False)):
            proxy.configuration.write_text(document(proxy.settings | {"listener": described}))
            proxy.process.send_signal(signal.SIGHUP)
            until(lambda: path.exists() == there, f"the socket is there: {there}")  # noqa: B023 - it is called here
            if there:
                with at(path) as client:
                    assert client.line().startswith(b"* OK ")


# Sockets of systemd's


@contextmanager
def activated(tmp_path, ports, pair, store_port, *more, **names):
    """Have systemd's own tool listen at a port for each name, and start the proxy at the first connection.

    ``more`` are further listeners.
    """
    write_users(tmp_path / "users.toml", MAIL_HOSTS)
    described = [
        {"service": "imap", "address": f"systemd:{name}", "port": port, "tls": "starttls"}
        for name, port in names.items()
    ]
    changes = {"listener": [*described, *more], "login": OPEN | {"default_domain": "example.com"}, "workers": 2}
    proxy = Proxy(directory=tmp_path, settings=settings(ports, pair, store_port, tmp_path / "users.toml", **changes))
    proxy.configuration.write_text(document(proxy.settings))
    command = ["systemd-socket-activate", f"--fdname={':'.join(names)}", "-E", "PYTHONPATH", "-E", MARK]
    command += [f"--listen=127.0.0.1:{port}" for port in names.values()]
    with (tmp_path / "log").open("ab") as log:
        proxy.process = subprocess.Popen(
            [*command, *TWISTD, "mmp", "--config", proxy.configuration],
            cwd=tmp_path,
            env=environment(proxy.mark),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        proxy.logged("Listening on ")
        yield proxy
    finally:
        proxy.stop()


def test_a_connection_that_has_the_proxy_started_is_served_by_it(tmp_path, ports, pair, store_port):
    one, other = ports.free(), ports.free()
    with activated(tmp_path, ports, pair, store_port, one=one, other=other) as proxy:
        until(lambda: proxy.log().count("Listening on ") == 2, "both are listened at")
        for port in (one, other):
            with connected("127.0.0.1", port) as client:
                assert client.command(LOGIN)[-1].startswith(b"a OK")
        proxy.logged(" serving ", "systemd:one", "systemd:other", "workers=2")
        before = proxy.workers()
        proxy.process.send_signal(signal.SIGHUP)
        until(lambda: not proxy.workers() & before, "the old workers are gone")
        with connected("127.0.0.1", one) as client:
            assert client.command(LOGIN)[-1].startswith(b"a OK")


def test_sockets_with_names_go_on_when_the_program_is_replaced(tmp_path, ports, pair, store_port, path):
    port = ports.free()
    local = {"service": "imap", "address": f"unix:{path}", "port": port, "tls": "starttls"}
    with activated(tmp_path, ports, pair, store_port, local, one=port) as proxy:
        with connected("127.0.0.1", port):
            pass
        proxy.logged(" serving ")
        replace(proxy)
        with connected("127.0.0.1", port) as client, at(path) as other:
            assert client.command(LOGIN)[-1].startswith(b"a OK")
            other.line()
            assert other.command(LOGIN)[-1].startswith(b"a OK")
        mmp(proxy, "reload")
        proxy.logged("reload result=ok")
    assert not path.exists()


def test_a_name_that_systemd_has_not_passed_on_keeps_the_proxy_from_starting(run_proxy, ports, tmp_path, pair):
    write_users(tmp_path / "users.toml", MAIL_HOSTS)
    described = [{"service": "imap", "address": "systemd:imap", "port": ports.free(), "tls": "starttls"}]
    changed = settings(ports, pair, ports.free(), tmp_path / "users.toml", listener=described)
    proxy = Proxy(directory=tmp_path, settings=changed)
    with pytest.raises(AssertionError, match="cannot listen at systemd:imap: this process was started with no socket"):
        proxy.start()


# The same port at one address, and at every


@pytest.mark.parametrize(("before", "after"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0")])  # noqa: S104
def test_a_listener_moves_between_one_address_and_every_and_nobody_is_refused(
    run_proxy, ports, store_port, before, after
):
    first = {"service": "imap", "address": before, "port": ports.free(), "tls": "starttls"}
    refused, served, enough = [], [], threading.Event()

    def knock():
        while not enough.is_set():
            try:
                with connected("127.0.0.1", first["port"]) as client:
                    client.command(b"a LOGOUT")
                    served.append(client)
            except (OSError, AssertionError) as error:
                refused.append(repr(error))

    with run_proxy(store_port, workers=2, listener=[first]) as proxy:
        proxy.logged(" serving ")
        knocking = [threading.Thread(target=knock) for _ in range(4)]
        for each in knocking:
            each.start()
        try:
            for address in (after, before, after):
                workers, log = proxy.workers(), len(proxy.log())
                proxy.configuration.write_text(document(proxy.settings | {"listener": [first | {"address": address}]}))
                proxy.process.send_signal(signal.SIGHUP)
                proxy.logged(" serving ", f"{address}:{first['port']}", after=log)
                until(lambda: not proxy.workers() & workers, "the old workers are gone")  # noqa: B023 - it is called here
                count = len(served)
                until(lambda: len(served) > count + 20, "clients are served")  # noqa: B023 - likewise
        finally:
            enough.set()
            for each in knocking:
                each.join()
    assert refused == []
