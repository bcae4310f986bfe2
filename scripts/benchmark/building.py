"""Compiles the load generator and the stub store, and makes a certificate."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent


def compile_programs(folder: Path) -> None:
    """Compile ``load`` and ``store`` into a folder; ends the program where a Debian package is missing."""
    if not shutil.which("cc"):
        raise SystemExit("bench: no C compiler; install Debian's gcc and libc6-dev")
    compile_program(folder, "store")
    headers = subprocess.run(
        ["cc", "-E", "-x", "c", "-"], input="#include <openssl/ssl.h>\n", capture_output=True, text=True, check=False
    )
    if headers.returncode != 0:
        raise SystemExit("bench: OpenSSL's headers are missing; install Debian's libssl-dev")
    compile_program(folder, "load", "-lssl", "-lcrypto")


def compile_program(folder: Path, name: str, *libraries: str) -> None:
    """Compile one source file."""
    command = ["cc", "-O2", "-Wall", "-Wextra", "-o", str(folder / name), str(SOURCES / f"{name}.c"), *libraries]
    subprocess.run(command, check=True)


def make_certificate(folder: Path) -> None:
    """Make a self-signed ECDSA P-256 certificate: ``cert.pem``, ``key.pem``, and both in ``both.pem``."""
    if not shutil.which("openssl"):
        raise SystemExit("bench: no openssl command; install Debian's openssl")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [*command.split(), *names, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    (folder / "both.pem").write_text(certificate.read_text() + key.read_text())
