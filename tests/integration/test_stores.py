"""Stores that are reached by TLS, and stores that misbehave: the client hears of an outage, the log the reason."""

import pytest

from tests.integration.client import connected
from tests.integration.people import ALICE, BOB, FIRST, SECOND
from tests.integration.scripted import GREETING, log_in, scripted, start_tls

LOG_IN = b"a LOGIN %b %b" % (ALICE.user.encode(), ALICE.password)
QUICK = {"backend": {"login_timeout": "2s", "imap": {"connect_timeout": "2s"}}}


def reaching(**imap):
    return {"backend": {"imap": imap}}


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_store_is_reached_by_tls_and_its_name_verified(run_proxy, stores, certificates, tls):
    port = stores.tls_port if tls == "implicit" else stores.port
    with run_proxy(port, **reaching(tls=tls, ca=str(certificates.ca), port=port)) as proxy:
        for person in (ALICE, BOB):
            with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
                said = client.command(b"a LOGIN %b %b" % (person.user.encode(), person.password))
                assert said[-1].startswith(b"a OK")
                assert client.command(b'b LIST "" *')[-1].startswith(b"b OK")


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("names", [("other.example",), ("127.0.0.9",)])
def test_a_certificate_for_another_name_is_an_outage_with_the_reason_in_the_log(
    run_proxy, ports, certificates, tls, names
):
    pair, passwords = certificates.issue(*names), []

    def store(client):
        if tls == "starttls":
            client.send(b"* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN SASL-IR] ready\r\n")
            client.send(client.line().partition(b" ")[0] + b" OK begin\r\n")
        start_tls(client, pair)
        if tls == "implicit":
            client.send(GREETING)
        passwords.append(client.line())

    port = ports.free()
    with (
        scripted(FIRST, port, store),
        run_proxy(port, **reaching(tls=tls, ca=str(certificates.ca), port=port)) as proxy,
        connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client,
    ):
        assert client.command(LOG_IN)[-1].startswith(b"a NO [UNAVAILABLE]")
        proxy.logged("error", "backend", "result=untrusted", f"the certificate is not for {FIRST}")
    assert passwords == []


def test_verification_can_be_turned_off(run_proxy, ports, certificates):
    pair = certificates.issue("other.example", days=-1)

    def store(client):
        start_tls(client, pair)
        log_in(client)
        client.rest()

    port = ports.free()
    with (
        scripted(FIRST, port, store),
        run_proxy(port, **reaching(tls="implicit", verify=False, port=port)) as proxy,
        connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client,
    ):
        assert client.command(LOG_IN)[-1].startswith(b"a OK")


def test_a_store_without_starttls_is_not_spoken_to_in_clear(run_proxy, ports, certificates):
    heard = []

    def store(client):
        client.send(GREETING)
        heard.append(client.rest())

    port = ports.free()
    with (
        scripted(FIRST, port, store),
        run_proxy(port, **reaching(tls="starttls", ca=str(certificates.ca), port=port)) as proxy,
        connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client,
    ):
        assert client.command(LOG_IN)[-1].startswith(b"a NO [UNAVAILABLE]")
        proxy.logged("backend", "result=failed", "STARTTLS")
    assert b"AUTHENTICATE" not in b"".join(heard)


def garbage(client):
    client.send(b"\x00\xff\x80 this is no IMAP\r\n")
    client.rest()


def endless_line(client):
    client.send(b"* OK " + b"x" * 1_000_000 + b"\r\n")
    client.rest()


def silence(client):
    client.rest()


def bye(client):
    client.send(b"* BYE not now\r\n")
    client.rest()


def close_at_once(_client):
    pass


def close_at_the_login(client):
    client.send(GREETING)
    client.line()


def silent_at_the_login(client):
    client.send(GREETING)
    client.rest()


def say_bye_at_the_login(client):
    client.send(GREETING)
    client.line()
    client.send(b"* BYE going down\r\n")


def say_unavailable(client):
    client.send(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready\r\n")
    client.send(client.line().partition(b" ")[0] + b" NO [UNAVAILABLE] the internals of the store\r\n")
    client.rest()


@pytest.mark.parametrize(
    "script",
    [
        garbage,
        endless_line,
        silence,
        bye,
        close_at_once,
        close_at_the_login,
        silent_at_the_login,
        say_bye_at_the_login,
        say_unavailable,
    ],
)
def test_a_store_that_misbehaves_is_an_outage_and_the_client_may_go_on(run_proxy, ports, certificates, script):
    port = ports.free()
    with (
        scripted(FIRST, port, script),
        run_proxy(
            port, **QUICK | {"backend": QUICK["backend"] | {"imap": {"connect_timeout": "2s", "port": port}}}
        ) as proxy,
        connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client,
    ):
        answer = client.command(LOG_IN)[-1]
        assert answer.startswith(b"a NO [UNAVAILABLE]")
        assert b"internals" not in answer
        assert client.command(b"b NOOP")[-1].startswith(b"b OK")
        proxy.logged("login", "result=backend-unavailable")


def test_what_a_store_sends_behind_its_agreement_to_starttls_is_no_answer(run_proxy, ports, certificates):
    pair = certificates.issue(FIRST)

    def store(client):
        client.send(b"* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN SASL-IR] ready\r\n")
        tag = client.line().partition(b" ")[0]
        client.send(tag + b" OK begin\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN INJECTED\r\n")
        start_tls(client, pair)
        log_in(client, b"")

    port = ports.free()
    with (
        scripted(FIRST, port, store),
        run_proxy(port, **reaching(tls="starttls", ca=str(certificates.ca), port=port)) as proxy,
        connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client,
    ):
        assert client.command(LOG_IN)[-1].startswith(b"a NO [UNAVAILABLE]")


def test_a_store_outside_of_the_allowed_networks_is_never_connected_to(run_proxy, stores, certificates):
    with (
        run_proxy(stores.port, backend={"networks": ["10.0.0.0/8"], "imap": {"port": stores.port}}) as proxy,
        connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client,
    ):
        assert client.command(LOG_IN)[-1].startswith(b"a NO [UNAVAILABLE]")
        proxy.logged("backend", "not in backend.networks")


def test_users_of_a_pool_are_spread_over_its_stores_and_each_stays_where_they_are(run_proxy, stores, certificates):
    people = {f"user{number}@example.com": "pool:mail" for number in range(20)}
    with run_proxy(stores.port, people, pool={"mail": {"hosts": [FIRST, SECOND]}}) as proxy:
        for user in [*people, *people]:
            with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
                client.command(b"a LOGIN %b wrong" % user.encode())
        found = {(user, store) for user in people for store in (FIRST, SECOND) if _logged(proxy, user, store)}
    assert len(found) == len(people)
    assert {store for _, store in found} == {FIRST, SECOND}


def _logged(proxy, user, store):
    return any(f"user={user} " in line and f"backend={store} " in line for line in proxy.log().splitlines())
