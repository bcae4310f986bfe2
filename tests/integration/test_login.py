"""Every form of login, on every kind of listener, to the user's own store."""

import imaplib
import re
import ssl
import subprocess

import pytest

from tests.integration.client import connected
from tests.integration.people import ALICE, BOB, LATIN, LOST, ODD


def quoted(octets):
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def atoms(person):
    return [b"a LOGIN %b %b" % (person.user.encode(), person.password)]


def quoted_strings(person):
    return [b"a LOGIN %b %b" % (quoted(person.user.encode()), quoted(person.password))]


def literals(person):
    user, password = person.user.encode(), person.password
    return [b"a LOGIN {%d}" % len(user), b"%b {%d}" % (user, len(password)), password]


def non_synchronizing_literals(person):
    user, password = person.user.encode(), person.password
    return [b"a LOGIN {%d+}\r\n%b {%d+}\r\n%b" % (len(user), user, len(password), password)]


def quoted_string_and_literal(person):
    return [b"a LOGIN %b {%d}" % (quoted(person.user.encode()), len(person.password)), person.password]


def authenticate_plain(person):
    return [b"a AUTHENTICATE PLAIN", person.sasl_plain]


def authenticate_plain_at_once(person):
    return [b"a AUTHENTICATE PLAIN " + person.sasl_plain]


def log_in(client, lines):
    """Say the lines of a login, each but the first after a continuation; return the tagged answer."""
    for line in lines[:-1]:
        client.send(line + b"\r\n")
        assert client.line().startswith(b"+")
    client.send(lines[-1] + b"\r\n")
    return client.answer(b"a")[-1]


def store_of(client):
    """Return the address of the store that a logged-in client talks to."""
    answer = b"\n".join(client.command(b"i ID NIL"))
    return re.search(rb'"support-url" "([^"]*)"', answer)[1].decode()


@pytest.mark.parametrize(
    ("form", "person"),
    [
        (atoms, ALICE),
        (atoms, BOB),
        (quoted_strings, ALICE),
        (quoted_strings, ODD),
        (literals, BOB),
        (literals, ODD),
        (literals, LATIN),
        (non_synchronizing_literals, ALICE),
        (non_synchronizing_literals, LATIN),
        (quoted_string_and_literal, ODD),
        (authenticate_plain, ALICE),
        (authenticate_plain, LATIN),
        (authenticate_plain_at_once, BOB),
        (authenticate_plain_at_once, ODD),
    ],
)
def test_every_form_of_login_reaches_the_store_of_the_user(proxy, certificates, form, person):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        assert log_in(client, form(person)).startswith(b"a OK")
        assert store_of(client) == person.store


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_imaplib_logs_in_on_every_listener(proxy, certificates, address, tls):
    context = ssl.create_default_context(cafile=certificates.ca)
    if tls == "implicit":
        client = imaplib.IMAP4_SSL(address, proxy.port(tls, address), ssl_context=context)
    else:
        client = imaplib.IMAP4(address, proxy.port(tls, address))
        client.starttls(context)
    with client:
        client.login(BOB.user, BOB.password.decode())
        assert client.select()[0] == "OK"


def test_a_bare_name_gets_the_default_domain(proxy, certificates):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        assert client.command(b"a LOGIN bob " + BOB.password)[-1].startswith(b"a OK")
        assert store_of(client) == BOB.store


def test_openssl_logs_in_over_starttls(proxy, certificates):
    client = ["openssl", "s_client", "-connect", f"127.0.0.1:{proxy.port('starttls')}", "-starttls", "imap", "-quiet"]
    trust = ["-CAfile", certificates.ca, "-verify_return_error", "-verify_hostname", "localhost"]
    with subprocess.Popen(
        [*client, *trust], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as running:
        running.stdin.write(b"a LOGIN %b %b\r\nb LOGOUT\r\n" % (ALICE.user.encode(), ALICE.password))
        running.stdin.flush()
        said = running.stdout.read()
    assert b"a OK" in said
    assert b"b OK" in said


def test_without_tls_a_password_is_refused_before_it_is_sent(proxy):
    with connected("127.0.0.1", proxy.port("starttls")) as client:
        capabilities = client.command(b"c CAPABILITY")[0].split()
        assert b"LOGINDISABLED" in capabilities
        assert b"STARTTLS" in capabilities
        assert b"AUTH=PLAIN" not in capabilities
        client.send(b"a LOGIN %b {%d}\r\n" % (ALICE.user.encode(), len(ALICE.password)))
        assert client.answer(b"a")[-1].startswith(b"a NO [PRIVACYREQUIRED]")
        assert client.command(b"b AUTHENTICATE PLAIN")[-1].startswith(b"b NO [PRIVACYREQUIRED]")
        assert client.command(b"d LOGIN x y")[-1].startswith(b"d NO [PRIVACYREQUIRED]")


def test_after_starttls_the_capabilities_are_others(proxy, certificates):
    with connected("127.0.0.1", proxy.port("starttls")) as client:
        assert client.command(b"s STARTTLS")[-1].startswith(b"s OK")
        client.start_tls(certificates.ca)
        capabilities = client.command(b"c CAPABILITY")[0].split()
        assert b"LOGINDISABLED" not in capabilities
        assert b"STARTTLS" not in capabilities
        assert b"AUTH=PLAIN" in capabilities
        assert b"SASL-IR" in capabilities
        assert log_in(client, atoms(ALICE)).startswith(b"a OK")


def test_a_listener_without_tls_takes_a_password_where_that_is_allowed(run_proxy, stores, ports):
    listener = [{"service": "imap", "address": "127.0.0.1", "port": ports.free(), "tls": "none"}]
    changes = {"restrict_plain_passwords": False, "plaintext_min_cipher": 0}
    with (
        run_proxy(stores.port, listener=listener, login=changes) as proxy,
        connected("127.0.0.1", proxy.port("none")) as client,
    ):
        assert b"STARTTLS" not in client.command(b"c CAPABILITY")[0].split()
        assert log_in(client, atoms(ALICE)).startswith(b"a OK")
        assert store_of(client) == ALICE.store


def test_what_stores_are_known_to_offer_is_offered_before_the_login(proxy, certificates):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        assert log_in(client, atoms(ALICE)).startswith(b"a OK ")
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        capabilities = client.command(b"c CAPABILITY")[0].split()
        assert {b"IDLE", b"ENABLE", b"AUTH=PLAIN"} <= set(capabilities)
        assert not {b"LOGIN-REFERRALS", b"AUTH=XOAUTH2", b"LOGINDISABLED"} & set(capabilities)


def test_the_tagged_ok_has_the_capabilities_of_the_store(proxy, certificates):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        accepted = log_in(client, atoms(ALICE))
        offered = client.command(b"c CAPABILITY")[0].removeprefix(b"* CAPABILITY ").split()
        assert re.search(rb"\[CAPABILITY ([^]]*)\]", accepted)[1].split() == offered
        assert b"UIDPLUS" in offered


def test_a_client_can_cancel_and_log_in_after_all(proxy, certificates):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        client.send(b"x AUTHENTICATE PLAIN\r\n")
        assert client.line().startswith(b"+")
        client.send(b"*\r\n")
        assert client.line().startswith(b"x BAD")
        assert log_in(client, authenticate_plain(ALICE)).startswith(b"a OK")


def test_commands_pipelined_behind_the_login_reach_the_store(proxy, certificates):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        client.send(atoms(ALICE)[0] + b"\r\nb ID NIL\r\nc CREATE {9}\r\n")
        assert client.answer(b"a")[-1].startswith(b"a OK")
        assert client.answer(b"b")[-1].startswith(b"b OK")
        assert client.line().startswith(b"+")
        client.send(b"pipelined\r\nd DELETE pipelined\r\n")
        assert client.answer(b"c")[-1].startswith(b"c OK")
        assert client.answer(b"d")[-1].startswith(b"d OK")


def test_what_comes_before_a_login(proxy, certificates):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        assert client.command(b"n NOOP")[-1].startswith(b"n OK")
        identified = client.command(b'i ID ("name" "test")')
        assert identified[0].startswith(b"* ID ")
        assert identified[-1].startswith(b"i OK")
        assert client.command(b"s SELECT INBOX")[-1].startswith(b"s BAD")
        assert client.command(b"f FROBNICATE")[-1].startswith(b"f BAD")
        client.send(b"l LOGOUT\r\n")
        assert re.fullmatch(rb"\* BYE [^\r]*\r\nl OK [^\r]*\r\n", client.rest())


def test_a_wrong_password_and_an_unknown_user_read_alike(proxy, certificates):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        wrong_password = client.command(b"a LOGIN %b wrong" % ALICE.user.encode())
        unknown_user = client.command(b"a LOGIN nobody@example.com wrong")
        assert wrong_password == unknown_user
        assert wrong_password[-1].startswith(b"a NO [AUTHENTICATIONFAILED]")


def test_too_many_failures_end_the_connection(proxy, certificates):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        client.send(b"".join(b"%d LOGIN nobody@example.com wrong\r\n" % number for number in range(10)))
        assert client.rest().count(b"NO [AUTHENTICATIONFAILED]") == 3


def test_a_store_that_does_not_answer_is_an_outage(proxy, certificates):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        assert log_in(client, atoms(LOST)).startswith(b"a NO [UNAVAILABLE]")
        assert log_in(client, atoms(ALICE)).startswith(b"a OK")


def test_one_record_is_written_for_each_session(proxy, certificates):
    start = len(proxy.log())
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        log_in(client, atoms(BOB))
        client.command(b"l LOGOUT")
    record = proxy.logged("closed", BOB.user, after=start)
    assert BOB.store in record
