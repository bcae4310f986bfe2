"""What the demo prints once it serves."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmp.demo.listeners import Listener
from mmp.model import Endpoint

WORDS = """\
A proxy for IMAP, POP3 and submission, and behind it two small stores, all on this machine alone. Each user's mail is in
one of the stores; the proxy finds out in which. Ctrl-C ends everything.

{ports}
port {http.port}  HTTP, for monitoring

{users}
password {password}

The configuration, the log (mmp.log) and the certificate authority (ca.pem) are in {directory}

Read a user's first message with curl:

  curl --cacert {directory}/ca.pem --user '{first}:{password}' 'imaps://localhost:{imaps}/INBOX;MAILINDEX=1'
  curl --cacert {directory}/ca.pem --user '{second}:{password}' --ssl-reqd 'imap://localhost:{imap}/INBOX;MAILINDEX=1'
  curl --cacert {directory}/ca.pem --user '{first}:{password}' 'pop3s://localhost:{pop3s}/1'

send one:

  echo 'Subject: Hello' | curl --cacert {directory}/ca.pem --user '{first}:{password}' --mail-from {first} \\
      --mail-rcpt {second} --upload-file - 'smtps://localhost:{submissions}'

or read with Python:

  python3 -c "
  import imaplib, ssl
  imap = imaplib.IMAP4('localhost', {imap})
  imap.starttls(ssl.create_default_context(cafile='{directory}/ca.pem'))
  imap.login('{first}', '{password}')
  imap.select()
  print(imap.fetch('1', 'BODY[]'))"

See how the proxy is, and who is there:

  {mmp} status --config {directory}/mmp.toml
  {mmp} who --config {directory}/mmp.toml
  curl http://{http}/metrics

ready"""

SPOKEN = {
    ("imap", "starttls"): "IMAP, encrypted once the client says STARTTLS",
    ("imap", "implicit"): "IMAP, encrypted from the first byte",
    ("pop3", "starttls"): "POP3, encrypted once the client says STLS",
    ("pop3", "implicit"): "POP3, encrypted from the first byte",
    ("submission", "starttls"): "submission, encrypted once the client says STARTTLS",
    ("submission", "implicit"): "submission, encrypted from the first byte",
}


def introduction(
    directory: Path, listeners: Sequence[Listener], mail_hosts: Mapping[str, str], password: str, http: Endpoint
) -> str:
    """Return the ports, the users and what to try."""
    ports = {(listener.service, listener.tls): listener.port for listener in listeners}
    named = {service + ("s" if tls == "implicit" else ""): port for (service, tls), port in ports.items()}
    first, second, *_ = mail_hosts
    return WORDS.format(
        ports="\n".join(f"port {port}  {SPOKEN[spoken]}" for spoken, port in ports.items()),
        users="\n".join(f"user {user}" for user in mail_hosts),
        password=password,
        directory=directory,
        first=first,
        second=second,
        http=http,
        mmp=Path(sys.executable).with_name("mmp"),  # its environment need not be the shell's
        **named,
    )
