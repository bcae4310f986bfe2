"""``mmp demo``: two small stores, a directory in a file, a certificate made on the spot, and the proxy before them."""

from __future__ import annotations

import secrets
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mmp.demo.files import write_files
from mmp.demo.listeners import SERVICES, Listener, bound, loopback
from mmp.demo.processes import SIGNALS, Proxy, proxy, stores
from mmp.demo.words import introduction
from mmp.model import Endpoint

STORES = {"alice": "127.0.0.2", "bob": "127.0.0.3", "carol": "127.0.0.2", "dave": "127.0.0.3"}
"""Who is where. Every address in 127.0.0.0/8 is this machine's."""

HTTP = 80
"""The port for monitoring, added to the base."""
ATTEMPTS = 300
"""Looks, a tenth of a second apart, until every listener must be served."""


def run(directory: str | None, port_base: int) -> None:
    """Run the demo until it is interrupted; its files outlive it only if ``directory`` is given.

    SystemExit with words for standard error if a port is not free or the proxy fails.
    """
    listeners = loopback(port_base)
    if obstacles := [listener.obstacle for listener in listeners if listener.obstacle]:
        raise SystemExit("\n".join([*obstacles, "Other ports: --port-base 20000 makes them 20143 and so on."]))
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    password = secrets.token_urlsafe(9)
    mail_hosts = {f"{user}@example.com": address for user, address in STORES.items()}
    sockets = {service: bound(set(STORES.values())) for service in SERVICES}
    store_ports = {service: listening[0].getsockname()[1] for service, listening in sockets.items()}
    with suppress(KeyboardInterrupt), folder(directory) as path, stores(sockets, STORES, password):
        http = Endpoint("127.0.0.1", port_base + HTTP)
        configuration = write_files(path, listeners, mail_hosts, store_ports, http)
        with proxy(configuration, path / "mmp.log") as running:
            wait_until_served(running, listeners, path / "ca.pem")
            print(introduction(path, listeners, mail_hosts, password, http), flush=True)
            while True:
                running.watch(seconds=3600)


def wait_until_served(running: Proxy, listeners: Sequence[Listener], ca: Path) -> None:
    """Return once a greeting comes on every listener."""
    for _ in range(ATTEMPTS):
        if all(listener.serves(ca) for listener in listeners):
            return
        running.watch(seconds=0.1)
    raise running.failure("The proxy does not serve")


@contextmanager
def folder(directory: str | None) -> Iterator[Path]:
    """Give the directory that was asked for, or one that goes when we do."""
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="mmp-demo-") as made:
            yield Path(made)
    else:
        path = Path(directory).absolute()
        path.mkdir(parents=True, exist_ok=True)
        yield path
