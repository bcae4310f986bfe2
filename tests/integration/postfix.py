"""Real Postfix relays, each with its own configuration, queue and address; only their master runs as root."""

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import define

from tests.integration.processes import listening_inodes
from tests.integration.waiting import until

DAEMONS = "/usr/lib/postfix/sbin"

MAIN = """\
compatibility_level = 3.6
myhostname = relay.example.net
mydestination =
mynetworks =
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {directory}/log/log
maillog_file_prefixes = {directory}
alias_maps =
inet_protocols = ipv4

# Whoever comes as a proxy may say who came; whoever has logged in may send.
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth_socket}
smtpd_sasl_auth_enable = yes
smtpd_sasl_authenticated_header = yes
smtpd_tls_security_level = may
smtpd_tls_cert_file = {pair.certificate}
smtpd_tls_key_file = {pair.key}
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
message_size_limit = 1000000

# Everything sent here lies in one maildir.
virtual_mailbox_domains = example.com
virtual_mailbox_base = {directory}/mail
virtual_mailbox_maps = static:inbox/
virtual_minimum_uid = 1
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
"""

MASTER = """\
{address}:{port} inet n - n - - smtpd
{address}:{trusting_port} inet n - n - - smtpd -o smtpd_sasl_exceptions_networks=127.0.0.0/8
{address}:{proxied_port} inet n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
virtual unix - n n - - virtual
retry unix - - n - - error
error unix - - n - - error
smtp unix - - n - - smtp
postlog unix-dgram n - n - 1 postlogd
"""


@define
class Postfix:
    """One running relay; on ``trusting_port`` it has no AUTH, on ``proxied_port`` a PROXY header must come first."""

    address: str
    port: int
    trusting_port: int
    proxied_port: int
    directory: Path
    process: subprocess.Popen

    def log(self):
        """Return its whole log."""
        path = self.directory / "log" / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def logged(self, *words, after=0):
        """Wait for a log line that has all of these words, and return it; ``after`` skips so many characters."""

        def found():
            lines = self.log()[after:].splitlines()
            return next((line for line in lines if all(word in line for word in words)), None)

        return until(found, f"a line with {words} in the log:\n{self.log()[after:]}")

    def message(self, word):
        """Wait for a message that holds a word, and return it."""

        def found():
            new = self.directory / "mail" / "inbox" / "new"
            texts = (path.read_bytes() for path in new.glob("*"))
            return next((text for text in texts if word in text), None)

        return until(found, f"a message with {word}:\n{self.log()}")

    def stop(self):
        """End it and its children."""
        self.process.terminate()
        self.process.wait(timeout=30)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


@contextmanager
def postfix(address, *, pair, auth_socket, **ports):
    """Run a relay that has logins judged by a Dovecot; ``ports`` are those of its class."""
    directory = Path(tempfile.mkdtemp(prefix="mmp-postfix-"))
    directory.chmod(0o755)
    _make_folders(directory)
    values = {"address": address, "directory": directory, "auth_socket": auth_socket, "pair": pair} | ports
    (directory / "etc" / "main.cf").write_text(MAIN.format(**values))
    (directory / "etc" / "master.cf").write_text(MASTER.format(**values))
    process = subprocess.Popen(
        [f"{DAEMONS}/master", "-d", "-c", directory / "etc"],
        stderr=subprocess.DEVNULL,  # its log has the same
        start_new_session=True,
    )
    relay = Postfix(address=address, directory=directory, process=process, **ports)
    try:
        until(
            lambda: process.poll() is not None or all(listening_inodes(port, address) for port in ports.values()),
            f"Postfix listens on {address}, ports {ports}",
        )
        assert process.poll() is None, relay.log()
        yield relay
    finally:
        relay.stop()
        shutil.rmtree(directory)


def _make_folders(directory):
    for name in ("etc", "log", "queue", "queue/pid"):
        (directory / name).mkdir()
    for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved"):
        _make(directory / "queue" / name, "postfix", "root", 0o700)
    _make(directory / "queue" / "trace", "postfix", "root", 0o700)
    _make(directory / "queue" / "maildrop", "postfix", "postdrop", 0o730)
    _make(directory / "queue" / "public", "postfix", "postdrop", 0o710)
    _make(directory / "data", "postfix", "root", 0o700)
    _make(directory / "mail", "nobody", "root", 0o755)


def _make(path, user, group, mode):
    path.mkdir()
    shutil.chown(path, user, group)
    path.chmod(mode)
