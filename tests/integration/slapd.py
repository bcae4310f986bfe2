"""A real OpenLDAP server in a temporary directory, with the schema of mail directories."""

import re
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from attrs import define

from tests.integration.processes import listening_inodes
from tests.integration.waiting import until

ADDRESS = "127.0.0.1"
BASE = "dc=example,dc=com"
PROXY = f"cn=proxy,{BASE}"
"""The name that may always read, if its entry is there and has a password."""
ROOT_DN = f"cn=root,{BASE}"
ROOT_PASSWORD = "all-may-be-changed"
"""The name that may change everything, without an entry."""

CONFIGURATION = """\
dn: cn=config
objectClass: olcGlobal
cn: config
{tls}
dn: cn=module,cn=config
objectClass: olcModuleList
cn: module
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb
olcModuleLoad: ppolicy
{module}

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file:///etc/ldap/schema/core.ldif
include: file:///etc/ldap/schema/cosine.ldif
include: file:///etc/ldap/schema/inetorgperson.ldif
include: file://{schema}

dn: olcDatabase=mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: mdb
olcSuffix: {base}
olcDbDirectory: {directory}/database
olcDbMaxSize: 67108864
olcDbNoSync: TRUE
olcDbIndex: objectClass,uid,mail,mailAlternateAddress eq
olcAccess: to attrs=userPassword by anonymous auth by dn.exact="{proxy}" read
olcAccess: to * by dn.exact="{proxy}" read by * {others}
olcRootDN: {root}
olcRootPW: {root_password}
"""

SYNCHRONIZATION = """
dn: olcOverlay=syncprov,olcDatabase={1}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcSyncProvConfig
olcOverlay: syncprov

"""

POLICY = f"""
dn: olcOverlay=ppolicy,olcDatabase={{1}}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcPPolicyConfig
olcOverlay: ppolicy
olcPPolicyDefault: cn=usual,{BASE}
olcPPolicyUseLockout: TRUE
"""

TLS = """\
olcTLSCertificateFile: {certificate}
olcTLSCertificateKeyFile: {key}
olcTLSCACertificateFile: {ca}
olcTLSVerifyClient: try
olcAuthzRegexp: "^cn=proxy$" "{proxy}"
"""

ROOT = f"""\
dn: {BASE}
objectClass: domain
dc: example

"""


@define
class Slapd:
    """A server that can be stopped and started again on its ports; ``tls_port`` is 0 if it has no certificate."""

    directory: Path
    port: int
    tls_port: int
    level: str = "0"
    process: subprocess.Popen | None = None

    @property
    def url(self):
        """Where it takes connections in clear, and StartTLS on them."""
        return f"ldap://{ADDRESS}:{self.port}"

    @property
    def tls_url(self):
        """Where it takes connections with TLS from the beginning."""
        return f"ldaps://{ADDRESS}:{self.tls_port}"

    def start(self):
        """Run it until it listens."""
        urls = f"{self.url}/ {self.tls_url}/" if self.tls_port else f"{self.url}/"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [_path("slapd"), "-h", urls, "-F", self.directory / "configuration", "-d", self.level], stderr=log
            )
        until(lambda: self.process.poll() is not None or self._listens(), f"slapd listens at {urls}")
        assert self.process.poll() is None, "slapd ended at once"

    def change(self, ldif):
        """Change entries, as LDIF with changetypes says."""
        command = ["ldapmodify", "-x", "-H", self.url, "-D", ROOT_DN, "-w", ROOT_PASSWORD]
        changed = subprocess.run(command, input=ldif, capture_output=True, text=True, check=False)
        assert changed.returncode == 0, changed.stderr

    def change_stopped(self, ldif):
        """Change entries while it does not run, so that nobody can have seen it."""
        _load(self.directory, 1, ldif, "slapmodify")

    def searches(self):
        """Return base and filter of all searches so far, as it has read them; needs the level ``stats``."""
        return re.findall(r'SRCH base="(.*?)" scope=\d deref=\d filter="(.*)"$', self._log.read_text(), re.MULTILINE)

    @property
    def _log(self):
        return self.directory / "log"

    def stop(self):
        """End it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(timeout=30)
            self.process = None

    def kill(self):
        """End it at once, whatever it is at."""
        self.process.kill()
        self.process.wait(timeout=30)
        self.process = None

    def freeze(self):
        """Have it do nothing more, once each of its threads has stopped; the system still takes connections for it."""
        self.process.send_signal(signal.SIGSTOP)
        until(self._stands_still, "slapd stopped")

    def _stands_still(self):
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return all((thread / "stat").read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)

    def thaw(self):
        """Have it go on."""
        self.process.send_signal(signal.SIGCONT)

    def _listens(self):
        return all(listening_inodes(port) for port in (self.port, self.tls_port) if port)


@contextmanager
def slapd(
    ports,
    entries,
    certificates=None,
    names=("localhost", ADDRESS),
    *,
    others="read",
    level="0",
    synchronized=False,
    policy=False,
):
    """Run a server that has these entries below its root.

    ``entries`` are LDIF; with ``certificates`` it has TLS, and a certificate for ``names``; ``others`` is what everyone
    but PROXY may do: read, or search, or none; ``level`` is what it writes to its log; one that is ``synchronized``
    tells of changes; one with ``policy`` applies the password policy cn=usual, or that which an entry names.
    """
    directory = Path(tempfile.mkdtemp(prefix="mmp-slapd-"))
    server = Slapd(directory, ports.free(), ports.free() if certificates else 0, level)
    try:
        _configure(directory, _tls(certificates, names), others, synchronized, policy)
        _load(directory, 1, ROOT + entries)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)


def _configure(directory, tls, others, synchronized, policy):
    for name in ("configuration", "database"):
        (directory / name).mkdir()
    text = CONFIGURATION.format(
        tls=tls,
        schema=Path(__file__).with_name("mail-schema.ldif"),
        base=BASE,
        proxy=PROXY,
        directory=directory,
        others=others,
        module="olcModuleLoad: syncprov" if synchronized else "",
        root=ROOT_DN,
        root_password=ROOT_PASSWORD,
    )
    overlays = (SYNCHRONIZATION if synchronized else "") + (POLICY if policy else "")
    _load(directory, 0, text + overlays)


def _tls(certificates, names):
    if certificates is None:
        return ""
    pair = certificates.issue(*names)
    return TLS.format(certificate=pair.certificate, key=pair.key, ca=certificates.ca, proxy=PROXY)


def _load(directory, database, ldif, program="slapadd"):
    """Load a database, of which the configuration is the first."""
    path = directory / f"{database}.ldif"
    path.write_text(ldif)
    command = [_path(program), "-n", str(database), "-F", directory / "configuration", "-l", path]
    loaded = subprocess.run(command, capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr


def _path(program):
    """Return where a program is; Debian's are not on every user's path."""
    return shutil.which(program) or f"/usr/sbin/{program}"
