"""The `mmp` command, as an operator runs it beside a proxy."""

import json
import subprocess
import sys

from tests.integration.proxy import CHECKOUT, environment

MMP = [sys.executable, "-c", "import sys; from mmp.cli.main import main; sys.exit(main())"]


def run(command):
    """Run a command line; return what became of it."""
    return subprocess.run(
        command, cwd=CHECKOUT, env=environment(""), capture_output=True, text=True, timeout=60, check=False
    )


def mmp(proxy, *arguments, status=0):
    """Run a command on the proxy's configuration; return what it prints, on both streams."""
    done = run([*MMP, *arguments, "--config", str(proxy.configuration)])
    assert done.returncode == status, done
    return done.stdout + done.stderr


def mmp_json(proxy, *arguments, status=0):
    """The same with ``--json``; return what that means."""
    return json.loads(mmp(proxy, *arguments, "--json", status=status))
