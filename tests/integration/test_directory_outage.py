"""The proxy before a real slapd: users are found there, and an outage of it is never a wrong password."""

from tests.integration.client import connected
from tests.integration.commands import mmp, mmp_json
from tests.integration.delaying import delaying
from tests.integration.people import ALICE, BOB
from tests.integration.slapd import ADDRESS, BASE, slapd


def entry(person):
    """Return a person's entry in LDIF."""
    return (
        f"dn: uid={person.name},{BASE}\nobjectClass: account\nobjectClass: inetMailUser\n"
        f"uid: {person.name}\nmail: {person.user}\nmailHost: {person.store}\n\n"
    )


def log_in(proxy, certificates, person, password=None):
    """Return the tagged answer to a login."""
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        return client.command(b"a LOGIN %b %b" % (person.user.encode(), password or person.password))[-1]


def test_logins_by_ldap_before_during_and_after_an_outage(run_proxy, stores, ports, certificates):
    with slapd(ports, entry(ALICE) + entry(BOB)) as server:
        directory = {
            "kind": "ldap",
            "ldap": {"urls": [f"ldap://{ADDRESS}:{server.port}"], "base": BASE, "timeout": "2s"},
            "cache_ttl": "1s",
        }
        with run_proxy(stores.port, directory=directory, throttle={"penalty": "10ms"}) as proxy:
            assert log_in(proxy, certificates, ALICE).startswith(b"a OK")
            server.stop()
            assert log_in(proxy, certificates, BOB).startswith(b"a NO [UNAVAILABLE]")
            proxy.logged("login", "result=directory-unavailable")
            assert log_in(proxy, certificates, ALICE).startswith(b"a OK")  # what is remembered still serves
            assert log_in(proxy, certificates, ALICE, b"wrong").startswith(b"a NO [AUTHENTICATIONFAILED]")
            server.start()
            proxy.logged("directory", "result=down")
            while not (answer := log_in(proxy, certificates, BOB)).startswith(b"a OK"):
                assert answer.startswith(b"a NO [UNAVAILABLE]")
            proxy.logged("directory", "result=up")
            assert " badguy " not in proxy.log()  # of Alice's password one that is wrong is forgiven


def test_a_frozen_directory_holds_up_nobody_who_is_remembered(run_proxy, stores, ports, certificates):
    with slapd(ports, entry(ALICE) + entry(BOB)) as server:
        directory = {
            "kind": "ldap",
            "ldap": {"urls": [f"ldap://{ADDRESS}:{server.port}"], "base": BASE, "timeout": "2s"},
        }
        with run_proxy(stores.port, directory=directory) as proxy:
            assert log_in(proxy, certificates, ALICE).startswith(b"a OK")
            server.freeze()
            try:
                with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as waiting:
                    waiting.send(b"a LOGIN %b %b\r\n" % (BOB.user.encode(), BOB.password))
                    assert log_in(proxy, certificates, ALICE).startswith(b"a OK")
                    assert waiting.line().startswith(b"a NO [UNAVAILABLE]")
                proxy.logged("directory", "result=slow", server.url)
                (warnings,) = mmp_json(proxy, "status")["directory"]["warnings"].values()
                assert "did not come" in warnings[0]
                assert f"warning: {server.url}: " in mmp(proxy, "status")
            finally:
                server.thaw()


def test_while_a_directory_takes_five_seconds_whoever_is_remembered_does_not_wait(
    run_proxy, stores, ports, certificates
):
    with slapd(ports, entry(ALICE) + entry(BOB)) as server, delaying(server.port) as (port, delay):
        ldap = {"urls": [f"ldap://{ADDRESS}:{port}"], "base": BASE, "timeout": "30s"}
        with run_proxy(stores.port, directory={"kind": "ldap", "ldap": ldap}) as proxy:
            assert log_in(proxy, certificates, ALICE).startswith(b"a OK")
            delay.seconds = 5.0
            with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as waiting:
                waiting.send(b"a LOGIN %b %b\r\n" % (BOB.user.encode(), BOB.password))
                for _ in range(2):
                    assert log_in(proxy, certificates, ALICE).startswith(b"a OK")
                assert waiting.answer(b"a")[-1].startswith(b"a OK")
            proxy.logged(" login ", BOB.user)
            order = [line for line in proxy.log().splitlines() if " login " in line]
            assert [ALICE.user in line for line in order] == [True] * 3 + [False]
            proxy.logged(" directory ", "result=slow", f"ldap://{ADDRESS}:{port}", "an answer took 5.")
