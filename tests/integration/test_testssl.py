"""What testssl.sh, which tries everything that is known against TLS servers, finds at the default configuration."""

import json
import subprocess

import pytest

HARMLESS = {"OK", "INFO", "LOW"}
NOT_OURS = (
    *("cert_", "cert", "DNS_CAArecord", "OCSP_stapling", "overall_grade", "engine_problem"),
    "sessionresumption_ticket",
)
"""It is a private one, for addresses on loopback: whether the world would trust it is not for these tests. The engine
is what testssl.sh wishes OpenSSL's program had. Its trial of resumption gives up now and then on a busy machine and
says so as a warning; resumption is tried by openssl in a test of its own."""


@pytest.mark.parametrize("starttls", [False, True])
def test_nothing_is_found_above_low(proxy, certificates, tmp_path, starttls):
    found = tmp_path / "found.json"
    how = ["--starttls", "imap"] if starttls else []
    port = proxy.port("starttls" if starttls else "implicit")
    tests = ["--protocols", "--server-preference", "--server-defaults", "--vulnerable", "--fs", "--std"]
    quietly = ["--warnings", "off", "--quiet", "--color", "0", "--add-ca", certificates.ca, "--jsonfile", found]
    subprocess.run(
        ["testssl", *quietly, *tests, *how, f"localhost:{port}"],
        capture_output=True,
        timeout=900,
        check=False,
        cwd=tmp_path,
    )
    findings = json.loads(found.read_text())
    assert len(findings) > 40
    bad = [each for each in findings if each["severity"] not in HARMLESS]
    assert [each for each in bad if not each["id"].startswith(NOT_OURS)] == []
