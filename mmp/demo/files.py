"""The files of the demo: a certificate authority, a certificate, the directory of users and the configuration."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmp.demo.certificates import Authority
from mmp.demo.listeners import Listener
from mmp.model import Endpoint

LONGEST_SOCKET_PATH = 107
"""Octets (unix(7))."""
NAMES = ("localhost", "127.0.0.1", "::1")


LISTENER = """\
[[listener]]
service = "{service}"
address = "{address}"
port = {port}
tls = "{tls}"
"""

CONFIGURATION = """\
# Written by `mmp demo`; `mmp check` and the other commands can be tried on it.
hostname = "localhost"
workers = 2
shutdown_grace = "2s"

{listeners}
[tls]
certificate = "server.pem"
private_key = "server.key"

[login]
default_domain = "example.com"

[admin]
control = "{control}"
http = "{http}"

[directory]
kind = "file"

[directory.file]
path = "users.toml"

# Both stores are on these ports, each on an address of its own.
{backends}"""

BACKEND = """\
[backend.{service}]
port = {port}
"""


def write_files(
    directory: Path,
    listeners: Iterable[Listener],
    stores: Mapping[str, str],
    store_ports: Mapping[str, int],
    http: Endpoint,
) -> Path:
    """Write all that the proxy reads, and return the configuration's path.

    ``stores`` has the store of each user, ``store_ports`` the stores' port for each service; monitoring finds ``http``.
    """
    authority = Authority.make("mmp demo authority")
    issued = authority.issue(NAMES)
    write_file(directory / "ca.pem", authority.pem)
    write_file(directory / "server.pem", issued.certificate)
    write_file(directory / "server.key", issued.key, 0o600)
    users = (f'[users."{user}"]\nmailHost = "{store}"\n' for user, store in stores.items())
    write_file(directory / "users.toml", "\n".join(users).encode(), 0o600)
    sections = (LISTENER.format(service=at.service, address=at.address, port=at.port, tls=at.tls) for at in listeners)
    backends = (BACKEND.format(service=service, port=port) for service, port in store_ports.items())
    configuration = directory / "mmp.toml"
    content = CONFIGURATION.format(
        listeners="\n".join(sections), backends="\n".join(backends), control=control_socket(directory), http=http
    )
    write_file(configuration, content.encode())
    return configuration


def control_socket(directory: Path) -> str:
    """Return the configuration of a control socket in there; none where its path would be too long for the system."""
    path = directory / "control.sock"
    return f"unix:{path}" if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH else ""


def write_file(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a new file in place of what is there: a link that somebody has put there is not followed."""
    path.unlink(missing_ok=True)
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(content)
