"""Submission from client to relay: every form of login, several relays, who came, and what a refusal becomes."""

import re
import smtplib
import ssl
import uuid
from base64 import b64encode
from contextlib import contextmanager

import pytest

from tests.integration.client import connected
from tests.integration.people import ALICE, BOB, FIRST, LATIN, LOST, NOBODY_THERE, ODD, SECOND
from tests.integration.scripted import scripted

OFFERED_FIRST = {"pipelining", "size", "enhancedstatuscodes", "8bitmime", "dsn", "smtputf8"}


@pytest.fixture(scope="module")
def run_submission_proxy(run_proxy, ports):
    """Runs a proxy for submission before relays at this port; keywords are of [backend.submission]."""

    def run(port, tables=None, passwords=None, **backend):
        modes = {"starttls": ports.free(), "implicit": ports.free()}
        listeners = [
            {"service": "submission", "address": "127.0.0.1", "port": port, "tls": tls} for tls, port in modes.items()
        ]
        changes = {"listener": listeners, "backend": {"submission": {"port": port} | backend}}
        return run_proxy(port, passwords=passwords, **changes | (tables or {}))

    return run


@pytest.fixture(scope="module")
def proxy(run_submission_proxy, relays):
    """A proxy that sends everybody to the relay at their mailHost."""
    with run_submission_proxy(relays[0].port) as proxy:
        yield proxy


@contextmanager
def speaking(proxy, certificates, tls="implicit"):
    """Connect and read the greeting."""
    ca = certificates.ca if tls == "implicit" else None
    with connected("127.0.0.1", proxy.port(tls), ca, greeting=False) as client:
        assert client.line() == b"220 proxy.example.com ESMTP ready"
        yield client


def said(client, command):
    """Say a command, and return the lines of the answer."""
    client.send(command + b"\r\n")
    return answer(client)


def answer(client):
    """Return the lines of one answer."""
    lines = [client.line()]
    while lines[-1][3:4] == b"-":
        lines.append(client.line())
    return lines


def logged_in(client, person):
    """Greet and log in."""
    assert said(client, b"EHLO laptop.example.org")[0].startswith(b"250-")
    assert said(client, b"AUTH PLAIN " + person.sasl_plain)[0].startswith(b"235 2.7.0 ")


@contextmanager
def smtp(proxy, certificates, tls, person=None):
    """Use Python's own client, logged in if there is somebody to be."""
    context = ssl.create_default_context(cafile=certificates.ca)
    if tls == "implicit":
        client = smtplib.SMTP_SSL("localhost", proxy.port(tls), "laptop.example.org", timeout=30, context=context)
    else:
        client = smtplib.SMTP("localhost", proxy.port(tls), "laptop.example.org", timeout=30)
    with client:
        if tls == "starttls":
            client.starttls(context=context)
        client.ehlo()
        if person:
            client.login(person.user, person.password.decode())
        yield client


def message(word=None):
    """Return a message that no other test sends, and the word to know it by."""
    word = word or uuid.uuid4().hex
    return word.encode(), f"Subject: {word}\r\n\r\n.begins with a dot\r\n..two\r\nend\r\n".encode()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("person", [ALICE, BOB, ODD])
def test_smtplib_sends_through_the_relay_of_the_user(proxy, relays, certificates, tls, person):
    word, text = message()
    start = len(proxy.log())
    with smtp(proxy, certificates, tls, person) as client:
        assert client.sendmail(person.user, ["bob@example.com"], text) == {}
    relay = relays[0] if person.store == FIRST else relays[1]
    delivered = relay.message(word)
    assert delivered.endswith(b"\n\n.begins with a dot\n..two\nend\n")
    assert b"(Authenticated sender: %b)" % person.name.encode() in delivered
    assert f"backend={person.store}" in proxy.logged("closed", "service=submission", person.user, after=start)


def plain(person):
    return [b"AUTH PLAIN", person.sasl_plain]


def plain_at_once(person):
    return [b"auth plain " + person.sasl_plain]


def login(person):
    return [b"AUTH LOGIN", b64encode(person.user.encode()), b64encode(person.password)]


@pytest.mark.parametrize("form", [plain, plain_at_once, login])
@pytest.mark.parametrize("person", [ALICE, ODD, LATIN])
def test_every_form_of_login_reaches_the_relay(proxy, certificates, form, person):
    with speaking(proxy, certificates) as client:
        said(client, b"EHLO laptop.example.org")
        *steps, last = form(person)
        for step in steps:
            assert said(client, step)[0].startswith(b"334 ")
        assert said(client, last)[0].startswith(b"235 2.7.0 ")
        assert said(client, b"MAIL FROM:<alice@example.com>")[0].startswith(b"250 2.1.0 ")
        assert said(client, b"QUIT")[0].startswith(b"221 ")


def test_what_the_client_pipelines_behind_its_login_reaches_the_relay(proxy, certificates):
    with speaking(proxy, certificates) as client:
        said(client, b"EHLO laptop.example.org")
        client.send(
            b"AUTH PLAIN %b\r\nMAIL FROM:<alice@example.com>\r\nRCPT TO:<bob@example.com>\r\nRSET\r\nQUIT\r\n"
            % ALICE.sasl_plain
        )
        assert [line[:3] for line in client.rest().splitlines()] == [b"235", b"250", b"250", b"250", b"221"]


def test_nothing_can_be_sent_before_the_login(proxy, certificates):
    with speaking(proxy, certificates) as client:
        said(client, b"EHLO laptop.example.org")
        client.send(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
        assert [answer(client)[0][:9] for _ in range(4)] == [b"530 5.7.0"] * 4
        assert answer(client)[0].startswith(b"250 ")


def test_without_tls_no_password_is_taken(proxy, certificates):
    with speaking(proxy, certificates, "starttls") as client:
        lines = said(client, b"EHLO laptop.example.org")
        assert b"250 STARTTLS" in lines
        assert not [line for line in lines if b"AUTH" in line]
        assert said(client, b"AUTH PLAIN")[0].startswith(b"538 5.7.11 ")
        assert said(client, b"MAIL FROM:<a@example.com>")[0].startswith(b"530 5.7.0 ")


@pytest.mark.parametrize("wrong", [b"\0alice@example.com\0wrong", b"\0nobody@example.com\0wrong"])
def test_unknown_user_and_wrong_password_are_told_alike(proxy, certificates, wrong):
    with speaking(proxy, certificates) as client:
        said(client, b"EHLO laptop.example.org")
        assert said(client, b"AUTH PLAIN " + b64encode(wrong)) == [b"535 5.7.8 User name or password is wrong"]
        assert said(client, b"AUTH PLAIN " + ALICE.sasl_plain)[0].startswith(b"235 ")


def test_a_relay_that_is_away_is_told_as_temporary_and_the_session_goes_on(proxy, certificates):
    with speaking(proxy, certificates) as client:
        said(client, b"EHLO laptop.example.org")
        assert said(client, b"AUTH PLAIN " + LOST.sasl_plain)[0].startswith(b"454 4.7.0 ")
        assert said(client, b"AUTH PLAIN " + ALICE.sasl_plain)[0].startswith(b"235 ")


def test_too_many_failures_end_it(proxy, certificates):
    with speaking(proxy, certificates) as client:
        said(client, b"EHLO laptop.example.org")
        client.send((b"AUTH PLAIN " + b64encode(b"\0alice@example.com\0wrong") + b"\r\n") * 4)
        assert [line[:3] for line in client.rest().splitlines()] == [b"535", b"535", b"535", b"421"]


def test_bytes_behind_starttls_never_run(proxy, certificates):
    with speaking(proxy, certificates, "starttls") as client:
        client.send(b"EHLO laptop.example.org\r\nSTARTTLS\r\nNOOP\r\n")
        assert client.rest().splitlines()[-1].startswith(b"421 ")


def test_what_a_relay_offers_is_known_once_somebody_has_logged_in(run_submission_proxy, relays, certificates):
    with run_submission_proxy(relays[0].port) as proxy:
        with smtp(proxy, certificates, "implicit") as client:
            assert set(client.esmtp_features) == {"auth"}
            client.login(ALICE.user, ALICE.password.decode())
        with smtp(proxy, certificates, "implicit") as client:
            assert set(client.esmtp_features) == OFFERED_FIRST | {"auth"}
            assert client.esmtp_features["size"] == "1000000"


def test_relays_take_turns_and_are_known_before_the_first_login(run_submission_proxy, relays, certificates):
    with run_submission_proxy(relays[0].port, hosts=[FIRST, SECOND]) as proxy:
        for relay in relays:
            relay.logged("disconnect", "ehlo=1 quit=1")
        for person in (ALICE, LOST, BOB, ODD):
            with smtp(proxy, certificates, "implicit") as client:
                assert set(client.esmtp_features) == OFFERED_FIRST | {"auth"}
                client.login(person.user, person.password.decode())
        used = [proxy.logged("closed", person.user, "service=submission") for person in (ALICE, LOST, BOB, ODD)]
        assert {sum(f"backend={address}" in line for line in used) for address in (FIRST, SECOND)} == {2}


def test_a_relay_that_is_away_is_passed_over(run_submission_proxy, relays, certificates):
    with run_submission_proxy(relays[0].port, hosts=[NOBODY_THERE, FIRST]) as proxy:
        start = len(proxy.log())
        for _ in range(3):
            with smtp(proxy, certificates, "implicit", BOB) as client:
                assert client.noop()[0] == 250
        proxy.logged("backend=" + FIRST, "login result=ok", BOB.user, after=start)


@pytest.mark.parametrize("last", [b"535 5.7.8 no", b"454 4.7.0 later"])
def test_a_password_is_said_to_one_relay_alone(run_submission_proxy, ports, certificates, last):
    port, heard = ports.free(), []

    def relay(client):
        client.send(b"220 hello\r\n")
        client.line()
        client.send(b"250-relay\r\n250 AUTH PLAIN\r\n")
        line = client.line()
        if line.startswith(b"AUTH"):
            heard.append(line)
            client.send(last + b"\r\n")

    with (
        scripted(FIRST, port, relay),
        scripted(SECOND, port, relay),
        run_submission_proxy(port, hosts=[FIRST, SECOND]) as proxy,
        speaking(proxy, certificates) as client,
    ):
        said(client, b"EHLO laptop.example.org")
        assert said(client, b"AUTH PLAIN " + ALICE.sasl_plain)[0].startswith(last[:9])
    assert len(heard) == 1


@pytest.mark.parametrize("tls", ["none", "starttls"])
def test_the_relay_is_told_who_came(run_submission_proxy, relays, certificates, tls):
    word, text = message()
    start = len(relays[0].log())
    options = {"client_address": "xclient", "tls": tls, "ca": str(certificates.ca)}
    with (
        run_submission_proxy(relays[0].port, **options) as proxy,
        connected("127.0.0.1", proxy.port("implicit"), certificates.ca, False, "127.0.0.77") as client,
    ):
        answer(client)
        logged_in(client, ALICE)
        for command in (b"MAIL FROM:<alice@example.com>", b"RCPT TO:<bob@example.com>", b"DATA"):
            said(client, command)
        assert said(client, text + b".")[0].startswith(b"250 2.0.0 ")
    relays[0].logged("client=unknown[127.0.0.77]", "sasl_username=alice", after=start)
    delivered = relays[0].message(word)
    assert b"Received: from laptop.example.org (unknown [127.0.0.77])" in delivered


def test_whom_we_have_judged_a_relay_that_trusts_us_takes_without_auth(run_submission_proxy, relays, certificates):
    word, text = message()
    tables = {"login": {"verify": "directory"}}
    with run_submission_proxy(
        relays[0].trusting_port,
        tables,
        {ALICE.user: "{PLAIN}" + ALICE.password.decode()},
        client_address="xclient",
    ) as proxy:
        with smtp(proxy, certificates, "implicit", ALICE) as client:
            client.sendmail(ALICE.user, ["bob@example.com"], text)
        with pytest.raises(smtplib.SMTPAuthenticationError), smtp(proxy, certificates, "implicit") as client:
            client.login(ALICE.user, "wrong")
    assert b"(Authenticated sender: alice)" in relays[0].message(word)


def test_whom_nobody_has_judged_a_relay_that_trusts_us_does_not_take(run_submission_proxy, relays, certificates):
    with (
        run_submission_proxy(relays[0].trusting_port, client_address="xclient") as proxy,
        speaking(proxy, certificates) as client,
    ):
        said(client, b"EHLO laptop.example.org")
        assert said(client, b"AUTH PLAIN " + ALICE.sasl_plain)[0].startswith(b"454 4.7.0 ")


@pytest.mark.parametrize("version", ["proxy-v1", "proxy-v2"])
def test_the_relay_is_told_in_a_header_who_came(run_submission_proxy, relays, certificates, version):
    start = len(relays[0].log())
    with (
        run_submission_proxy(relays[0].proxied_port, client_address=version, hosts=[FIRST]) as proxy,
        connected("127.0.0.1", proxy.port("implicit"), certificates.ca, False, "127.0.0.78") as client,
    ):
        answer(client)
        logged_in(client, ALICE)
        said(client, b"QUIT")
    relays[0].logged("disconnect from", "[127.0.0.78]", after=start)


XCLIENT = b"XCLIENT ADDR=10.0.0.1 LOGIN=root\r\n"


@pytest.mark.parametrize("piece", [65536, 1], ids=["pipelined", "octet by octet"])
def test_a_client_cannot_use_our_standing_at_the_relay(run_submission_proxy, relays, certificates, piece):
    word, text = message()
    with smtplib.SMTP(FIRST, relays[0].port) as direct:
        direct.ehlo()
        assert direct.has_extn("xclient")
    with run_submission_proxy(relays[0].port) as proxy, speaking(proxy, certificates) as client:

        def send(octets):
            for place in range(0, len(octets), piece):
                client.send(octets[place : place + piece])

        logged_in(client, ALICE)
        start = len(relays[0].log())
        assert b"XCLIENT" not in b"\r\n".join(said(client, b"EHLO laptop.example.org"))
        send(b"NOOP\r\n" + XCLIENT + b"MAIL FROM:<alice@example.com>\r\n" + XCLIENT + b"RCPT TO:<bob@example.com>\r\n")
        assert [answer(client)[0][:9] for _ in range(5)] == [
            b"250 2.0.0",
            b"502 5.5.1",
            b"250 2.1.0",
            b"502 5.5.1",
            b"250 2.1.5",
        ]
        for hidden in (b" " + XCLIENT, XCLIENT.replace(b"\r", b""), b'"XCLIENT" ADDR=10.0.0.1\r\n', b"STARTTLS\r\n"):
            send(hidden)
            assert answer(client)[0][:3] in (b"500", b"503")
        assert said(client, b"DATA")[0].startswith(b"354 ")
        send(text + XCLIENT + b".\r\n" + XCLIENT)
        assert [answer(client)[0][:9] for _ in range(2)] == [b"250 2.0.0", b"502 5.5.1"]
        send(b"BDAT %d LAST\r\n" % len(XCLIENT) + XCLIENT * 2 + b"QUIT\r\n")
        assert [answer(client)[0][:3] for _ in range(3)] == [b"502", b"502", b"221"]
    assert XCLIENT.strip() in relays[0].message(b"Subject: " + word)
    ended = relays[0].logged("disconnect from", "quit=1", after=start)
    assert not {"xclient", "bdat"} & set(re.findall("[a-z]+", ended))


@pytest.mark.parametrize("end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n"])
def test_no_end_of_a_message_is_smuggled_to_a_relay_that_would_take_it(run_submission_proxy, relays, certificates, end):
    word, text = message()
    with run_submission_proxy(relays[0].port) as proxy, speaking(proxy, certificates) as client:
        logged_in(client, ALICE)
        for command in (b"MAIL FROM:<alice@example.com>", b"RCPT TO:<bob@example.com>", b"DATA"):
            said(client, command)
        start = len(relays[0].log())
        client.send(text + b"x" + end + XCLIENT)
        assert client.line().startswith(b"521 5.5.2 ")
        client.send(XCLIENT)
        assert client.rest() == b""
    relays[0].logged("lost connection after DATA", after=start)
    assert "xclient" not in relays[0].log()[start:]
