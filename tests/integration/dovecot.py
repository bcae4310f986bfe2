"""Real Dovecot servers, each in a temporary directory and on an address of its own."""

import grp
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from base64 import b64encode
from contextlib import contextmanager
from pathlib import Path

from attrs import define

from tests.integration.processes import listening_inodes
from tests.integration.waiting import until

CONFIGURATION = """\
protocols = imap pop3 sieve
listen = {address}
base_dir = {directory}/run
state_dir = {directory}/state
log_path = {directory}/log
verbose_ssl = yes
auth_verbose = yes

default_internal_user = {internal_user}
default_internal_group = {internal_group}
default_login_user = {login_user}
mail_uid = {mail_user}
mail_gid = {mail_group}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
mail_max_userip_connections = 0
imap_id_send = name dovecot support-url {address}

# Every proxy may say who came.
login_trusted_networks = 127.0.0.1
haproxy_trusted_networks = 127.0.0.1
ssl = {tls}
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login scram-sha-256 scram-sha-1 {token_mechanisms}
auth_failure_delay = 0
{more_passdbs}
# Who may act as anybody, by an authorization identity.
passdb {{
  driver = passwd-file
  args = {directory}/masters
  master = yes
}}
passdb {{
  driver = passwd-file
  args = {directory}/users
}}
userdb {{
  driver = static
  args = home={directory}/mail/%u
}}

service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
  inet_listener imap_behind_header {{
    port = {header_port}
    haproxy = yes
  }}
  inet_listener imaps_behind_header {{
    port = {header_tls_port}
    haproxy = yes
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3_port}
  }}
  inet_listener pop3s {{
    port = {pop3_tls_port}
    ssl = yes
  }}
  inet_listener pop3_behind_header {{
    port = {pop3_header_port}
    haproxy = yes
  }}
}}
protocol imap {{
  mail_plugins = imap_zlib
}}
service managesieve-login {{
  chroot =
  inet_listener sieve {{
    port = {sieve_port}
  }}
}}
plugin {{
  sieve = file:~/sieve;active=~/.dovecot.sieve
}}
service auth {{
  # Relays ask here, and run as somebody else.
  unix_listener auth-relay {{
    mode = 0666
  }}
}}
service anvil {{
  chroot =
  # No growing delay for an address with failed logins: all come from here.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""


TOKENS = """\
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {directory}/oauth2
}}
"""


PASSED_ON = """\
protocol {protocol} {{
  passdb {{
    driver = static
    args = proxy=y nopassword=y host={host} port={port}
  }}
}}
"""


@define
class Dovecot:
    """One running server; ``port`` is for IMAP in plain text and with STARTTLS, ``tls_port`` in TLS.

    On the ports called ``header`` every connection must begin with a PROXY header.
    """

    address: str
    port: int
    tls_port: int
    pop3_port: int
    pop3_tls_port: int
    sieve_port: int
    header_port: int
    header_tls_port: int
    pop3_header_port: int
    directory: Path
    process: subprocess.Popen

    @property
    def auth_socket(self):
        """Where others may have logins judged."""
        return self.directory / "run" / "auth-relay"

    def log(self):
        """Return its whole log."""
        return (self.directory / "log").read_text(errors="replace")

    def stop(self):
        """End it and its children."""
        self.process.terminate()
        self.process.wait(timeout=30)
        until(lambda: not self._listens(), f"nothing listens on {self.address} any more")

    def _listens(self):
        return listening_inodes(self.port) if self.process.poll() is None else set()


@contextmanager
def dovecot(address, *, pair, passwords, masters=None, tls="yes", tokeninfo="", store=None, **ports):
    """Run a server that knows these users; ``ports`` are those of its class, ``passwords`` octets by user name.

    ``masters`` are the passwords of those who may act as any user; ``tls`` is yes, no or required; ``tokeninfo`` is the
    URL, up to the token itself, at which an identity provider tells whose an access token is. With a ``store`` it is a
    proxy, which has that Dovecot judge all logins and keep all mail.
    """
    directory = Path(tempfile.mkdtemp(prefix="mmp-dovecot-"))
    users = _users()
    (directory / "mail").mkdir()
    directory.chmod(0o755)
    if os.getuid() == 0:
        shutil.chown(directory / "mail", users["mail_user"], users["mail_group"])
    for name, known in (("users", passwords), ("masters", masters or {})):
        lines = (f"{user}:{{PLAIN.b64}}{b64encode(password).decode()}\n" for user, password in known.items())
        (directory / name).write_text("".join(lines))
    (directory / "dovecot.conf").write_text(
        CONFIGURATION.format(
            address=address,
            tls=tls,
            token_mechanisms="xoauth2 oauthbearer" if tokeninfo else "",
            more_passdbs=_more_passdbs(directory, tokeninfo, store),
            directory=directory,
            certificate=pair.certificate,
            key=pair.key,
            **ports,
            **users,
        )
    )
    (directory / "oauth2").write_text(f"tokeninfo_url = {tokeninfo}\nusername_attribute = username\n")
    process = subprocess.Popen(
        [shutil.which("dovecot") or "/usr/sbin/dovecot", "-F", "-c", directory / "dovecot.conf"],
        stderr=subprocess.DEVNULL,  # its log has the same
    )
    server = Dovecot(address=address, directory=directory, process=process, **ports)
    try:
        until(
            lambda: process.poll() is not None or all(listening_inodes(port, address) for port in ports.values()),
            f"Dovecot listens on {address}, ports {ports}",
        )
        assert process.poll() is None, server.log()
        yield server
    finally:
        server.process.send_signal(signal.SIGCONT)
        server.stop()
        shutil.rmtree(directory)


def _more_passdbs(directory, tokeninfo, store):
    if tokeninfo:
        return TOKENS.format(directory=directory)
    if store is None:
        return ""
    behind = {"imap": store.port, "pop3": store.pop3_port, "sieve": store.sieve_port}
    return "".join(PASSED_ON.format(protocol=name, host=store.address, port=port) for name, port in behind.items())


def _users():
    """Return whom Dovecot runs as: Debian's own users if we are root, otherwise ourselves for everything."""
    if os.getuid() == 0:
        names = {"internal_user": "dovecot", "login_user": "dovenull", "mail_user": "nobody"}
    else:
        names = dict.fromkeys(("internal_user", "login_user", "mail_user"), pwd.getpwuid(os.getuid()).pw_name)
    groups = {"mail_group": _group(names["mail_user"]), "internal_group": _group(names["internal_user"])}
    return names | groups


def _group(user):
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
