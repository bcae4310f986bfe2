"""A proxy where the package for Redis is not installed: it says so where it is needed, and only there."""

import os
import subprocess

import pytest

from tests.integration import commands, processes
from tests.integration import proxy as proxies
from tests.integration.commands import MMP, mmp_json
from tests.integration.ordinary import PLAIN, logs_in
from tests.integration.proxy import TWISTD, Proxy
from tests.integration.settings import settings, write_users
from tests.integration.shared_stores import memcached
from tests.integration.waiting import until

MISSING = "shared.url: needs the Python package txredisapi, which is not here: pip install 'mmp[redis]'"
CARRIES_NOTHING = "memcached carries no bans and no kicks to other hosts, as Redis does: each host has its own"


@pytest.fixture
def without(tmp_path, monkeypatch):
    """Has every process believe that the package is not there; returns their environment."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['txredisapi'] = None\n")
    usual = proxies.environment

    def environment(*run):
        variables = usual(*run)
        return variables | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{variables['PYTHONPATH']}"}

    for module in (proxies, commands):
        monkeypatch.setattr(module, "environment", environment)
    return environment


def test_a_shared_redis_is_a_mistake_that_start_up_and_check_tell(without, tmp_path, ports, pair):
    write_users(tmp_path / "users.toml", {})
    url = {"url": f"redis://127.0.0.1:{ports.free()}"}
    proxy = Proxy(directory=tmp_path, settings=settings(ports, pair, ports.free(), tmp_path / "users.toml", shared=url))
    proxy.write()
    started = subprocess.run(
        [*TWISTD, "mmp", "--config", proxy.configuration],
        cwd=tmp_path,
        env=without(proxy.mark),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (started.returncode, started.stderr.splitlines()[-1:]) == (1, [MISSING])
    assert not proxy.pids()
    assert not any(map(processes.listening_inodes, proxy.ports))
    checked = commands.run([*MMP, "check", str(proxy.configuration)])
    assert checked.returncode == 1
    assert f"error: {MISSING}" in checked.stdout.splitlines()


@pytest.mark.usefixtures("without")
def test_a_shared_memcached_needs_no_such_package_and_what_it_does_not_do_is_told(run_proxy, stores, ports):
    with (
        memcached(ports.free()) as server,
        run_proxy(stores.port, workers=2, login=PLAIN, shared={"url": server.url}) as proxy,
    ):
        proxy.logged(" configuration ", CARRIES_NOTHING)
        until(lambda: mmp_json(proxy, "status")["shared"]["up"], "it is joined")
        logs_in(proxy)
        checked = commands.run([*MMP, "check", str(proxy.configuration)])
        assert f"warning: shared.url: {CARRIES_NOTHING}" in checked.stdout.splitlines()
