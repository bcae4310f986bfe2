"""Sessions through a proxy of two workers that end when the directory, a real slapd, has changed against them."""

import os
import signal
from contextlib import ExitStack, contextmanager

import pytest

from tests.integration import domains
from tests.integration.client import connected
from tests.integration.commands import mmp, mmp_json
from tests.integration.people import ALICE, BOB, SECOND
from tests.integration.processes import connected_to
from tests.integration.slapd import BASE, ROOT_DN, ROOT_PASSWORD, slapd


def entry(person):
    """Return a person's entry in LDIF."""
    classes = "objectClass: account\nobjectClass: inetMailUser\nobjectClass: inetUser\n"
    names = f"uid: {person.name}\nmail: {person.user}\nmailHost: {person.store}\nuserPassword: old-one\n\n"
    return f"dn: uid={person.name},{BASE}\n{classes}{names}"


def replaced(person, attribute, value):
    """Return the LDIF that gives an attribute another value."""
    return f"dn: uid={person.name},{BASE}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n"


@pytest.fixture
def server(ports):
    """A directory with two users, which tells of changes."""
    with slapd(ports, entry(ALICE) + entry(BOB), synchronized=True) as running:
        yield running


@pytest.fixture
def run(run_proxy, stores, server, tmp_path):
    """Runs a proxy of two workers, and waits until the directory is followed."""
    secret = tmp_path / "secret"
    secret.write_text(ROOT_PASSWORD)
    secret.chmod(0o600)
    ldap = {"urls": [server.url], "base": BASE, "bind_dn": ROOT_DN, "bind_password_file": str(secret)}

    @contextmanager
    def running(**changes):
        directory = {"kind": "ldap", "ldap": ldap}
        with run_proxy(
            stores.port, directory=directory, workers=2, login={"restrict_plain_passwords": False}, **changes
        ) as proxy:
            proxy.logged(" serving ", "workers=2")
            proxy.logged(" watch ", "result=begun", "content synchronization")
            yield proxy

    return running


@contextmanager
def idle(proxy, person, count=1, user=""):
    """Log somebody in, so many times; yield the clients, which have nothing to say any more."""
    with ExitStack() as held:
        clients = []
        for _ in range(count):
            client = held.enter_context(connected("127.0.0.1", proxy.port("starttls")))
            words = b"a LOGIN %b %b" % ((user or person.user).encode(), person.password)
            assert client.command(words)[-1].startswith(b"a OK")
            client.command(b"b SELECT INBOX")
            client.send(b"c IDLE\r\n")
            assert client.line().startswith(b"+ ")
            clients.append(client)
        yield clients


def ended(client):
    """Wait until the proxy ends a session, and let it be over."""
    client.rest()
    client.connection.close()


def still_there(client):
    """See that a session goes on: what the store says next still comes."""
    client.send(b"DONE\r\n")
    return client.answer(b"c")[-1].startswith(b"c OK")


@pytest.mark.parametrize(
    ("attribute", "value", "why"),
    [
        ("inetUserStatus", "inactive", "user's inetUserStatus is 'inactive'"),
        ("mailHost", SECOND, f"the store is {SECOND} now"),
        ("userPassword", "new-one", "the password was changed"),
        ("mailAllowedServiceAccess", "-imap:*", "mailAllowedServiceAccess: "),
    ],
)
def test_sessions_on_every_worker_end_when_their_user_is_changed_against_them(run, server, attribute, value, why):
    with run() as proxy, idle(proxy, ALICE, 6) as clients, idle(proxy, BOB) as (other,):
        server.change(replaced(ALICE, attribute, value))
        for client in clients:
            ended(client)
        line = proxy.logged(" closed ", f"user={ALICE.user}", "who=proxy")
        assert f'why="directory: {why}' in line
        assert still_there(other)


def test_a_change_of_something_else_ends_nobody(run, server):
    with run() as proxy, idle(proxy, ALICE) as (alice,), idle(proxy, BOB) as (bob,):
        server.change(replaced(ALICE, "mailAlternateAddress", "al@example.com"))
        server.change(replaced(BOB, "inetUserStatus", "deleted"))  # which is told behind it
        ended(bob)
        assert still_there(alice)


def test_whoever_is_deleted_is_out_and_status_tells_that_the_directory_is_followed(run, server):
    with run() as proxy, idle(proxy, ALICE) as (alice,):
        assert mmp_json(proxy, "status")["directory"]["watched"] == {server.url: ""}
        assert f"changes at {server.url}: followed" in mmp(proxy, "status")
        server.change(f"dn: uid={ALICE.name},{BASE}\nchangetype: delete\n")
        ended(alice)
        assert "unknown user" in proxy.logged(" closed ", "who=proxy")


def test_what_changes_unseen_counts_when_the_server_is_followed_again(run, server):
    with run() as proxy, idle(proxy, ALICE) as (alice,), idle(proxy, BOB) as (bob,):
        server.stop()
        proxy.logged(" watch ", "result=none")
        server.change_stopped(replaced(ALICE, "inetUserStatus", "inactive"))
        server.start()
        ended(alice)
        assert still_there(bob)


def test_another_worker_goes_on_when_the_one_that_followed_dies(run, server):
    with run() as proxy:
        before = len(proxy.log())
        (watcher,) = (pid for pid in proxy.workers() if connected_to(pid, server.port))
        os.kill(watcher, signal.SIGKILL)
        proxy.logged(" watch ", "result=begun", after=before)
        with idle(proxy, ALICE, 4) as clients:
            server.change(replaced(ALICE, "inetUserStatus", "inactive"))
            for client in clients:
                ended(client)


def test_a_status_of_a_domain_ends_the_sessions_of_who_is_in_it(run_proxy, stores, ports):
    tree = domains.entry(domains.ROOT, "objectClass: organization", "o: internet") + domains.dc("test", classes=())
    for name in ("one", "two"):
        tree += domains.unit(name) + domains.dc(f"{name}.test", domains.users_in(name))
        tree += domains.person(ALICE.name, name, host=f"mailHost: {ALICE.store}")
    with slapd(ports, tree, synchronized=True) as server:
        ldap = {"urls": [server.url], "schema": "1", "domain_root": domains.ROOT, "filter": domains.USUAL_FILTER}
        settings = {"directory": {"kind": "ldap", "ldap": ldap}, "login": {"restrict_plain_passwords": False}}
        with run_proxy(stores.port, **settings) as proxy:
            proxy.logged(" watch ", "result=begun")
            with (
                idle(proxy, ALICE, user="alice@one.test") as (one,),
                idle(proxy, ALICE, user="alice@two.test") as (two,),
            ):
                change = "changetype: modify\nadd: inetDomainStatus\ninetDomainStatus: inactive\n"
                server.change(f"dn: dc=one,dc=test,{domains.ROOT}\n{change}")
                ended(one)
                assert "domain's inetDomainStatus" in proxy.logged(" closed ", "who=proxy")
                assert still_there(two)


def test_where_nothing_is_to_be_followed_nothing_is(run_proxy, stores, server):
    ldap = {"urls": [server.url], "base": BASE, "watch": "off"}
    settings = {"directory": {"kind": "ldap", "ldap": ldap}, "login": {"restrict_plain_passwords": False}}
    with run_proxy(stores.port, **settings) as proxy, idle(proxy, ALICE) as (alice,):
        server.change(replaced(ALICE, "inetUserStatus", "inactive"))
        with idle(proxy, ALICE):  # by what is remembered
            assert still_there(alice)
        assert mmp_json(proxy, "flush", ALICE.user)["count"] == 1
        with connected("127.0.0.1", proxy.port("starttls")) as client:
            words = b"a LOGIN %b %b" % (ALICE.user.encode(), ALICE.password)
            assert client.command(words)[-1].startswith(b"a NO [UNAVAILABLE]")
        assert " watch " not in proxy.log()
