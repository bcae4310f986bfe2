"""What testssl.sh, which tries everything that is known against TLS servers, finds at the default configuration."""

import json
import subprocess

import pytest

from mmp.model import Service

HARMLESS = {"OK", "INFO", "LOW"}
NOT_OURS = (
    *("cert_", "cert", "DNS_CAArecord", "OCSP_stapling", "overall_grade", "engine_problem"),
    "sessionresumption_ticket",
)
"""It is a private one, for addresses on loopback: whether the world would trust it is not for these tests. The engine
is what testssl.sh wishes OpenSSL's program had. Its trial of resumption is a matter of luck: the first connection ends
with the handshake, while TLS 1.3 sends tickets behind that; if none has come by then there is nothing to resume, and it
tells of a problem with the connection, four times in ten. Resumption is tried by openssl in a test of its own."""
TESTS = ("--protocols", "--server-defaults", "--vulnerable")
ALL_TESTS = (*TESTS, "--server-preference", "--fs", "--std")


@pytest.fixture(scope="module")
def listening(run_proxy, stores, ports):
    """A proxy for every protocol, nothing about TLS configured; no client gets as far as a login."""
    common = {"address": "127.0.0.1", "tls": "starttls"}
    listeners = [common | {"service": service.value, "port": ports.free()} for service in Service]
    listeners.append(listeners[0] | {"port": ports.free(), "tls": "implicit"})
    with run_proxy(stores.port, listener=listeners) as proxy:
        yield proxy


@pytest.mark.parametrize(
    ("service", "how", "tests"),
    [
        ("imap", (), ALL_TESTS),
        ("imap", ("--starttls", "imap"), ALL_TESTS),
        ("pop3", ("--starttls", "pop3"), TESTS),
        ("submission", ("--starttls", "smtp"), TESTS),
    ],
)
def test_nothing_is_found_above_low(listening, certificates, tmp_path, service, how, tests):  # noqa: PLR0917 - fixtures
    """It knows no ManageSieve, whose listeners are made as the others are."""
    found = tmp_path / "found.json"
    port = listening.port("starttls" if how else "implicit", service=service)
    quietly = ["--warnings", "off", "--quiet", "--color", "0", "--add-ca", certificates.ca, "--jsonfile", found]
    subprocess.run(
        ["testssl", *quietly, *tests, *how, f"localhost:{port}"],
        capture_output=True,
        timeout=900,
        check=False,
        cwd=tmp_path,
    )
    findings = json.loads(found.read_text())
    assert len(findings) > 30
    bad = [each for each in findings if each["severity"] not in HARMLESS]
    assert [each for each in bad if not each["id"].startswith(NOT_OURS)] == []
