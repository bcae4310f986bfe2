"""Logging in by every mechanism, judged by the store or by us, and acting as somebody else."""

import imaplib
import ssl
from base64 import b64decode, b64encode
from contextlib import contextmanager

import pytest
from passlib.hash import argon2

from tests.integration.client import connected
from tests.integration.people import ALICE, BOB, FIRST, MASTERS
from tests.integration.scripted import scripted
from tests.integration.slapd import BASE, slapd
from tests.integration.test_login import store_of
from tests.integration.waiting import until
from tests.wire.sasl.test_scram import client as scram_response

ADMIN, ADMIN_PASSWORD = next(iter(MASTERS.items()))
KEPT = {
    ALICE.user: "{PLAIN}" + ALICE.password.decode(),
    BOB.user: argon2.using(memory_cost=1024, rounds=1).hash(BOB.password),
}


IN_LDAP = "".join(
    f"dn: uid={person.name},{BASE}\n"
    "objectClass: account\nobjectClass: inetMailUser\nobjectClass: simpleSecurityObject\n"
    f"uid: {person.name}\nmail: {person.user}\nmailHost: {person.store}\n"
    f"userPassword: {person.password.decode()}\n\n"
    for person in (ALICE, BOB)
)


@pytest.fixture(scope="module")
def by_store(run_proxy, stores, administrator):
    """A proxy whose stores judge passwords."""
    with run_proxy(stores.port, passwords=KEPT, login=administrator) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def by_directory(run_proxy, stores, administrator):
    """A proxy that judges passwords itself."""
    with run_proxy(stores.port, passwords=KEPT, login=administrator | {"verify": "directory"}) as proxy:
        yield proxy


@contextmanager
def visiting(proxy, certificates):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        yield client


def authenticate(client, mechanism, *responses):
    """Go through an exchange, and return the tagged answer; a response may be made of the challenge before it."""
    client.send(b"a AUTHENTICATE " + mechanism.encode() + b"\r\n")
    for response in responses:
        line = client.line()
        if not line.startswith(b"+"):
            return line
        made = response(b64decode(line[2:])) if callable(response) else response
        client.send(b64encode(made) + b"\r\n")
    return client.answer(b"a")[-1]


def scram(client, mechanism, user, password):
    """Go through SCRAM, and see that the other side knows the password too."""
    first = b"y,,n=%b,r=rOprNGfwEbeRWgbNEkqO" % user.encode()
    proofs = []

    def last(challenge):
        proofs.append(challenge)
        return b""

    answer = authenticate(
        client, mechanism, first, lambda challenge: scram_response(mechanism, password, first, challenge), last
    )
    assert [proof[:2] for proof in proofs] == ([b"v="] if answer.startswith(b"a OK") else [])
    return answer


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
def test_scram_passes_through_to_the_store(by_store, certificates, mechanism):
    for person in (ALICE, BOB):
        with visiting(by_store, certificates) as client:
            assert scram(client, mechanism, person.name, person.password).startswith(b"a OK")
            assert store_of(client) == person.store


def test_scram_with_a_wrong_password_is_refused_by_the_store(by_store, certificates):
    with visiting(by_store, certificates) as client:
        assert scram(client, "SCRAM-SHA-256", "alice", b"wrong").startswith(b"a NO [AUTHENTICATIONFAILED]")
        assert scram(client, "SCRAM-SHA-256", "nobody", b"wrong").startswith(b"a NO [AUTHENTICATIONFAILED]")
        assert scram(client, "SCRAM-SHA-256", "alice", ALICE.password).startswith(b"a OK")


def test_scram_by_a_name_that_the_store_is_not_to_be_told_is_not_possible(by_store, certificates):
    with visiting(by_store, certificates) as client:
        assert scram(client, "SCRAM-SHA-256", ALICE.user, ALICE.password).startswith(b"a NO [AUTHENTICATIONFAILED]")
    by_store.logged("login", "bad-credentials", "SCRAM tells the store the name as it was typed")


def test_an_exchange_given_up_is_bad_and_another_may_follow(by_store, certificates):
    with visiting(by_store, certificates) as client:
        client.send(b"a AUTHENTICATE SCRAM-SHA-1\r\n")
        assert client.line().startswith(b"+")
        client.send(b64encode(b"n,,n=alice,r=abc") + b"\r\n")
        assert b64decode(client.line()[2:]).startswith(b"r=abc")
        client.send(b"*\r\n")
        assert client.line().startswith(b"a BAD ")
        assert scram(client, "SCRAM-SHA-1", "alice", ALICE.password).startswith(b"a OK")
    by_store.logged("login", "result=cancelled", "mechanism=SCRAM-SHA-1")


def test_login_and_plain_reach_the_store(by_store, by_directory, certificates):
    for proxy in (by_store, by_directory):
        for mechanism, responses in [
            ("LOGIN", (ALICE.user.encode(), ALICE.password)),
            ("PLAIN", (b"\0" + ALICE.user.encode() + b"\0" + ALICE.password,)),
        ]:
            with visiting(proxy, certificates) as client:
                assert authenticate(client, mechanism, *responses).startswith(b"a OK")
                assert store_of(client) == ALICE.store


def test_cram_md5_is_judged_here_and_the_administrator_logs_in(by_store, certificates):
    context = ssl.create_default_context(cafile=certificates.ca)
    with imaplib.IMAP4_SSL("localhost", by_store.port("implicit"), ssl_context=context) as client:
        assert client.login_cram_md5(ALICE.user, ALICE.password.decode())[0] == "OK"
        assert client.select()[0] == "OK"
    with visiting(by_store, certificates) as client:
        answer = authenticate(client, "CRAM-MD5", ALICE.user.encode() + b" " + b"0" * 32)
        assert answer.startswith(b"a NO [AUTHENTICATIONFAILED]")
        hashed = authenticate(client, "CRAM-MD5", BOB.user.encode() + b" " + b"0" * 32)
        assert hashed == answer


@pytest.mark.parametrize("judge", ["by_store", "by_directory"])
def test_the_administrator_acts_as_another(request, certificates, judge):
    proxy = request.getfixturevalue(judge)

    def acting(who, password, whom):
        return authenticate(client, "PLAIN", b"\0".join((whom.user.encode(), who.encode(), password)))

    with visiting(proxy, certificates) as client:
        assert acting(ADMIN, b"wrong", BOB).startswith(b"a NO [AUTHENTICATIONFAILED]")
        assert acting(ALICE.user, ALICE.password, BOB).startswith(b"a NO [AUTHORIZATIONFAILED]")
        assert acting(ADMIN, ADMIN_PASSWORD, BOB).startswith(b"a OK")
        assert store_of(client) == BOB.store


def asked(store, after):
    """Return what the store has logged of logins since its log was so long."""
    return [line for line in store.log()[after:].splitlines() if "-login: " in line or " auth: " in line]


def test_no_wrong_password_reaches_a_store_where_we_judge(by_directory, stores, certificates):
    before = len(stores.second.log())
    with visiting(by_directory, certificates) as client:
        wrong = client.command(b"a LOGIN bob wrong")[-1]
        assert wrong.startswith(b"a NO [AUTHENTICATIONFAILED]")
        assert client.command(b"a LOGIN nobody wrong")[-1] == wrong
        assert client.command(b"a LOGIN lost wrong")[-1] == wrong
        assert client.command(b'a LOGIN bob ""')[-1] == wrong
        assert client.command(b"a LOGIN bob " + BOB.password)[-1].startswith(b"a OK")
        assert store_of(client) == BOB.store
        until(lambda: asked(stores.second, before), "the store's own line about the login")
    refused = ("fail", "mismatch", "unknown")  # a line about an earlier test's login may be late, and is none of these
    assert not [line for line in asked(stores.second, before) if any(word in line.lower() for word in refused)]


def test_scram_is_judged_here_by_a_password_in_clear(by_directory, certificates):
    with visiting(by_directory, certificates) as client:
        assert scram(client, "SCRAM-SHA-256", BOB.user, BOB.password).startswith(b"a NO [AUTHENTICATIONFAILED]")
        assert scram(client, "SCRAM-SHA-256", ALICE.user, b"wrong").startswith(b"a NO [AUTHENTICATIONFAILED]")
        assert scram(client, "SCRAM-SHA-256", ALICE.user, ALICE.password).startswith(b"a OK")
        assert store_of(client) == ALICE.store


def test_passwords_are_judged_by_a_bind(run_proxy, stores, ports, certificates, administrator):
    with slapd(ports, IN_LDAP) as server:
        directory = {"kind": "ldap", "ldap": {"urls": [server.url], "base": BASE, "timeout": "5s"}}
        login = administrator | {"verify": "directory", "mechanisms": ["PLAIN"]}
        with run_proxy(stores.port, login=login, directory=directory) as proxy, visiting(proxy, certificates) as client:
            before = len(stores.second.log())
            for wrong in (b"wrong", b'""'):
                refused = client.command(b"a LOGIN %b %b" % (BOB.user.encode(), wrong))[-1]
                assert refused.startswith(b"a NO [AUTHENTICATIONFAILED]")
            assert client.command(b"a LOGIN nobody wrong")[-1] == refused
            assert not asked(stores.second, before)
            server.stop()
            away = client.command(b"a LOGIN %b %b" % (BOB.user.encode(), BOB.password))[-1]
            assert away.startswith(b"a NO [UNAVAILABLE]")
            server.start()
            assert client.command(b"a LOGIN %b %b" % (BOB.user.encode(), BOB.password))[-1].startswith(b"a OK")
            assert store_of(client) == BOB.store


GROUP = f"cn=admins,{BASE}"


@contextmanager
def directory_with_a_group(ports):
    """Run a directory server with Alice, Bob, and a group that has only Bob; its configuration comes with it."""
    members = f"dn: {GROUP}\nobjectClass: groupOfUniqueNames\ncn: admins\nuniqueMember: UID=Bob, {BASE}\n\n"
    with slapd(ports, IN_LDAP + members) as server:
        yield server, {"kind": "ldap", "ldap": {"urls": [server.url], "base": BASE, "timeout": "5s"}}


@contextmanager
def directory_in_a_file(ports):
    """Use the file that knows the same."""
    yield None, {"kind": "file"}


@pytest.fixture
def run_with_group(run_proxy, stores, ports, administrator):
    """Runs a proxy for whose users Bob may act, and the directory server, if any, that is known by."""

    @contextmanager
    def run(known):
        login = administrator | {"admin_policy": "group", "admin_group": GROUP}
        with (
            known(ports) as (server, directory),
            run_proxy(stores.port, login=login, directory=directory, passwords=KEPT, groups={BOB.user: GROUP}) as proxy,
        ):
            yield proxy, server

    return run


def acting(client, who, password, whom):
    """Ask to act as somebody else."""
    return authenticate(client, "PLAIN", b"\0".join((whom.encode(), who.user.encode(), password)))


@pytest.mark.parametrize("known", [directory_with_a_group, directory_in_a_file])
def test_a_member_of_the_group_acts_as_another_by_a_password_that_no_store_hears(
    run_with_group, stores, certificates, known
):
    with run_with_group(known) as (proxy, _), visiting(proxy, certificates) as client:
        before = len(stores.first.log()), len(stores.second.log())
        assert acting(client, BOB, b"wrong", ALICE.user).startswith(b"a NO [AUTHENTICATIONFAILED]")
        assert acting(client, BOB, b"", ALICE.user).startswith(b"a NO [AUTHENTICATIONFAILED]")
        assert acting(client, BOB, BOB.password, "nobody").startswith(b"a NO [AUTHENTICATIONFAILED]")
        for whom in (BOB.user, "nobody"):
            assert acting(client, ALICE, ALICE.password, whom).startswith(b"a NO [AUTHORIZATIONFAILED]")
        assert not asked(stores.first, before[0])
        assert not asked(stores.second, before[1])
        assert acting(client, BOB, BOB.password, ALICE.user).startswith(b"a OK")
        assert store_of(client) == ALICE.store
        proxy.logged("login", "result=ok", f"user={ALICE.user}", f"typed={BOB.user}", f"authzid={ALICE.user}")


def test_who_has_left_the_group_is_out_at_once_and_while_nobody_can_tell(run_with_group, certificates):
    with run_with_group(directory_with_a_group) as (proxy, server):
        with visiting(proxy, certificates) as client:
            assert acting(client, BOB, BOB.password, ALICE.user).startswith(b"a OK")
        others = f"uniqueMember: uid=alice,{BASE}"
        server.change(f"dn: {GROUP}\nchangetype: modify\nreplace: uniqueMember\n{others}\n")
        with visiting(proxy, certificates) as client:
            assert acting(client, BOB, BOB.password, ALICE.user).startswith(b"a NO [AUTHORIZATIONFAILED]")
            server.stop()
            assert acting(client, BOB, BOB.password, ALICE.user).startswith(b"a NO [UNAVAILABLE]")


ERROR = b'{"status":"invalid_token","scope":"mail"}'
TOKENS = {
    "XOAUTH2": (b"user=%b\x01auth=Bearer %b\x01\x01", b""),
    "OAUTHBEARER": (b"n,a=%b,\x01auth=Bearer %b\x01\x01", b"\x01"),
}


def token_store(client):
    """Be a store that takes one token from one user, in exactly the form that the mechanism has."""
    client.send(b"* OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2 AUTH=OAUTHBEARER SASL-IR] ready\r\n")
    tag, _, mechanism, response = client.line().split(b" ")
    form, dummy = TOKENS[mechanism.decode()]
    if b64decode(response) == form % (b"alice", b"g00d-Token"):
        client.send(tag + b" OK [CAPABILITY IMAP4rev1] in\r\n")
        client.rest()
        return
    client.send(b"+ " + b64encode(ERROR) + b"\r\n")
    said = b64decode(client.line())
    client.send(tag + (b" NO [AUTHENTICATIONFAILED] no\r\n" if said == dummy else b" BAD what\r\n"))
    client.rest()


@pytest.mark.parametrize("mechanism", TOKENS)
def test_tokens_are_for_the_store_and_its_reasons_for_the_client(
    run_proxy, ports, certificates, administrator, mechanism
):
    form, dummy = TOKENS[mechanism]
    port = ports.free()
    with (
        scripted(FIRST, port, token_store),
        run_proxy(port, login=administrator | {"verify": "directory"}) as proxy,
        visiting(proxy, certificates) as client,
    ):
        reasons = []

        def reason(challenge):
            reasons.append(challenge)
            return dummy

        refused = authenticate(client, mechanism, form % (ALICE.user.encode(), b"st0len-Token"), reason)
        assert refused.startswith(b"a NO [AUTHENTICATIONFAILED]")
        assert reasons == [ERROR]
        assert authenticate(client, mechanism, form % (ALICE.user.encode(), b"g00d-Token")).startswith(b"a OK")
        assert "Token" not in proxy.log()
