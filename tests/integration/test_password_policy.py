"""What the password policy of a real OpenLDAP server says of a login, and of our own account, and who hears of it."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.client import connected
from tests.integration.commands import mmp_json
from tests.integration.people import FIRST
from tests.integration.rapid import rapid_store
from tests.integration.slapd import BASE, PROXY, slapd

PASSWORD = "pol1cy-Secret"


def policy(name, *lines):
    """Return the LDIF of a policy."""
    usual = (f"dn: cn={name},{BASE}", "objectClass: applicationProcess", "objectClass: pwdPolicy", f"cn: {name}")
    return "\n".join((*usual, "pwdAttribute: userPassword", *lines)) + "\n\n"


def under(name):
    """Return the line by which an entry has a policy."""
    return f"pwdPolicySubentry: cn={name},{BASE}"


def changed(days):
    """Return the line that says how long ago the password was changed."""
    return f"pwdChangedTime: {datetime.now(UTC) - timedelta(days=days):%Y%m%d%H%M%SZ}"


def person(uid, *lines):
    """Return the LDIF of a user."""
    usual = (f"dn: uid={uid},{BASE}", "objectClass: account", "objectClass: inetMailUser")
    rest = ("objectClass: simpleSecurityObject", f"uid: {uid}", f"mailHost: {FIRST}", f"userPassword: {PASSWORD}")
    return "\n".join((*usual, *rest, *lines)) + "\n\n"


POLICIES = (
    policy("usual", "pwdLockout: TRUE", "pwdMaxFailure: 2", "pwdMustChange: TRUE")
    + policy("strict", "pwdMaxAge: 86400")
    + policy("graceful", "pwdMaxAge: 86400", "pwdGraceAuthNLimit: 2")
    + policy("warning", "pwdMaxAge: 864000", "pwdExpireWarning: 863999")
)
PEOPLE = (
    person("usual")
    + person("expired", under("strict"), changed(2))
    + person("graceful", under("graceful"), changed(2))
    + person("expiring", under("warning"), changed(1.5))
    + person("locked", "pwdAccountLockedTime: 000001010000Z")
    + person("reset", "pwdReset: TRUE")
    + person("guessed")
)


def own(*lines):
    """Return the LDIF of our own account."""
    usual = (f"dn: {PROXY}", "objectClass: applicationProcess", "objectClass: simpleSecurityObject", "cn: proxy")
    return "\n".join((*usual, f"userPassword: {PASSWORD}", *lines)) + "\n\n"


@pytest.fixture(scope="module")
def store_port(ports):
    """A store that lets everybody in."""
    port = ports.free()
    with rapid_store(FIRST, port):
        yield port


@pytest.fixture(scope="module")
def run(run_proxy, ports, store_port, tmp_path_factory):
    """Runs a proxy that has passwords judged by this server, and knows itself to it."""
    secret = tmp_path_factory.mktemp("secrets") / "own"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)

    def run(server, verify="directory"):
        ldap = {"urls": [server.url], "base": BASE, "bind_dn": PROXY, "bind_password_file": str(secret)}
        listener = [
            {"service": service, "address": "127.0.0.1", "port": ports.free(), "tls": "implicit"}
            for service in ("imap", "pop3", "submission")
        ]
        login = {"verify": verify, "max_failures": 10}
        return run_proxy(store_port, listener=listener, directory={"kind": "ldap", "ldap": ldap}, login=login)

    return run


@pytest.fixture(scope="module")
def proxy(run, ports):
    with slapd(ports, POLICIES + own() + PEOPLE, policy=True) as server, run(server) as proxy:
        yield proxy


def imap(proxy, certificates, user, password=PASSWORD):
    """Return the answer to a login."""
    with connected("127.0.0.1", proxy.port("implicit", service="imap"), certificates.ca) as client:
        return client.command(f"a LOGIN {user} {password}".encode())[-1].decode()


def pop3(proxy, certificates, user):
    """Return the answer to a login."""
    port = proxy.port("implicit", service="pop3")
    with connected("127.0.0.1", port, certificates.ca, greeting=False) as client:
        client.line()
        client.send(f"USER {user}\r\n".encode())
        client.line()
        client.send(f"PASS {PASSWORD}\r\n".encode())
        return client.line().decode()


def submission(proxy, certificates, user):
    """Return the answer to a login."""
    port = proxy.port("implicit", service="submission")
    with connected("127.0.0.1", port, certificates.ca, greeting=False) as client:
        client.line()
        client.send(b"EHLO here\r\n")
        while not client.line().startswith(b"250 "):
            pass
        response = b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()
        client.send(f"AUTH PLAIN {response}\r\n".encode())
        return client.line().decode()


@pytest.mark.parametrize(
    ("user", "code", "result"),
    [
        ("expired", "EXPIRED", "password-expired"),
        ("reset", "CONTACTADMIN", "password-must-change"),
        ("locked", "CONTACTADMIN", "account-locked"),
    ],
)
def test_who_may_not_log_in_by_the_policy_is_told_why(proxy, certificates, user, code, result):
    assert imap(proxy, certificates, user).startswith(f"a NO [{code}] ")
    assert pop3(proxy, certificates, user).startswith("-ERR [AUTH] ")
    assert submission(proxy, certificates, user).startswith("535 5.7.8 ")
    proxy.logged("login", f"user={user} ", f"result={result}", "(says the directory)")


@pytest.mark.parametrize("user", ["expired", "reset"])
def test_nothing_of_it_is_told_to_somebody_with_a_wrong_password(proxy, certificates, user):
    assert imap(proxy, certificates, user, "wrong") == imap(proxy, certificates, "nobody", "wrong")


def test_who_guesses_too_often_locks_the_account_and_is_told_so(proxy, certificates):
    answers = [imap(proxy, certificates, "guessed", "wrong") for _ in range(3)]
    assert [answer.split()[2] for answer in answers] == ["[AUTHENTICATIONFAILED]"] * 2 + ["[CONTACTADMIN]"]


def test_who_has_grace_logins_left_is_let_in_and_the_log_says_how_many(proxy, certificates):
    assert imap(proxy, certificates, "graceful").startswith("a OK ")
    proxy.logged("login", "result=ok", "user=graceful", "grace logins left: 1")


def test_whose_password_is_about_to_expire_is_let_in_and_the_log_says_when(proxy, certificates):
    assert imap(proxy, certificates, "expiring").startswith("a OK ")
    proxy.logged("login", "result=ok", "user=expiring", "the password expires in 8 d")


def test_who_is_hindered_by_nothing_is_let_in_without_a_word_about_it(proxy, certificates):
    assert imap(proxy, certificates, "usual").startswith("a OK ")
    assert "reason" not in proxy.logged("login", "result=ok", "user=usual")


@pytest.mark.parametrize(
    ("user", "code"), [("locked", "CONTACTADMIN"), ("reset", "CONTACTADMIN"), ("expired", None), ("usual", None)]
)
def test_where_the_store_judges_what_the_entry_says_counts(run, ports, certificates, user, code):
    with slapd(ports, POLICIES + own() + PEOPLE, policy=True) as server, run(server, "backend") as proxy:
        assert imap(proxy, certificates, user).startswith(f"a NO [{code}] " if code else "a OK ")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((under("warning"), changed(1.5)), ("result=warning", "our own account: the password expires in 8 d")),
        ((under("graceful"), changed(2)), ("result=warning", "our own account:", "grace logins left: ")),
        ((under("strict"), changed(2)), ("result=down", "the password has expired")),
        (("pwdReset: TRUE",), ("result=down", "the password must be changed")),
        (("pwdAccountLockedTime: 000001010000Z",), ("result=down", "the account is locked")),
    ],
)
def test_the_policy_never_stops_our_own_account_unnoticed(run, ports, certificates, lines, words):
    with slapd(ports, POLICIES + own(*lines) + PEOPLE, policy=True) as server, run(server) as proxy:
        answer = imap(proxy, certificates, "usual")
        assert answer.startswith("a NO [UNAVAILABLE] " if "result=down" in words else "a OK ")
        proxy.logged("directory", *words)
        told = mmp_json(proxy, "status")["directory"]
        assert words[-1] in str(told["down"] if "result=down" in words else told["warnings"])
