"""What ``mmp explain`` tells of logins, with users in a file and in a real directory."""

import socket
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
            "account   not locked, the password not out of date",
            "user      alice@one.test",
            "store     one.store by mailHost one.store, told alice",
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


@pytest.mark.parametrize(
    ("attributes", "last"),
    [
        ({"pwdChangedTime": "20260101000000Z", "nsAccountLock": "false"}, "backend "),
        ({"nsAccountLock": "true"}, "refused   account-locked: user's nsAccountLock is 'true'"),
        ({"pwdReset": "TRUE"}, "refused   password-must-change: user's pwdReset is 'TRUE'"),
        (
            {"passwordExpirationTime": "20200101000000Z"},
            "refused   password-expired: user's passwordExpirationTime is '20200101000000Z'",
        ),
    ],
)
def test_a_lock_and_an_old_password_are_told_with_what_says_so(explain, tmp_path, attributes, last):
    (tmp_path / "users.toml").write_text(document({"users": {"alice": {"mailHost": "store1", **attributes}}}))
    _, told, _ = explain("alice", kind="file", file={"path": "users.toml"})
    assert told[-1].startswith(last)
    assert ("account   nsAccountLock false" in told) is (last == "backend ")


def test_of_a_server_that_is_asked_in_http_the_question_is_told_without_its_secrets(explain, tmp_path, ports):
    secret = tmp_path / "key"
    secret.write_text("only-for-us")
    secret.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"127.0.0.1:{server.getsockname()[1]}"
        http = {"url": f"http://{where}/auth", "secret_file": str(secret)}
        status, told, _ = explain("Alice b", "--from", "192.0.2.1", kind="auth_http", auth_http=http)
    assert status == 0
    assert {
        "name      asked for as Alice b",
        "question  Auth-User: Alice%20b",
        "question  Client-IP: 192.0.2.1",
        "question  Auth-Pass: ***",
        "question  X-Auth-Key: ***",
        f"directory {where} can be reached; it judges the password, and names the store and its port",
    } <= set(told)
    assert "only-for-us" not in "".join(told)
    away = {"url": f"http://127.0.0.1:{ports.free()}/auth"}
    status, told, _ = explain("alice", kind="auth_http", auth_http=away)
    assert status == 1
    assert told[-1].startswith("refused   directory-unavailable: ")


def test_a_directory_that_is_away_is_told(explain, ports):
    status, told, _ = explain("alice", ldap={"urls": [f"ldap://127.0.0.1:{ports.free()}"]})
    assert status == 1
    assert told[-1].startswith("refused   directory-unavailable: ")


def test_what_cannot_be_explained_is_an_error(explain):
    assert "nobody listens for managesieve" in explain("alice", "--service", "managesieve")[2]
    assert explain("alice", "--from", "nowhere")[0] == 2
