"""Programs that people fetch and send mail with, through the proxy to real servers, by every way in that they have."""

import imaplib
import poplib
import smtplib
import ssl
import subprocess
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from attrs import frozen

from tests.integration.people import ALICE, BOB
from tests.integration.test_pop3 import MESSAGE, deliver
from tests.integration.test_submission import message

TLS_MODES = ("starttls", "implicit")
TEXT = MESSAGE.partition(b"\r\n")[2].replace(b"\r\n", b"\n")


@pytest.fixture(scope="module")
def proxy(run_whole_proxy):
    """A proxy that judges CRAM-MD5 and APOP, and lets stores and relays judge everything else."""
    with run_whole_proxy() as proxy:
        yield proxy


@frozen
class Way:
    """The way of a program to its mail: Bob's, by a mechanism."""

    service: str
    port: int
    implicit_tls: bool
    mechanism: str
    ca: Path
    folder: Path

    @property
    def user(self):
        """Who is to log in: SCRAM tells the store the name as it was typed, and the store knows Bob by this one."""
        return BOB.name if self.mechanism.startswith("SCRAM") else BOB.user

    def file(self, name, text):
        """Write a file, fit to have a password in it, and return its path."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text, newline="")
        return path


def run(*command, given=b""):
    """Run a program that must succeed; return what it prints."""
    done = subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done
    return done.stdout


# Fetching, each returns the message


def curl(way, path, *more):
    scheme = {"submission": "smtp"}.get(way.service, way.service) + "s" * way.implicit_tls
    return run(
        *("curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", way.ca, "--user"),
        *(f"{way.user}:{BOB.password.decode()}", "--login-options", f"AUTH={way.mechanism}", *more),
        f"{scheme}://localhost:{way.port}/{path}",
    )


def curl_fetches(way):
    return curl(way, "1" if way.service == "pop3" else "INBOX;MAILINDEX=1")


def fetchmail_fetches(way):
    protocol = "apop" if way.mechanism == "APOP" else way.service
    authentication = "cram-md5" if way.mechanism == "CRAM-MD5" else "password"
    configuration = way.file(
        "fetchmailrc",
        f'poll localhost protocol {protocol} port {way.port} auth {authentication} user "{way.user}" '
        f'password "{BOB.password.decode()}" {"ssl" if way.implicit_tls else ""} sslproto "TLS1.2+" sslcertck '
        f'sslcertfile "{way.ca}" keep fetchall mda "cat >{way.folder}/mail"\n',
    )
    run("fetchmail", "--fetchmailrc", configuration, "--pidfile", way.folder / "pid", "--nosyslog")
    return (way.folder / "mail").read_bytes()


def poplib_fetches(way):
    context = ssl.create_default_context(cafile=way.ca)
    if way.implicit_tls:
        client = poplib.POP3_SSL("localhost", way.port, context=context, timeout=60)
    else:
        client = poplib.POP3("localhost", way.port, timeout=60)
        client.stls(context)
    if way.mechanism == "APOP":
        client.apop(way.user, BOB.password.decode())
    else:
        client.user(way.user)
        client.pass_(BOB.password.decode())
    lines = client.retr(1)[1]
    client.quit()
    return b"\n".join([*lines, b""])


def imaplib_fetches(way):
    context = ssl.create_default_context(cafile=way.ca)
    if way.implicit_tls:
        client = imaplib.IMAP4_SSL("localhost", way.port, ssl_context=context, timeout=60)
    else:
        client = imaplib.IMAP4("localhost", way.port, timeout=60)
        client.starttls(context)
    with client:
        if way.mechanism == "CRAM-MD5":
            client.login_cram_md5(way.user, BOB.password.decode())
        elif way.mechanism == "PLAIN":
            client.authenticate("PLAIN", lambda _: b"\0%b\0%b" % (way.user.encode(), BOB.password))
        else:
            client.login(way.user, BOB.password.decode())
        client.select(readonly=True)
        return client.fetch("1", "(BODY.PEEK[])")[1][0][1]


def mbsync_fetches(way):
    configuration = way.file(
        "mbsyncrc",
        f"""\
IMAPAccount proxy
Host localhost
Port {way.port}
User {way.user}
Pass "{BOB.password.decode()}"
AuthMechs {way.mechanism}
SSLType {"IMAPS" if way.implicit_tls else "STARTTLS"}
SystemCertificates no
CertificateFile {way.ca}

IMAPStore far
Account proxy

MaildirStore near
Inbox {way.folder}/inbox

Channel mail
Far :far:
Near :near:
Sync Pull
SyncState *
""",
    )
    run("mbsync", "--config", configuration, "mail")
    (fetched,) = (way.folder / "inbox").glob("*/*")
    return fetched.read_bytes()


FETCHING = [
    (curl_fetches, "imap", ["PLAIN", "LOGIN", "CRAM-MD5"]),
    (curl_fetches, "pop3", ["PLAIN", "LOGIN", "CRAM-MD5", "+APOP"]),
    (fetchmail_fetches, "imap", ["LOGIN", "CRAM-MD5"]),
    (fetchmail_fetches, "pop3", ["USER", "APOP"]),
    (imaplib_fetches, "imap", ["LOGIN", "PLAIN", "CRAM-MD5"]),
    (poplib_fetches, "pop3", ["USER", "APOP"]),
    (mbsync_fetches, "imap", ["LOGIN", "PLAIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"]),
]


# Sending, each sends a message to Bob


def curl_sends(way, text):
    path = way.file("message", text)
    curl(way, "", "--mail-from", BOB.user, "--mail-rcpt", BOB.user, "--upload-file", path)


def swaks_sends(way, text):
    tls = "--tls-on-connect" if way.implicit_tls else "--tls"
    run(
        *("swaks", "--server", "localhost", "--port", str(way.port), tls, "--tls-verify", "--tls-ca-path", way.ca),
        *("--auth", way.mechanism, "--auth-user", way.user, "--auth-password", BOB.password.decode()),
        *("--from", BOB.user, "--to", BOB.user, "--ehlo", "laptop.example.org", "--timeout", "60"),
        *("--data", way.file("message", text)),
    )


def msmtp_sends(way, text):
    configuration = way.file(
        "msmtprc",
        f"""\
account default
host localhost
port {way.port}
tls on
tls_starttls {"off" if way.implicit_tls else "on"}
tls_trust_file {way.ca}
auth {way.mechanism.lower()}
user {way.user}
password {BOB.password.decode()}
from {BOB.user}
""",
    )
    run("msmtp", "--file", configuration, BOB.user, given=text.replace("\r\n", "\n").encode())


def smtplib_sends(way, text):
    context = ssl.create_default_context(cafile=way.ca)
    kind = partial(smtplib.SMTP_SSL, context=context) if way.implicit_tls else smtplib.SMTP
    with kind("localhost", way.port, local_hostname="laptop.example.org", timeout=60) as client:
        if not way.implicit_tls:
            client.starttls(context=context)
        client.ehlo()
        client.user, client.password = way.user, BOB.password.decode()
        client.auth(way.mechanism, getattr(client, f"auth_{way.mechanism.lower().replace('-', '_')}"))
        client.sendmail(BOB.user, [BOB.user], text)


SENDING = [
    (smtplib_sends, "submission", ["PLAIN", "LOGIN", "CRAM-MD5"]),
    (curl_sends, "submission", ["PLAIN", "LOGIN", "CRAM-MD5"]),
    (swaks_sends, "submission", ["PLAIN", "LOGIN", "CRAM-MD5"]),
    (msmtp_sends, "submission", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"]),
]


def each_way(programs):
    """Parametrise a test by program, by how it logs in and by how it encrypts."""
    return pytest.mark.parametrize(
        ("program", "way"),
        [
            pytest.param(program, (service, mechanism, tls), id=f"{program.__name__}-{service}-{mechanism}-{tls}")
            for program, service, mechanisms in programs
            for mechanism in mechanisms
            for tls in TLS_MODES
        ],
        indirect=["way"],
    )


@pytest.fixture
def way(proxy, certificates, tmp_path, request):
    """The way that a test is for."""
    service, mechanism, tls = request.param
    port = proxy.port(tls, service=service)
    return Way(service, port, tls == "implicit", mechanism, certificates.ca, tmp_path)


@pytest.fixture(scope="module")
def delivered(stores):
    """See that one message lies in Bob's inbox."""
    deliver(stores.second, BOB, MESSAGE)
    yield
    deliver(stores.second, BOB)


@each_way(FETCHING)
def test_mail_is_fetched(proxy, delivered, way, program):
    start = len(proxy.log())
    assert program(way).replace(b"\r\n", b"\n").endswith(TEXT)
    login = proxy.logged(" login result=ok ", f"service={way.service}", f"backend={BOB.store}", after=start)
    assert f"mechanism={way.mechanism.lstrip('+')}" in login.split()
    assert " tls=TLSv1.3 " in login or program is fetchmail_fetches  # whose APOP knows no STLS


def test_apop_with_a_wrong_password_or_one_that_we_do_not_know_reads_like_an_unknown_user(proxy, certificates):
    heard = set()
    for user, password in ((BOB.user, "wrong"), (ALICE.user, ALICE.password.decode()), ("nobody@example.com", "any")):
        context = ssl.create_default_context(cafile=certificates.ca)
        client = poplib.POP3_SSL("localhost", proxy.port("implicit", service="pop3"), context=context, timeout=60)
        with closing(client), pytest.raises(poplib.error_proto) as refused:
            client.apop(user, password)
        heard.add(refused.value.args)
    ((answer,),) = heard
    assert answer.startswith(b"-ERR [AUTH] ")


@each_way(SENDING)
def test_mail_is_sent(proxy, relays, way, program):
    word, text = message()
    start = len(proxy.log())
    program(way, text.decode())
    received = relays[1].message(word)
    assert received.rstrip(b"\n").endswith(b"\n\n.begins with a dot\n..two\nend")
    assert b"(Authenticated sender: %b)" % BOB.name.encode() in received
    login = proxy.logged(" login result=ok ", "service=submission", f"backend={BOB.store}", after=start)
    assert f" mechanism={way.mechanism} tls=TLSv1.3 " in login
