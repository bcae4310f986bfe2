"""A real HAProxy as a load balancer, which sends a PROXY header to whatever is behind it."""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from tests.integration.processes import listening_inodes
from tests.integration.waiting import until

ADDRESS = "127.0.0.50"
"""Where its connections come from."""

CONFIGURATION = """\
global
  stats socket {directory}/socket mode 600
  {identity}
defaults
  mode tcp
  timeout connect 10s
  timeout client 60s
  timeout server 60s
  timeout check 10s
"""
SECTION = """\
listen {port}
  bind 127.0.0.1:{port} {bind}
  server behind 127.0.0.1:{behind} source {source} {server}
"""


@contextmanager
def haproxy(*sections):
    """Run one; each section has ``port`` and ``behind``, and what else to say of its ``bind`` and its ``server``."""
    directory = Path(tempfile.mkdtemp(prefix="mmp-haproxy-"))
    identity = "user haproxy\n  group haproxy" if os.getuid() == 0 else ""
    (directory / "haproxy.cfg").write_text(
        CONFIGURATION.format(directory=directory, identity=identity)
        + "".join(SECTION.format(**{"bind": "", "source": ADDRESS} | section) for section in sections)
    )
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", directory / "haproxy.cfg"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        until(
            lambda: process.poll() is not None or all(listening_inodes(section["port"]) for section in sections),
            "HAProxy listens",
        )
        assert process.poll() is None, (directory / "log").read_text(errors="replace")
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)
        shutil.rmtree(directory)


def pem(pair, directory):
    """Return the path of a file with certificate and key in one, as HAProxy wants them."""
    path = directory / f"{pair.certificate.stem}.both"
    path.touch(mode=0o600)
    path.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
    if os.getuid() == 0:
        shutil.chown(path, "haproxy")
    return path
