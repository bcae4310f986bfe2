"""An LDAP server with enough users that each can be looked up for the first time."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from benchmark.laboratory import Laboratory, accepts

USERS = 20000
BASE = "dc=example,dc=com"
SCHEMAS = Path("/etc/ldap/schema")
MODULES = Path("/usr/lib/ldap")


def missing() -> str:
    """Say what has to be installed first; empty when nothing is missing."""
    return "" if program("slapd") and (SCHEMAS / "misc.schema").exists() else "Debian's slapd"


def program(name: str) -> str | None:
    """Find a program that may not be on an ordinary user's path."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


def start(laboratory: Laboratory) -> int:
    """Start slapd with users u0, u1, … and return its port; it runs beside the store, its cost is not counted."""
    folder = laboratory.subfolder("slapd-conf")
    (folder / "db").mkdir()
    configuration, users = folder / "slapd.conf", folder / "users.ldif"
    configuration.write_text(server_configuration(folder))
    users.write_text("\n\n".join(["\n".join(ROOT), *("\n".join(entry(n)) for n in range(USERS))]))
    subprocess.run([str(program("slapadd")), "-q", "-f", str(configuration), "-l", str(users)], check=True)
    port = laboratory.free_port()
    command = [str(program("slapd")), "-d", "0", "-f", str(configuration), "-h", f"ldap://127.0.0.1:{port}/"]
    server = laboratory.start("slapd", command, laboratory.cores.store)
    laboratory.await_program(server, lambda: accepts(port))
    return port


def server_configuration(folder: Path) -> str:
    """Write slapd.conf."""
    schemas = "\n".join(f"include {SCHEMAS}/{name}.schema" for name in ("core", "cosine", "inetorgperson", "misc"))
    return f"""
{schemas}
modulepath {MODULES}
moduleload back_mdb
loglevel 0
threads 4
database mdb
suffix "{BASE}"
directory {folder}/db
maxsize 1073741824
index uid eq
index objectClass eq
"""


ROOT = (f"dn: {BASE}", "objectClass: dcObject", "objectClass: organization", "o: Example", "dc: example")


def entry(number: int) -> tuple[str, ...]:
    """Return one user's lines of LDIF."""
    return (
        f"dn: uid=u{number},{BASE}",
        "objectClass: inetOrgPerson",
        "objectClass: inetLocalMailRecipient",
        f"uid: u{number}",
        f"cn: User {number}",
        f"sn: {number}",
        f"mail: u{number}@example.com",
        "mailHost: 127.0.0.1",
    )


def directory(port: int) -> str:
    """Return the tables of mmp.toml that look users up here, and remember all of them."""
    return f"""
[directory]
kind = "ldap"
cache_size = {2 * USERS}

[directory.ldap]
urls = ["ldap://127.0.0.1:{port}"]
base = "{BASE}"
filter = "(uid=%U)"
"""
