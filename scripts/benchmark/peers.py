"""The peers' configurations: nginx's mail module, HAProxy in TCP mode, Dovecot as a proxy."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmark.laboratory import Laboratory, Program
from benchmark.mail import SUBMISSION, Transport
from benchmark.subjects import Setup, Subject, Task, start_proxy, start_store

EVERY_TRANSPORT = frozenset(Transport)
BACKLOG = 4096
PIPES = 64
NGINX_MAIL_MODULE = Path("/usr/lib/nginx/modules/ngx_mail_module.so")


@dataclass(frozen=True)
class Nginx:
    """nginx's mail module; the auth answer comes from a stub whose cost is not counted."""

    name: str = "nginx"
    buffers: str = ""
    transports: frozenset[Transport] = EVERY_TRANSPORT

    def missing(self) -> str:
        """Look for the program and, where Debian puts it, the module."""
        if not shutil.which("nginx"):
            return "Debian's nginx and libnginx-mod-mail"
        return "" if NGINX_MAIL_MODULE.exists() else "Debian's libnginx-mod-mail"

    def version(self) -> str:
        """Ask the program."""
        return first_line_of("nginx", "-v")

    def can(self, setup: Setup) -> bool:
        """Look nothing up in LDAP, and know one store."""
        return not setup.for_mmp

    def start(self, laboratory: Laboratory, task: Task) -> Program:
        """Start the auth stub and nginx."""
        auth = laboratory.free_port()
        start_store(laboratory, "auth_http", auth, task.store)
        file = laboratory.subfolder("nginx-conf") / "nginx.conf"
        file.write_text(self.configuration(task, auth, file.parent))
        command = ["nginx", "-c", str(file), "-p", str(file.parent), "-e", str(file.parent / "error.log")]
        return start_proxy(laboratory, self.name, command, task)

    def configuration(self, task: Task, auth: int, folder: Path) -> str:
        """Write the configuration: the defaults, but for enough connections and the same TLS for all."""
        protocol = "protocol smtp; smtp_auth plain" if task.mail is SUBMISSION else f"protocol {task.mail.name}"
        relays = "proxy_smtp_auth on; xclient off;" if task.mail is SUBMISSION else ""
        return f"""
            load_module {NGINX_MAIL_MODULE};
            daemon off;
            pid {folder}/pid;
            error_log {folder}/error.log;
            worker_processes {task.setup.workers};
            events {{ worker_connections {2 * task.most_connections}; }}
            mail {{
                auth_http 127.0.0.1:{auth}/;
                ssl_certificate {task.certificates}/cert.pem;
                ssl_certificate_key {task.certificates}/key.pem;
                ssl_protocols TLSv1.2 TLSv1.3;
                {f"proxy_buffer {self.buffers};" if self.buffers else ""}
                {relays}
                server {{ {protocol}; listen 127.0.0.1:{task.clear} backlog={BACKLOG}; starttls on; }}
                server {{ {protocol}; listen 127.0.0.1:{task.implicit} ssl backlog={BACKLOG}; }}
            }}
        """


@dataclass(frozen=True)
class HAProxy:
    """HAProxy as a TCP relay that ends TLS; it knows nothing of mail, so what it costs is near the least possible."""

    name: str = "haproxy"
    splice: bool = False
    transports: frozenset[Transport] = frozenset({Transport.CLEAR, Transport.IMPLICIT})

    def missing(self) -> str:
        """Look for the program."""
        return "" if shutil.which("haproxy") else "Debian's haproxy"

    def version(self) -> str:
        """Ask the program."""
        return first_line_of("haproxy", "-v")

    def can(self, setup: Setup) -> bool:
        """Look nothing up in LDAP, and know one store; a worker is a thread here."""
        return not setup.for_mmp

    def start(self, laboratory: Laboratory, task: Task) -> Program:
        """Start HAProxy in the foreground."""
        file = laboratory.subfolder("haproxy-conf") / "haproxy.cfg"
        file.write_text(self.configuration(task))
        return start_proxy(laboratory, self.name, ["haproxy", "-db", "-f", str(file)], task)

    def configuration(self, task: Task) -> str:
        """Write the configuration."""
        most_connections = task.most_connections - PIPES - 20
        splice = "option splice-request\n    option splice-response" if self.splice else ""
        certificate = f"ssl crt {task.certificates}/both.pem"
        return f"""
global
    maxconn {most_connections}
    maxpipes {PIPES}
    nbthread {task.setup.workers}
defaults
    mode tcp
    backlog {BACKLOG}
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    {splice}
frontend clear
    bind 127.0.0.1:{task.clear}
    default_backend stores
frontend implicit
    bind 127.0.0.1:{task.implicit} {certificate} ssl-min-ver TLSv1.2
    default_backend stores
backend stores
    server store 127.0.0.1:{task.store}
"""


@dataclass(frozen=True)
class Dovecot:
    """Dovecot's login process as a proxy, one process for all sessions (``service_count = 0``)."""

    name: str = "dovecot"
    transports: frozenset[Transport] = EVERY_TRANSPORT

    def missing(self) -> str:
        """Look for the program."""
        return "" if shutil.which("dovecot") else "Debian's dovecot-imapd"

    def version(self) -> str:
        """Ask the program."""
        return first_line_of("dovecot", "--version")

    def can(self, setup: Setup) -> bool:
        """Run one login process."""
        return not setup.for_mmp and setup.workers == 1

    def start(self, laboratory: Laboratory, task: Task) -> Program:
        """Start Dovecot in the foreground."""
        file = laboratory.subfolder("dovecot-conf") / "dovecot.conf"
        file.parent.chmod(0o755)
        file.write_text(self.configuration(task, file.parent))
        return start_proxy(laboratory, self.name, ["dovecot", "-F", "-c", str(file)], task)

    def configuration(self, task: Task, folder: Path) -> str:
        """Write the configuration for Dovecot 2.3."""
        service = task.mail.name
        return f"""
protocols = {service}
base_dir = {folder}/run
state_dir = {folder}/state
log_path = /dev/stderr
default_vsz_limit = 2 G
ssl = yes
ssl_cert = <{task.certificates}/cert.pem
ssl_key = <{task.certificates}/key.pem
disable_plaintext_auth = no
passdb {{
  driver = static
  args = proxy=y host=127.0.0.1 port={task.store} nopassword=y
}}
service {service}-login {{
  service_count = 0
  process_min_avail = 1
  process_limit = 1
  client_limit = {task.most_connections}
  inet_listener {service} {{
    address = 127.0.0.1
    port = {task.clear}
  }}
  inet_listener {service}s {{
    address = 127.0.0.1
    port = {task.implicit}
    ssl = yes
  }}
}}
service anvil {{
  client_limit = {task.most_connections}
}}
service auth {{
  client_limit = {task.most_connections}
}}
"""


def first_line_of(*command: str) -> str:
    """Return the first line that a command prints, wherever it prints it."""
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    return output.partition("\n")[0]


PEERS: tuple[Subject, ...] = (
    Nginx(),
    Nginx("nginx-64k", buffers="64k"),
    HAProxy(),
    HAProxy("haproxy-splice", splice=True),
    Dovecot(),
)
