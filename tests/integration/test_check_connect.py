"""What ``mmp check --connect`` tells of real servers."""

import pytest

from tests.integration.certificates import LOOPBACK, Certificates
from tests.integration.commands import MMP, run
from tests.integration.people import FIRST, NOBODY_THERE
from tests.integration.shared_stores import redis_in_tls
from tests.integration.slapd import BASE, PROXY, slapd
from tests.integration.test_password_policy import PASSWORD, PEOPLE, POLICIES, changed, own, under
from tests.integration.toml import document


@pytest.fixture
def check(tmp_path, certificates):
    """Runs the command, and returns its exit status and lines, without what is said of files."""
    (tmp_path / "own").write_text(PASSWORD)
    (tmp_path / "own").chmod(0o600)

    def run_it(ldap, pool=(), backend=(), **tables):
        own = {"bind_dn": PROXY, "bind_password_file": "own", "base": BASE, "ca": str(certificates.ca)}
        settings = {
            "listener": [{"service": "imap", "port": 1143, "tls": "none", "restrict_plain_passwords": False}],
            "directory": {"ldap": own | ldap},
            "pool": {"all": {"hosts": list(pool)}} if pool else {},
            "backend": dict(backend),
        }
        (tmp_path / "mmp.toml").write_text(document(settings | tables))
        done = run([*MMP, "check", "--connect", str(tmp_path / "mmp.toml")])
        assert not done.stderr
        *lines, count = done.stdout.splitlines()
        assert (": 0 errors" in count) is (done.returncode == 0)
        return done.returncode, [line for line in lines if not line.startswith("warning: directory.")]

    return run_it


@pytest.fixture(scope="module")
def server(ports, certificates):
    with slapd(ports, POLICIES + own() + PEOPLE, certificates, policy=True) as running:
        yield running


def test_what_is_well_is_told_and_the_status_is_0(check, server, stores):
    status, (directory, store) = check({"urls": [server.tls_url]}, [FIRST], {"imap": {"port": stores.port}})
    assert directory.startswith(
        f"note: directory {server.tls_url}: connected with TLS, bound as {PROXY}, searched below {BASE}, in "
    )
    assert store.startswith(f"note: imap store {FIRST}:{stores.port}: ready for logins, tls none, in ")
    assert status == 0


def test_a_certificate_that_is_not_the_servers_is_an_error(check, ports, certificates):
    with slapd(ports, own() + PEOPLE, certificates, names=("ldap.example.com",)) as other:
        status, lines = check({"urls": [other.tls_url]})
    assert lines[0].startswith(f"error: directory {other.tls_url}: ")
    assert "certificate" in lines[0]
    assert status == 1


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ((under("warning"), changed(1.5)), "warning: directory {}: our own account: the password expires in 8 d"),
        (("pwdReset: TRUE",), "error: directory {}: bind as {} refused: success; the password must be changed"),
    ],
)
def test_what_the_policy_says_of_our_own_account_is_told(check, ports, lines, told):
    with slapd(ports, POLICIES + own(*lines) + PEOPLE, policy=True) as strict:
        status, found = check({"urls": [strict.url]})
    assert told.format(strict.url, PROXY) in found
    assert status == told.startswith("error")


def test_a_server_that_is_only_referred_to_is_connected_to(check, server):
    status, lines = check({"urls": [server.url], "referrals": True, "referral_urls": [server.tls_url]})
    assert lines[1].startswith(f"note: directory {server.tls_url}, which others may refer to: connected, in ")
    assert status == 0


def test_whoever_is_away_is_an_error(check, ports, server):
    port, shared = ports.free(), ports.free()
    status, lines = check(
        {"urls": [server.url, f"ldap://{NOBODY_THERE}:{port}"], "base": "dc=nowhere"},
        [NOBODY_THERE],
        {"imap": {"port": port}},
        shared={"url": f"redis://127.0.0.1:{shared}"},
    )
    assert [line.split(": ")[:2] for line in lines] == [
        ["error", f"directory {server.url}"],
        ["error", f"directory ldap://{NOBODY_THERE}:{port}"],
        ["error", f"imap store {NOBODY_THERE}:{port}"],
        ["error", f"shared redis://127.0.0.1:{shared}"],
    ]
    assert "noSuchObject" in lines[0]
    assert status == 1


NOT_THE_NAME, NOT_VERIFIED = "TLS: the certificate is not for this name", "TLS: certificate verify failed"


@pytest.mark.parametrize(
    "case",
    [
        (True, (LOOPBACK, 1), ""),
        (True, (["redis.example.com"], 1), NOT_THE_NAME),
        (True, (LOOPBACK, -1), NOT_VERIFIED),
        (False, (LOOPBACK, 1), NOT_VERIFIED),
    ],
    ids=["good", "another's name", "expired", "another authority's"],
)
def test_a_shared_store_in_tls_is_tried_and_its_certificate_judged(check, ports, tmp_path_factory, case):
    ours, (names, days), why = case
    users = tmp_path_factory.mktemp("directory") / "users.toml"
    users.write_text(document({"users": {}}))
    known, another = (Certificates.make(tmp_path_factory.mktemp(name)) for name in ("known", "another"))
    with redis_in_tls(ports.free(), (known if ours else another).issue(*names, days=days)) as server:
        directory = {"kind": "file", "file": {"path": str(users)}}
        status, lines = check({}, directory=directory, shared={"url": server.url, "ca": str(known.ca)})
    told = f"error: shared {server.url}: {why}" if why else f"note: shared {server.url}: connected"
    assert [line for line in lines if " shared " in line] == [told]
    assert status == bool(why)


def test_a_file_of_users_names_the_stores(check, tmp_path, stores):
    (tmp_path / "users.toml").write_text(
        document({"users": {"alice": {"mailHost": FIRST}, "bob": {"mailHost": "pool:x"}}})
    )
    status, lines = check(
        {}, backend={"imap": {"port": stores.port}}, directory={"kind": "file", "file": {"path": "users.toml"}}
    )
    assert [line.split(": ")[:2] for line in lines] == [["note", f"imap store {FIRST}:{stores.port}"]]
    assert status == 0


def test_a_server_that_is_asked_in_http_is_connected_to(check, stores, ports):
    for port, status in ((stores.port, 0), (ports.free(), 1)):
        url = f"http://{FIRST}:{port}/auth"
        found, lines = check({}, directory={"kind": "auth_http", "auth_http": {"url": url}})
        assert found == status
        assert lines[0].startswith(f"{'error' if status else 'note'}: directory http {FIRST}:{port}: ")
