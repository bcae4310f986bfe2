"""TLS toward clients as operators and OpenSSL's own program see it."""

import imaplib
import poplib
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import threading
import time
import warnings
from contextlib import contextmanager

import pytest

from tests.integration.client import connected
from tests.integration.commands import mmp, mmp_json
from tests.integration.people import ALICE
from tests.integration.toml import document
from tests.integration.waiting import until


def s_client(port, *options, said=b"", certificates=None):
    """Run OpenSSL's client; return what it printed."""
    trust = ["-CAfile", certificates.ca] if certificates else []
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", *trust, *options]
    done = subprocess.run(command, input=said, capture_output=True, timeout=60, check=False)
    return (done.stdout + done.stderr).decode(errors="replace")


@contextmanager
def shaken(port, context, **options):
    """Shake hands, as Python's own library does."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        client = context.wrap_socket(plain, server_hostname="localhost", **options)
        with client:
            yield client


def shown(port, ca):
    """Return the serial number of the certificate that a new client is shown."""
    with shaken(port, ssl.create_default_context(cafile=ca)) as client:
        return client.getpeercert()["serialNumber"]


@pytest.fixture(scope="module")
def two_workers(run_proxy, stores):
    with run_proxy(stores.port, workers=2) as proxy:
        yield proxy


def test_tls12_sessions_are_resumed_whichever_worker_accepts(two_workers, certificates):
    printed = s_client(
        two_workers.port("implicit"), "-tls1_2", "-reconnect", certificates=certificates, said=b"a LOGOUT\r\n"
    )
    assert len(re.findall("^Reused, TLSv1.2", printed, re.MULTILINE)) == 5, printed


def test_tls13_sessions_are_resumed_whichever_worker_accepts(two_workers, certificates, tmp_path):
    port, ticket = two_workers.port("implicit"), tmp_path / "ticket"
    for attempt in range(8):
        how = ["-sess_in", ticket] if attempt else []
        printed = s_client(
            port, "-tls1_3", *how, "-sess_out", ticket, "-ign_eof", said=b"a LOGOUT\r\n", certificates=certificates
        )
        assert ("Reused, TLSv1.3" if attempt else "New, TLSv1.3") in printed, printed


@pytest.mark.parametrize(
    ("option", "taken"),
    [("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)],
)
def test_only_versions_from_12_on_are_spoken(proxy, option, taken):
    """OpenSSL's own program is asked to be as lax as it can, so that it is us who refuse."""
    printed = s_client(proxy.port("implicit"), option, "-cipher", "ALL:@SECLEVEL=0", said=b"a LOGOUT\r\n")
    assert ("BYE" in printed) is taken, printed


def test_nothing_is_compressed_and_nothing_renegotiated(proxy):
    printed = s_client(proxy.port("implicit"), "-tls1_2", said=b"a LOGOUT\r\n")
    assert "Compression: NONE" in printed
    assert "Secure Renegotiation IS supported" in printed
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{proxy.port('implicit')}", "-tls1_2"]
    pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    with subprocess.Popen(command, stderr=subprocess.STDOUT, **pipes) as client:
        while not client.stdout.readline().startswith(b"* OK"):  # else that may come in the middle
            pass
        said, _ = client.communicate(b"R\n", timeout=60)
    assert b"no renegotiation" in said


@pytest.mark.parametrize(("offered", "agreed"), [("imap", True), ("h2,imap", True), ("http/1.1", False)])
def test_alpn_has_to_be_for_this_service(proxy, offered, agreed):
    printed = s_client(proxy.port("implicit"), "-alpn", offered, said=b"a LOGOUT\r\n")
    assert ("ALPN protocol: imap" in printed) is agreed
    assert ("no application protocol" in printed) is not agreed


def test_an_old_clients_listener_speaks_what_the_others_do_not_and_is_told_of_at_the_start_and_later(
    run_proxy, stores, ports
):
    old, new = ports.free(), ports.free()
    listeners = [
        {"service": "imap", "address": "127.0.0.1", "port": old, "tls": "implicit", "min_version": "1.0"},
        {"service": "imap", "address": "127.0.0.1", "port": new, "tls": "implicit"},
    ]
    with run_proxy(stores.port, listener=listeners) as proxy:
        for version in ("-tls1", "-tls1_1"):
            for port in (old, new):
                printed = s_client(port, version, "-cipher", "ALL:@SECLEVEL=0", said=b"a LOGOUT\r\n")
                assert ("BYE" in printed) is (port == old), printed
        assert "TLS older than 1.2 is deprecated" in proxy.logged("configuration", "listener[1].min_version")
        told = {each["port"]: each["min_version"] for each in mmp_json(proxy, "status")["listeners"]}
        assert told == {old: "1.0", new: "1.2"}
        warned = [line for line in mmp(proxy, "status").splitlines() if line.startswith("warning: ")]
        assert warned == [f"warning: imap at 127.0.0.1:{old}: TLS from 1.0 on, for old clients"]


def reloaded(proxy, **changes):
    """Change the configuration and have it taken in by new workers; return once they alone accept."""
    serving, before = proxy.log().count(" serving "), proxy.workers()
    proxy.settings.update(changes)
    proxy.configuration.write_text(document(proxy.settings))
    proxy.process.send_signal(signal.SIGHUP)
    until(lambda: proxy.log().count(" serving ") > serving, "the new workers serve")
    until(lambda: not before & proxy.listeners(), "the old ones accept no more")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_after_reloads_unless_what_is_negotiated_has_changed(
    run_proxy, stores, certificates, version
):
    context = ssl.create_default_context(cafile=certificates.ca)
    context.minimum_version = context.maximum_version = version
    with run_proxy(stores.port, workers=2) as proxy:
        proxy.logged(" serving ")
        port, tls = proxy.port("implicit"), proxy.settings["tls"]

        def resumed(ticket=None):
            with shaken(port, context, session=ticket) as client:
                assert client.recv(100).startswith(b"* OK")  # TLS 1.3 sends tickets before it
                return client.session_reused, client.session

        _, ticket = resumed()
        reloaded(proxy, hostname="other.example.com")
        assert resumed(ticket)[0]
        reloaded(proxy, tls=tls | {"client_ca": str(certificates.ca)}, login={"mechanisms": ["PLAIN"]})
        assert resumed(ticket)[0]
        reloaded(proxy, tls=tls | {"ciphers": "ECDHE+AESGCM"})
        again, ticket = resumed(ticket)
        assert not again
        assert resumed(ticket)[0]
        reloaded(proxy, tls=tls | {"ciphers": "ECDHE+AESGCM", "min_version": version.name[-3:].replace("_", ".")})
        assert resumed(ticket)[0] is (version is ssl.TLSVersion.TLSv1_2)  # for 1.3 the least version is another one


class TestRenewal:
    """A change by itself is noticed after two looks, of which there is one every ten seconds."""

    @pytest.fixture
    def own(self, certificates, tmp_path):
        first = certificates.issue("localhost", "127.0.0.1")
        files = tmp_path / "mail.pem", tmp_path / "mail.key"
        self.put(first, files)
        return files

    @staticmethod
    def put(pair, files):
        for source, file in zip((pair.certificate, pair.key), files, strict=True):
            fresh = file.with_suffix(".new")
            fresh.write_bytes(source.read_bytes())
            fresh.chmod(0o600)
            fresh.rename(file)

    def test_certificates_change_by_themselves_and_tickets_stay_good(self, run_proxy, stores, certificates, own):
        context = ssl.create_default_context(cafile=certificates.ca)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        tls = {"certificate": str(own[0]), "private_key": str(own[1])}
        with (
            run_proxy(stores.port, tls=tls) as proxy,
            connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as staying,
        ):
            assert staying.command(b"a LOGIN %b %b" % (ALICE.user.encode(), ALICE.password))[-1].startswith(b"a OK")
            port, workers = proxy.port("implicit"), proxy.workers()
            before = shown(port, certificates.ca)
            with shaken(port, context) as client:
                ticket = client.session
            own[1].write_bytes(b"nonsense")
            proxy.logged("reload", "result=refused", "has no private key")
            assert shown(port, certificates.ca) == before
            self.put(certificates.issue("localhost"), own)
            until(lambda: shown(port, certificates.ca) != before, "the new certificate is shown")
            with shaken(port, context, session=ticket) as client:
                assert client.session_reused
            assert proxy.workers() == workers
            assert staying.command(b"n NOOP")[-1].startswith(b"n OK")

    def test_a_reload_under_handshakes_loses_none(self, run_proxy, stores, certificates, own):
        context = ssl.create_default_context(cafile=certificates.ca)
        tls = {"certificate": str(own[0]), "private_key": str(own[1])}
        with run_proxy(stores.port, tls=tls) as proxy:
            port, faults, done = proxy.port("implicit"), [], []
            enough = threading.Event()

            def shake_hands():
                while not enough.is_set():
                    try:
                        with shaken(port, context) as client:
                            assert client.recv(100).startswith(b"* OK")
                            done.append(client.getpeercert()["serialNumber"])
                    except (OSError, AssertionError) as fault:
                        faults.append(fault)
                    time.sleep(0.01)

            clients = [threading.Thread(target=shake_hands) for _ in range(4)]
            for client in clients:
                client.start()
            try:
                proxy.logged(" serving ")
                for grace in ("5s", "6s", "6s", "7s"):  # another one takes new workers, certificates alone do not
                    generations, before = proxy.log().count(" serving "), shown(port, certificates.ca)
                    generations += proxy.settings["shutdown_grace"] != grace
                    proxy.settings["shutdown_grace"] = grace
                    proxy.configuration.write_text(document(proxy.settings))
                    self.put(certificates.issue("localhost"), own)
                    proxy.process.send_signal(signal.SIGHUP)
                    until(lambda old=before: shown(port, certificates.ca) != old, "the new one is shown")
                    until(
                        lambda so_many=generations: proxy.log().count(" serving ") == so_many, "the new workers serve"
                    )
            finally:
                enough.set()
                for client in clients:
                    client.join()
            assert faults == []
            assert len(set(done)) >= 4


@pytest.fixture(scope="module")
def every_protocol(run_proxy, stores, ports):
    services = {"imap": stores.port, "pop3": stores.first.pop3_port, "submission": ports.free()}
    services["managesieve"] = stores.first.sieve_port
    listeners = [
        {"service": service, "address": "127.0.0.1", "port": ports.free(), "tls": tls}
        for service in services
        for tls in ("starttls", "implicit")
    ]
    backend = {service: {"port": port} for service, port in services.items()}
    with run_proxy(stores.port, listener=listeners, backend=backend) as proxy:
        yield proxy


def opened(proxy, service, tls, context):
    """Connect with Python's own client of the protocol; return it, once TLS is on."""
    (port,) = (each["port"] for each in proxy.settings["listener"] if each["service"] == service and each["tls"] == tls)
    if service == "imap":
        client = imaplib.IMAP4("localhost", port) if tls == "starttls" else None
        client = client or imaplib.IMAP4_SSL("localhost", port, ssl_context=context)
        return client if tls == "implicit" else client.starttls(context) and client
    if service == "pop3":
        client = poplib.POP3("localhost", port) if tls == "starttls" else None
        client = client or poplib.POP3_SSL("localhost", port, context=context)
        return client if tls == "implicit" else client.stls(context) and client
    client = smtplib.SMTP("localhost", port) if tls == "starttls" else None
    client = client or smtplib.SMTP_SSL("localhost", port, context=context)
    return client if tls == "implicit" else client.starttls(context=context) and client


TLS_MODES = pytest.mark.parametrize("tls", ["starttls", "implicit"])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@TLS_MODES
@pytest.mark.parametrize("service", ["imap", "pop3", "submission"])
def test_pythons_clients_connect_with_each_version(every_protocol, certificates, service, tls, version):
    context = ssl.create_default_context(cafile=certificates.ca)
    context.minimum_version = context.maximum_version = version
    client = opened(every_protocol, service, tls, context)
    assert client.sock.version() == version.name.replace("_", ".")
    client.logout() if service == "imap" else client.quit()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@TLS_MODES
@pytest.mark.parametrize("service", ["imap", "pop3", "submission"])
def test_pythons_clients_of_old_versions_are_refused(every_protocol, certificates, service, tls, version):
    """They are as lax as they can be, so that it is us who refuse."""
    context = ssl.create_default_context(cafile=certificates.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the very versions
        context.minimum_version = context.maximum_version = version
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        opened(every_protocol, service, tls, context)


@pytest.mark.parametrize(
    ("option", "taken"), [("-tls1", False), ("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)]
)
@TLS_MODES
@pytest.mark.parametrize(
    ("service", "name", "bye"),
    [
        ("imap", "imap", b"a LOGOUT\r\n"),
        ("pop3", "pop3", b"QUIT\r\n"),
        ("submission", "smtp", b"QUIT\r\n"),
        ("managesieve", "sieve", b"LOGOUT\r\n"),
    ],
)
def test_openssls_client_connects_with_each_version(  # noqa: PLR0917 - a table
    every_protocol, certificates, service, name, bye, tls, option, taken
):
    how = ["-starttls", name] if tls == "starttls" else []
    lax = ["-cipher", "ALL:@SECLEVEL=0", "-verify_return_error", "-verify_hostname", "localhost", "-ign_eof"]
    port = every_protocol.port(tls, service=service)
    printed = s_client(port, option, *how, *lax, certificates=certificates, said=bye)
    version = option.removeprefix("-tls").replace("_", ".")
    assert (f"New, TLSv{version}, Cipher is " in printed) is taken, printed
    assert ("Verify return code: 0 (ok)" in printed) is True or not taken, printed
    assert ("protocol version" in printed) is not taken, printed
