"""What ``mmp explain`` tells of logins, with users in a file and in a real directory."""

import subprocess
import sys

import pytest

from tests.integration import domains
from tests.integration.slapd import BASE, slapd
from tests.integration.toml import document


@pytest.fixture(scope="module")
def server(ports):
    with slapd(ports, domains.PEOPLE + domains.TREE) as running:
        yield running


@pytest.fixture
def explain(tmp_path, server):
    """Runs the command as operators do."""
    ldap = {"urls": [server.url], "base": BASE, "schema": "1", "domain_root": domains.ROOT}
    ldap["filter"] = domains.USUAL_FILTER

    def run(user, *options, **directory):
        settings = {
            "listener": [{"tls": "none"}, {"service": "pop3", "tls": "none", "port": 110}],
            "directory": directory or {"ldap": ldap},
            "backend": {"networks": ["10.0.0.0/8"]},
        }
        path = tmp_path / "mmp.toml"
        path.write_text(document(settings))
        command = [
            sys.executable,
            "-c",
            "from mmp.cli.main import main; raise SystemExit(main())",
            "explain",
            path,
            user,
        ]
        ended = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)
        return ended.returncode, ended.stdout.splitlines(), ended.stderr

    return run


def test_a_login_is_walked_through_step_by_step(explain):
    status, told, _ = explain("alice@alias.test")
    assert (status, told) == (
        0,
        [
            "listener  imap at 0.0.0.0:143, tls none",
            "name      user alice, domain alias.test",
            f"domain    one.test, dc=one,dc=test,{domains.ROOT}",
            f"entry     uid=alice,ou=one,{BASE}",
            "password  judged by the store",
            "status    none, so active",
            "access    no rules",
            "user      alice@one.test",
            "store     one.store, told alice",
            "backend   port 143, tls none, in 10.0.0.0/8",
        ],
    )


@pytest.mark.parametrize(
    ("user", "last"),
    [
        ("nobody@one.test", "refused   bad-credentials: no entries match"),
        ("twin@one.test", "refused   bad-credentials: 2 entries match"),
        ("alice@none.test", "refused   bad-credentials: no entries match"),
        ("closed@statuses.test", "refused   account-disabled: user's mailUserStatus is 'deleted'"),
        ("lost@one.test", "refused   backend-unavailable: no mailHost"),
        ("ali\u202ece@one.test", "refused   bad-credentials: login name has characters that SASLprep prohibits"),
    ],
)
def test_the_step_that_refuses_is_the_last(explain, user, last):
    status, told, _ = explain(user)
    assert (status, told[-1]) == (1, last)


def test_what_the_domain_says_is_told(explain):
    assert "password  judged by the directory, as the domain says" in explain("alice@here.test")[1]


@pytest.mark.parametrize(
    ("options", "last"),
    [
        (("--from", "10.0.0.1"), "backend   port 110, tls none, in 10.0.0.0/8"),
        (("--from", "192.0.2.1"), "refused   not-authorized: mailAllowedServiceAccess: none of +pop:10.0.0.0/8"),
    ],
)
def test_access_rules_are_judged_by_service_and_address_and_the_one_that_decided_is_told(
    explain, tmp_path, options, last
):
    users = {"users": {"alice": {"mailHost": "store1", "mailAllowedServiceAccess": "+pop:10.0.0.0/8"}}}
    (tmp_path / "users.toml").write_text(document(users))
    _, told, _ = explain("alice", "--service", "pop3", *options, kind="file", file={"path": "users.toml"})
    assert told[-1] == last
    assert ("access    mailAllowedServiceAccess: +pop:10.0.0.0/8" in told) is last.startswith("backend")


def test_a_directory_that_is_away_is_told(explain, ports):
    status, told, _ = explain("alice", ldap={"urls": [f"ldap://127.0.0.1:{ports.free()}"]})
    assert status == 1
    assert told[-1].startswith("refused   directory-unavailable: ")


def test_what_cannot_be_explained_is_an_error(explain):
    assert "nobody listens for managesieve" in explain("alice", "--service", "managesieve")[2]
    assert "without the password" in explain("alice", kind="auth_http", auth_http={"url": "http://127.0.0.1:1/"})[2]
    assert explain("alice", "--from", "nowhere")[0] == 2
