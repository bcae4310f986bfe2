"""The real servers that the tests talk to, started once per test process, and proxies before them."""

from contextlib import ExitStack, contextmanager

import pytest
from attrs import fields, frozen

from mmp.model import Service
from tests.integration.certificates import LOOPBACK, Certificates
from tests.integration.dovecot import Dovecot, dovecot
from tests.integration.people import BOB, FIRST, MAIL_HOSTS, MASTERS, PASSWORDS, SECOND, secrets
from tests.integration.ports import Ports
from tests.integration.postfix import Postfix, postfix
from tests.integration.proxy import CHECKOUT, running
from tests.integration.settings import settings, write_users

MECHANISMS = ["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER", "SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5"]


@frozen
class Stores:
    """Two Dovecots on the same ports of two addresses."""

    first: Dovecot
    second: Dovecot

    @property
    def port(self):
        """Their port for plain text and STARTTLS."""
        return self.first.port

    @property
    def tls_port(self):
        """Their port for implicit TLS."""
        return self.first.tls_port


@pytest.fixture(scope="session")
def ports():
    """Gives out free ports."""
    claimed = Ports()
    yield claimed
    claimed.close()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """An authority that the tests' clients and proxies trust."""
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def pair(certificates):
    """The proxy's certificate."""
    return certificates.issue(*LOOPBACK)


@pytest.fixture(scope="session")
def stores(ports, certificates):
    """Two stores."""
    chosen = _ports(Dovecot, ports)
    with ExitStack() as held:
        started = [held.enter_context(_dovecot(address, certificates, chosen)) for address in (FIRST, SECOND)]
        yield Stores(*started)


def _dovecot(address, certificates, chosen):
    pair = certificates.issue(address)
    return dovecot(address, pair=pair, passwords=PASSWORDS, masters=MASTERS, **chosen)


@pytest.fixture(scope="session")
def relays(ports, certificates, stores):
    """Two relays on the same ports of the stores' addresses, which ask the first store about logins."""
    chosen = _ports(Postfix, ports)
    socket = stores.first.auth_socket
    with ExitStack() as held:
        yield [
            held.enter_context(postfix(address, pair=certificates.issue(address), auth_socket=socket, **chosen))
            for address in (FIRST, SECOND)
        ]


def _ports(server, ports):
    """Return a free port for each that a server of this class has."""
    return {each.name: ports.free() for each in fields(server) if each.type is int}


@pytest.fixture(scope="session")
def administrator(tmp_path_factory):
    """The keys of [login] that make the administrator known, and offer every mechanism."""
    (user, password), *_ = MASTERS.items()
    file = tmp_path_factory.mktemp("secrets") / "admin"
    file.write_bytes(password + b"\n")
    file.chmod(0o600)
    return {"admin_user": user, "admin_password_file": str(file), "mechanisms": MECHANISMS, "max_failures": 10}


@pytest.fixture(scope="session")
def run_proxy(tmp_path_factory, ports, pair):
    """Runs a proxy as a context manager, and sees at its end that no password is in its log."""

    @contextmanager
    def run(store_port, mail_hosts=MAIL_HOSTS, passwords=None, code=CHECKOUT, groups=None, **changes):
        directory = tmp_path_factory.mktemp("proxy")
        write_users(directory / "users.toml", mail_hosts, passwords, groups)
        with running(directory, settings(ports, pair, store_port, directory / "users.toml", **changes), code) as proxy:
            yield proxy
        assert not [secret for secret in secrets() if secret in proxy.log()]

    return run


@pytest.fixture(scope="session")
def run_whole_proxy(run_proxy, stores, relays, ports, administrator):
    """Runs a proxy that speaks every protocol, and whose directory has Bob's password; keywords are of [login]."""
    known = {BOB.user: "{PLAIN}" + BOB.password.decode()}
    backend = {
        "pop3": {"port": stores.first.pop3_port},
        "managesieve": {"port": stores.first.sieve_port},
        "submission": {"port": relays[0].port},
    }

    def run(**login):
        listeners = [
            {"service": service.value, "address": "127.0.0.1", "port": ports.free(), "tls": tls}
            for service in Service
            for tls in ("starttls", "implicit")
        ]
        changes = {"listener": listeners, "backend": backend, "login": administrator | login}
        return run_proxy(stores.port, passwords=known, **changes)

    return run


@pytest.fixture(scope="module")
def proxy(run_proxy, stores):
    """A proxy with the usual settings before the two stores, for all tests of a module."""
    with run_proxy(stores.port) as proxy:
        yield proxy
