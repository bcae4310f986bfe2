"""What whoever is on call sees, within seconds, of what breaks around a proxy of two workers."""

import os
import signal
import ssl
from contextlib import contextmanager

import pytest

from tests.integration.client import connected
from tests.integration.commands import mmp, mmp_json
from tests.integration.people import ALICE, BOB, FIRST, SECOND
from tests.integration.rapid import rapid_store
from tests.integration.shared_stores import redis
from tests.integration.slapd import ADDRESS, BASE, slapd
from tests.integration.test_directory_outage import entry
from tests.integration.test_metrics import samples
from tests.integration.waiting import until

PLAIN = {"restrict_plain_passwords": False}


@pytest.fixture
def run_watched(run_proxy, ports):
    """Runs a proxy of two workers that monitoring can ask, and waits until both serve."""

    @contextmanager
    def run(store_port, **changes):
        admin = {"http": f"127.0.0.1:{ports.free()}"}
        with run_proxy(store_port, admin=admin, workers=2, login=PLAIN, **changes) as proxy:
            proxy.logged(" serving ", "workers=2")
            yield proxy

    return run


def log_in(proxy, person):
    """Return the answer to a login."""
    with connected("127.0.0.1", proxy.port("starttls")) as client:
        return client.command(b"a LOGIN %b %b" % (person.user.encode(), person.password))[-1]


def value(proxy, name):
    """Return a number, 0 if it is not there."""
    return samples(proxy).get(name, 0)


def test_a_worker_is_killed(run_watched, ports):
    with run_watched(ports.free()) as proxy:
        victim = min(proxy.workers())
        os.kill(victim, signal.SIGKILL)
        until(lambda: value(proxy, "mmp_worker_losses_total") == 1, "the loss is counted")
        proxy.logged(" worker ", "result=lost", f"pid={victim}")
        until(lambda: value(proxy, "mmp_workers") == 2, "another one is there")
        assert victim not in {each["pid"] for each in mmp_json(proxy, "status")["workers"]}


def test_workers_that_a_reload_replaces_are_no_losses(run_watched, ports):
    with run_watched(ports.free()) as proxy:
        before = proxy.workers()
        mmp(proxy, "reload")
        until(lambda: not proxy.workers() & before, "they are replaced")
        assert value(proxy, "mmp_worker_losses_total") == 0


def test_a_store_is_killed(run_watched, ports):
    store = ports.free()
    up = f'mmp_backend_up{{backend="{FIRST}",service="imap"}}'
    with rapid_store(SECOND, store), run_watched(store) as proxy:
        with rapid_store(FIRST, store) as process:
            assert log_in(proxy, ALICE).startswith(b"a OK")
            assert value(proxy, up) == 1
            process.kill()
            process.wait()
            assert log_in(proxy, ALICE).startswith(b"a NO [UNAVAILABLE]")
            assert log_in(proxy, BOB).startswith(b"a OK")
        assert samples(proxy)[up] == 0
        proxy.logged(" backend ", "result=failed", f"backend={FIRST}", "reason=")
        (down,) = [each for each in mmp_json(proxy, "backends") if not each["up"]]
        assert (down["backend"], down["why"][:8]) == (FIRST, "greeting")
        with rapid_store(FIRST, store):
            until(lambda: log_in(proxy, ALICE).startswith(b"a OK"), "it is back")
            assert value(proxy, up) == 1


def test_the_directory_is_killed(run_watched, ports):
    store = ports.free()
    with rapid_store(FIRST, store), slapd(ports, entry(ALICE) + entry(BOB)) as server:
        directory = {"kind": "ldap", "ldap": {"urls": [server.url], "base": BASE, "timeout": "2s"}}
        with run_watched(store, directory=directory) as proxy:
            server.stop()
            assert log_in(proxy, ALICE).startswith(b"a NO [UNAVAILABLE]")
            assert value(proxy, 'mmp_directory_lookups_total{result="error"}') >= 1
            proxy.logged(" directory ", "result=down", f"url=ldap://{ADDRESS}:{server.port}")
            assert mmp_json(proxy, "status")["directory"]["up"] is False
            server.start()
            until(
                lambda: log_in(proxy, ALICE).startswith(b"a OK") and " directory result=up " in proxy.log(),
                "the worker that has met it away meets it again",
            )


def test_the_shared_state_is_killed(run_watched, ports):
    with redis(ports.free()) as shared, run_watched(ports.free(), shared={"url": shared.url}) as proxy:
        until(lambda: value(proxy, "mmp_shared_state_up") == 1, "it is within reach")
        shared.kill()
        until(lambda: value(proxy, "mmp_shared_state_up") == 0, "it is away")
        proxy.logged(" shared ", "warn", "result=alone")
        assert mmp_json(proxy, "status")["shared"]["up"] is False
        shared.start()
        until(lambda: value(proxy, "mmp_shared_state_up") == 1, "it is back")


def test_a_certificate_has_ended(run_watched, ports, certificates):
    expired = certificates.issue("localhost", days=-1)
    tls = {"certificate": str(expired.certificate), "private_key": str(expired.key)}
    with run_watched(ports.free(), tls=tls) as proxy:
        (left,) = [left for name, left in samples(proxy).items() if name.startswith("mmp_certificate_expiry_seconds")]
        assert left < 0
        proxy.logged(" error certificate ", f"file={expired.certificate}", "days=-")
        with (
            pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"),
            connected("127.0.0.1", proxy.port("implicit"), certificates.ca),
        ):
            pass
        until(lambda: [name for name in samples(proxy) if 'result="failed"' in name], "the handshake is counted")
        fresh = certificates.issue("localhost")
        expired.certificate.write_bytes(fresh.certificate.read_bytes())
        expired.key.write_bytes(fresh.key.read_bytes())
        mmp(proxy, "reload")
        (left,) = [left for name, left in samples(proxy).items() if name.startswith("mmp_certificate_expiry_seconds")]
        assert left > 0
        with connected("127.0.0.1", proxy.port("implicit"), certificates.ca):
            pass
