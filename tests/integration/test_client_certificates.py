"""Logging in by client certificate (EXTERNAL), to real stores by their administrator."""

import signal
import socket
import ssl
from base64 import b64encode
from contextlib import contextmanager

import pytest
from attrs import frozen

from tests.authority import Authority, self_signed, subject
from tests.integration.client import Client, connected
from tests.integration.people import ALICE, BOB, MASTERS
from tests.integration.slapd import BASE, slapd
from tests.integration.test_login import store_of
from tests.integration.test_password_strength import PROTOCOLS, SUITES, lines
from tests.integration.toml import document

ADMIN, ADMIN_PASSWORD = next(iter(MASTERS.items()))
OLD, NEW, STRANGER = (Authority.make(f"{name} CA for clients") for name in ("Old", "New", "No"))
BY_MAIL = subject(CN="Alice", E=ALICE.user)


@frozen
class Clients:
    """What clients connect with: contexts that trust the proxy and show a certificate."""

    folder: object
    ca: object

    def context(self, issued=None, version=None):
        made = ssl.create_default_context(cafile=self.ca)
        if version:
            made.minimum_version = made.maximum_version = version
        if issued:
            file = self.folder / f"{issued.leaf.serial_number:x}"
            file.touch(mode=0o600)
            file.write_bytes(issued.key_pem + issued.pem)
            made.load_cert_chain(file)
        return made


@pytest.fixture(scope="module")
def clients(tmp_path_factory, certificates):
    return Clients(tmp_path_factory.mktemp("clients"), certificates.ca)


@pytest.fixture
def keys(tmp_path):
    """The files of a proxy of its own: who is trusted, who is revoked, and the administrator's password."""
    for name, content in {"ca": OLD.pem + NEW.pem, "crl": OLD.revoke() + NEW.revoke(), "admin": ADMIN_PASSWORD}.items():
        file = tmp_path / name
        file.touch(mode=0o600)
        file.write_bytes(content)
    return tmp_path


@pytest.fixture
def run_certified(run_proxy, stores, ports, keys):
    """Runs a proxy for three protocols that takes client certificates."""

    def run(tls=None, **changes):
        services = {"imap": stores.port, "pop3": stores.first.pop3_port, "managesieve": stores.first.sieve_port}
        common = {"address": "127.0.0.1", "tls": "implicit"}
        usual = {
            "listener": [common | {"service": service, "port": ports.free()} for service in services],
            "backend": {service: {"port": port} for service, port in services.items()},
            "tls": {"client_ca": str(keys / "ca"), "client_crl": str(keys / "crl")} | (tls or {}),
            "login": {"admin_user": ADMIN, "admin_password_file": str(keys / "admin")},
        }
        return run_proxy(stores.port, **usual | changes)

    return run


def port(proxy, service="imap"):
    return next(each["port"] for each in proxy.settings["listener"] if each["service"] == service)


@contextmanager
def visiting(proxy, context, service="imap", session=None):
    plain = socket.create_connection(("127.0.0.1", port(proxy, service)), timeout=30)
    client = Client(plain)
    try:
        client.connection = context.wrap_socket(plain, server_hostname="localhost", session=session)
        yield client
    finally:
        client.connection.close()


def external(client, name=b""):
    assert client.line().startswith(b"* OK")
    return client.command(b"a AUTHENTICATE EXTERNAL " + (b64encode(name) or b"="))[-1]


def test_certificates_of_two_authorities_log_in_and_passwords_go_on(run_certified, clients):
    with run_certified() as proxy:
        for authority in (OLD, NEW):
            with visiting(proxy, clients.context(authority.issue(BY_MAIL))) as client:
                assert external(client).startswith(b"a OK")
                assert store_of(client) == ALICE.store
        with visiting(proxy, clients.context()) as client:
            assert b"AUTH=EXTERNAL" not in client.line()
            assert client.command(b"a AUTHENTICATE EXTERNAL =")[-1].startswith(b"a NO")
            assert client.command(b"b LOGIN %b %b" % (BOB.user.encode(), BOB.password))[-1].startswith(b"b OK")
        with visiting(proxy, clients.context(OLD.issue(BY_MAIL))) as client:
            assert b"AUTH=EXTERNAL" in client.line()
            assert client.command(b"b LOGIN %b %b" % (BOB.user.encode(), BOB.password))[-1].startswith(b"b OK")
        assert proxy.logged("login", "result=ok", "mechanism=EXTERNAL", "user=alice@example.com")


def test_nobody_gets_in_as_somebody_else(run_certified, clients):
    with run_certified() as proxy:
        for name, expected in ((BOB.user, b"a NO"), ("nobody@example.com", b"a NO"), (ALICE.user, b"a OK")):
            with visiting(proxy, clients.context(OLD.issue(BY_MAIL))) as client:
                assert external(client, name.encode()).startswith(expected)
        for who in (subject(CN="without an address"), subject(E="unknown@example.com")):
            with visiting(proxy, clients.context(OLD.issue(who))) as client:
                assert external(client).startswith(b"a NO [AUTHENTICATIONFAILED]")


def test_pop3_and_managesieve_have_it_too(run_certified, clients):
    with run_certified() as proxy:
        with visiting(proxy, clients.context(OLD.issue(BY_MAIL)), "pop3") as client:
            assert client.line().startswith(b"+OK")
            client.send(b"CAPA\r\n")
            assert b"EXTERNAL" in client.until(b"\r\n.\r\n")
            client.send(b"AUTH EXTERNAL =\r\n")
            assert client.line().startswith(b"+OK")
            client.send(b"STAT\r\n")
            assert client.line().startswith(b"+OK")
        with visiting(proxy, clients.context(OLD.issue(BY_MAIL)), "managesieve") as client:
            assert b"EXTERNAL" in client.until(b"ready")
            client.line()
            client.send(b'AUTHENTICATE "EXTERNAL" ""\r\n')
            assert client.line().startswith(b"OK")
            client.send(b"LISTSCRIPTS\r\n")
            assert client.until(b"OK").endswith(b"OK")


def test_submission_has_it_too_and_the_relay_knows_who_sends(run_certified, clients, relays, ports):
    listener = {"service": "submission", "address": "127.0.0.1", "port": ports.free(), "tls": "implicit"}
    with run_certified(listener=[listener], backend={"submission": {"port": relays[0].port}}) as proxy:
        for issued in (OLD.issue(BY_MAIL), None):
            with visiting(proxy, clients.context(issued), "submission") as client:
                assert client.line().startswith(b"220 ")
                client.send(b"EHLO client.example\r\n")
                offered = client.until(b"\r\n250 ") + client.line()
                assert (b" EXTERNAL" in offered) is bool(issued)
                client.send(b"AUTH EXTERNAL =\r\n")
                assert client.line().startswith(b"235 " if issued else b"5")
                client.send(b"MAIL FROM:<alice@example.com>\r\n")
                assert client.line().startswith(b"250 " if issued else b"530 ")
        assert proxy.logged("login", "result=ok", "mechanism=EXTERNAL", "service=submission", "user=alice@example.com")


COMMANDS = {
    "imap": (b"a AUTHENTICATE EXTERNAL =\r\n", b"a (OK|NO|BAD)", b"a OK"),
    "pop3": (b"AUTH EXTERNAL =\r\n", b"[-+]", b"+OK"),
    "managesieve": (b'AUTHENTICATE "EXTERNAL" ""\r\n', b"OK|NO|BYE", b"OK"),
    "submission": (b"AUTH EXTERNAL =\r\n", b"[0-9]{3} ", b"235 "),
}
"""What asks for EXTERNAL, how the last line of the answer may begin, and how it begins if all is well."""


def test_where_the_cipher_is_too_weak_for_a_password_a_certificate_still_gets_in(
    run_certified, clients, stores, relays, ports
):
    common = {"address": "127.0.0.1", "tls": "implicit", "plaintext_min_cipher": 256, "ciphersuites": SUITES[128][0]}
    services = {"imap": stores.port, "pop3": stores.first.pop3_port, "managesieve": stores.first.sieve_port}
    backend = {service: {"port": port} for service, port in (services | {"submission": relays[0].port}).items()}
    listeners = [common | {"service": service, "port": ports.free()} for service in PROTOCOLS]
    with run_certified(listener=listeners, backend=backend) as proxy:
        for service, protocol in PROTOCOLS.items():
            with visiting(proxy, clients.context(OLD.issue(BY_MAIL)), service) as client:
                lines(client, protocol.greeting)
                client.send(protocol.asks)
                offered = lines(client, protocol.told)
                assert (b"EXTERNAL" in offered, b"PLAIN" in offered) == (True, False), offered
                client.send(protocol.logins[0][0])
                assert client.line().startswith(protocol.refused)
                said, last, well = COMMANDS[service]
                client.send(said)
                assert lines(client, last).rpartition(b"\n")[2].startswith(well), proxy.log()


@pytest.mark.parametrize(
    "issued",
    [
        STRANGER.issue(BY_MAIL),
        OLD.issue(BY_MAIL, days=-1),
        OLD.issue(BY_MAIL, begins=1),
        OLD.issue(BY_MAIL, client=False),
        Authority.make("Nobody").issue(BY_MAIL),
        self_signed(BY_MAIL),
    ],
    ids=["unknown authority", "expired", "not yet valid", "for servers", "own authority", "self-signed"],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_that_is_no_good_ends_the_handshake_and_nothing_stays(run_certified, clients, issued, version):
    with run_certified() as proxy:
        (worker,) = proxy.workers()
        for _ in range(5):
            with (
                pytest.raises((ssl.SSLError, ConnectionError)),
                visiting(proxy, clients.context(issued, version)) as client,
            ):
                client.line()
        assert proxy.logged(" tls result=failed", "certificate verify failed (")
        assert proxy.logged("closed", "certificate verify failed")
        assert proxy.workers() == {worker}


def test_where_one_is_required_nobody_comes_without(run_certified, clients):
    with run_certified(tls={"client_certificate": "require"}) as proxy:
        with pytest.raises((ssl.SSLError, ConnectionError)), visiting(proxy, clients.context()) as client:
            client.line()
        with visiting(proxy, clients.context(OLD.issue(BY_MAIL))) as client:
            assert external(client).startswith(b"a OK")


@frozen
class Loss:
    """How a certificate comes to be no good any more, and how the proxy learns of it."""

    change: str
    reload: bool
    version: ssl.TLSVersion


@pytest.mark.parametrize(
    "loss",
    [
        Loss("authority removed", False, ssl.TLSVersion.TLSv1_2),
        Loss("authority removed", True, ssl.TLSVersion.TLSv1_3),
        Loss("revoked", False, ssl.TLSVersion.TLSv1_3),
        Loss("revoked", True, ssl.TLSVersion.TLSv1_2),
    ],
    ids=str,
)
def test_a_resumed_session_is_no_way_in_for_whom_we_trust_no_more(run_certified, clients, keys, loss):
    """The ticket is good still, where the files were taken in by the same workers; the certificate is not."""
    issued = OLD.issue(BY_MAIL)
    context = clients.context(issued, loss.version)
    with run_certified() as proxy:
        with visiting(proxy, context) as client:
            assert external(client).startswith(b"a OK")
            client.command(b"n NOOP")
            ticket = client.connection.session
        with visiting(proxy, context, session=ticket) as client:
            assert external(client).startswith(b"a OK")
            assert client.connection.session_reused
        start = len(proxy.log())
        if loss.change == "revoked":
            (keys / "crl").write_bytes(OLD.revoke(issued) + NEW.revoke())
        else:
            (keys / "ca").write_bytes(NEW.pem)
        if loss.reload:
            proxy.process.send_signal(signal.SIGHUP)
            proxy.logged("reload", "result=ok", after=start)
        else:
            proxy.logged("reload", "result=certificates", after=start)
        with visiting(proxy, context, session=ticket) as client:
            assert external(client).startswith(b"a NO")
            assert client.connection.session_reused
        with visiting(proxy, clients.context(NEW.issue(BY_MAIL))) as client:
            assert external(client).startswith(b"a OK")


def taken_in(proxy, *, by_new_workers):
    """Have the proxy read what has changed; return once it has been taken in, by new workers if so wanted."""
    start = len(proxy.log())
    if by_new_workers:
        proxy.settings["hostname"] = f"{start}.example.com"
        proxy.configuration.write_text(document(proxy.settings))
    proxy.process.send_signal(signal.SIGHUP)
    proxy.logged("reload", "result=ok", after=start)
    if by_new_workers:
        proxy.logged(" serving ", after=start)


@pytest.mark.parametrize("change", ["authority removed", "revoked"])
@pytest.mark.parametrize("replaced", ["never", "at once", "before"])
def test_who_came_before_a_change_of_trust_and_logs_in_after_it_is_judged_by_what_is_known_then(
    run_certified, clients, keys, change, replaced
):
    """The workers may have been replaced meanwhile, and drain: with their last clients it is the same."""
    issued = OLD.issue(BY_MAIL)
    with (
        run_certified() as proxy,
        visiting(proxy, clients.context(issued)) as late,
        visiting(proxy, clients.context(NEW.issue(BY_MAIL))) as other,
        visiting(proxy, clients.context(issued)) as third,
    ):
        assert all(b"AUTH=EXTERNAL" in client.line() for client in (late, other, third))
        assert third.command(b"a LOGIN %b %b" % (BOB.user.encode(), BOB.password))[-1].startswith(b"a OK")
        if replaced == "before":
            taken_in(proxy, by_new_workers=True)
        if change == "revoked":
            (keys / "crl").write_bytes(OLD.revoke(issued) + NEW.revoke())
        else:
            (keys / "ca").write_bytes(NEW.pem)
        taken_in(proxy, by_new_workers=replaced == "at once")
        assert late.command(b"a AUTHENTICATE EXTERNAL =")[-1].startswith(b"a NO [AUTHENTICATIONFAILED]")
        proxy.logged("login", "result=bad-credentials", "no certificate that is good now")
        assert other.command(b"a AUTHENTICATE EXTERNAL =")[-1].startswith(b"a OK")
        assert third.command(b"n NOOP")[-1].startswith(b"n OK")


def test_who_came_before_the_files_of_trust_were_replaced_by_others_cannot_log_in_by_certificate(
    run_certified, clients, keys, ports
):
    """Also who shakes hands only then, with a worker that drains."""
    listener = {"service": "imap", "address": "127.0.0.1", "port": ports.free(), "tls": "starttls"}
    (keys / "others").write_bytes(NEW.pem)
    context = clients.context(OLD.issue(BY_MAIL))
    with (
        run_certified(listener=[listener]) as proxy,
        connected("127.0.0.1", listener["port"]) as early,
        connected("127.0.0.1", listener["port"]) as late,
        connected("127.0.0.1", listener["port"]) as bare,
    ):
        assert start_tls(early, context)
        proxy.settings["tls"] |= {"client_ca": str(keys / "others"), "client_crl": ""}
        taken_in(proxy, by_new_workers=True)
        assert early.command(b"a AUTHENTICATE EXTERNAL =")[-1].startswith(b"a NO [AUTHENTICATIONFAILED]")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            start_tls(late, context)
        assert not start_tls(bare, clients.context())
        assert bare.command(b"b LOGIN %b %b" % (BOB.user.encode(), BOB.password))[-1].startswith(b"b OK")


def start_tls(client, context):
    """Say STARTTLS and shake hands; tell whether EXTERNAL is offered then."""
    assert client.command(b"s STARTTLS")[-1].startswith(b"s OK")
    client.connection = context.wrap_socket(client.connection, server_hostname="localhost")
    return b"AUTH=EXTERNAL" in b"".join(client.command(b"c CAPABILITY"))


def person(uid, store):
    usual = ("objectClass: account", "objectClass: inetMailUser", f"uid: {uid}", f"mail: {uid}@example.com")
    return "\n".join((f"dn: uid={uid},{BASE}", *usual, f"mailHost: {store}")) + "\n\n"


RULES = f"""
certmap old {OLD.certificate.subject.rfc4514_string()}
old:DNComps dc
old:FilterComps cn=uid

certmap new cn = new CA for clients
new:DNComps
new:FilterComps e=mail
"""


def test_each_issuer_has_its_own_way_into_a_real_directory(run_certified, clients, ports, keys):
    (keys / "rules").write_text(RULES)
    people = person(ALICE.name, ALICE.store) + person(BOB.name, BOB.store)
    with slapd(ports, people) as server:
        directory = {"kind": "ldap", "ldap": {"urls": [server.url], "base": BASE}}
        rules = {"certificate_map": str(keys / "rules")}
        with run_certified(tls=rules, directory=directory) as proxy:
            inside = subject(DC=["com", "example"], CN=ALICE.name)
            outside = subject(DC=["com", "elsewhere"], CN=ALICE.name)
            cases = [
                (OLD.issue(inside), ALICE.store),
                (OLD.issue(outside), None),
                (OLD.issue(subject(E=BOB.user)), None),
                (NEW.issue(subject(E=BOB.user)), BOB.store),
                (NEW.issue(subject(CN="any"), emails=[ALICE.user]), ALICE.store),
                (NEW.issue(subject(E="*@example.com")), None),
                (NEW.issue(inside), None),
            ]
            for issued, store in cases:
                with visiting(proxy, clients.context(issued)) as client:
                    answer = external(client)
                    assert answer.startswith(b"a OK" if store else b"a NO [AUTHENTICATIONFAILED]"), answer
                    assert store is None or store_of(client) == store


def test_the_directory_knows_us_by_our_certificate(run_proxy, stores, ports, certificates):
    """Nobody but the proxy's own name may read anything there."""
    own = certificates.issue("proxy")
    with slapd(ports, person(ALICE.name, ALICE.store), certificates, others="none") as server:
        ldap = {"base": BASE, "ca": str(certificates.ca), "bind": "external"}
        ldap |= {"client_certificate": str(own.certificate), "private_key": str(own.key)}
        for urls in ({"urls": [server.tls_url]}, {"urls": [server.url], "start_tls": True}):
            directory = {"kind": "ldap", "ldap": ldap | urls}
            with (
                run_proxy(stores.port, directory=directory) as proxy,
                connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client,
            ):
                answer = client.command(b"a LOGIN %b %b" % (ALICE.user.encode(), ALICE.password))[-1]
                assert answer.startswith(b"a OK"), proxy.log()
