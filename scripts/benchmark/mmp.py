"""mmp itself: a checkout, copied so that what is measured stays the same while others work on it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from benchmark import slapd
from benchmark.laboratory import Laboratory, Program, Trouble
from benchmark.mail import Transport
from benchmark.subjects import Setup, Task, start_proxy

HERE = Path(__file__).parents[2]
"""The checkout that this file belongs to."""

USERS = 1000
"""Users in the directory's file; all of them fit into the cache."""

LATER_PARTS = (
    "[limits]\nper_address = []\n",
    '[admin]\ncontrol = "unix:{folder}/control.sock"\n',
    'state = "{folder}/state"\n',
)
"""Parts of the configuration that a build may be too old to know, and would refuse: the newest last."""

UNLIMITED = '[limits]\nper_address = []\n[throttle]\npenalty = "0s"\n'
LIMITED = """
[limits]
sessions = 100000
per_address = [{{ network = "0.0.0.0/0", sessions = 100000 }}]
per_user = 100000
per_backend = 100000
connections_per_minute = 1000000
logins_per_minute = 1000000
[throttle]
per_user = true
ban_after = 1000
"""
"""Everything that can be limited, so far off that nothing is refused."""


@dataclass
class MMP:
    """One build of mmp."""

    checkout: Path
    name: str = "mmp"
    transports: frozenset[Transport] = frozenset(Transport)
    known: int = len(LATER_PARTS)
    """How many of those parts this build knows."""
    copy: Path | None = field(default=None, repr=False)

    def missing(self) -> str:
        """Look for the parts and for an interpreter that has its dependencies."""
        if not (self.checkout / "mmp" / "tap.py").exists():
            return f"a checkout of mmp at {self.checkout}"
        return "" if self.twistd().exists() else f"a virtual environment at {self.checkout}/.venv (run scripts/test)"

    def version(self) -> str:
        """Name the commit, whether it was changed since, and the Python that runs it, with who built that."""
        git = ["git", "-C", str(self.checkout), "describe", "--always", "--dirty=, changed since"]
        python = [str(self.twistd().with_name("python")), "-c", "import sys; print(sys.version)"]
        commit, interpreter = (
            " ".join(subprocess.run(words, check=False, capture_output=True, text=True).stdout.split())
            for words in (git, python)
        )
        return f"{commit or self.checkout}, Python {interpreter}"

    def can(self, setup: Setup) -> bool:
        """Do everything; LDAP needs a server to be measured with."""
        return not setup.ldap or not slapd.missing()

    def twistd(self) -> Path:
        """Return the twistd of the checkout's own virtual environment, or of ours where it has none."""
        own = self.checkout / ".venv" / "bin" / "twistd"
        return own if own.exists() else HERE / ".venv" / "bin" / "twistd"

    def start(self, laboratory: Laboratory, task: Task) -> Program:
        """Start twistd; a build that refuses the newest part of the configuration is asked again without it."""
        ldap = slapd.start(laboratory) if task.setup.ldap else 0
        while self.known:
            try:
                return self.start_with(laboratory, task, ldap)
            except Trouble:
                self.known -= 1
        return self.start_with(laboratory, task, ldap)

    def start_with(self, laboratory: Laboratory, task: Task, ldap: int) -> Program:
        """Write the configuration and start twistd."""
        if self.copy is None:
            self.copy = copied(self.checkout, laboratory.subfolder(self.name))
        folder = laboratory.subfolder("mmp-conf")
        (folder / "mmp.toml").write_text(self.configuration(task, folder, ldap))
        hosts = {f"u{n}": "127.0.0.1" for n in range(USERS)} | {"away": "127.0.0.2"}
        users = "".join(f'[users.{user}]\nmailHost = "{host}"\n' for user, host in hosts.items())
        (folder / "users.toml").write_text(users)
        words = ["-n", "--pidfile=", "mmp", "--config", str(folder / "mmp.toml")]
        environment = {
            "PYTHONPATH": f"{self.copy}:{self.copy}/plugins",
            "PYTHONPYCACHEPREFIX": str(self.copy / "pycache"),
        }
        return start_proxy(laboratory, self.name, [str(self.twistd()), *words], task, environment)

    def configuration(self, task: Task, folder: Path, ldap: int) -> str:
        """Write mmp.toml: the defaults, without limits that the load would run into."""
        return f"""
hostname = "localhost"
workers = {task.setup.workers}
shutdown_grace = "1s"

[[listener]]
service = "{task.mail.name}"
address = "127.0.0.1"
port = {task.clear}
tls = "starttls"

[[listener]]
service = "{task.mail.name}"
address = "127.0.0.1"
port = {task.implicit}
tls = "implicit"

[tls]
certificate = "{task.certificates}/cert.pem"
private_key = "{task.certificates}/key.pem"

[login]
restrict_plain_passwords = false

{slapd.directory(ldap) if ldap else f'[directory]{chr(10)}kind = "file"'}

[backend.{task.mail.name}]
port = {task.store}
max_connecting = 4096
{"".join(self.parts(task.setup.limited)).format(folder=folder)}
"""

    def parts(self, limited: bool | None) -> list[str]:  # noqa: FBT001 - a setup's
        """Return the parts that this build knows, with other limits where a scenario wants them."""
        usual, *others = LATER_PARTS
        chosen = {None: usual, True: LIMITED, False: UNLIMITED}[limited]
        return [chosen, *others][: self.known]


def copied(checkout: Path, folder: Path) -> Path:
    """Copy what runs of a checkout: later edits do not reach a running measurement, and ours leave no trace there."""
    for part in ("mmp", "plugins"):
        shutil.copytree(checkout / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
    return folder
