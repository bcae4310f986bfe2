"""A real store that talks to nobody outside of TLS, and only to those who show a certificate."""

import pytest
from attrs import fields

from tests.authority import Authority, subject
from tests.integration.client import connected
from tests.integration.dovecot import Dovecot, dovecot
from tests.integration.people import ALICE, PASSWORDS

PROXIES = Authority.make("Authority of proxies")
DEMANDING = "127.0.0.6"
LOG_IN = b"a LOGIN %b %b" % (ALICE.user.encode(), ALICE.password)


@pytest.fixture(scope="module")
def demanding(ports, certificates, tmp_path_factory):
    """A store with ``ssl = required`` that wants certificates of this authority, which needs a list to go with it."""
    ca = tmp_path_factory.mktemp("proxies") / "ca.pem"
    ca.write_bytes(PROXIES.pem + PROXIES.revoke())
    wants = f"required\nssl_ca = <{ca}\nssl_verify_client_cert = yes\nauth_ssl_require_client_cert = yes"
    chosen = {each.name: ports.free() for each in fields(Dovecot) if each.type is int}
    pair = certificates.issue(DEMANDING)
    with dovecot(DEMANDING, pair=pair, passwords=PASSWORDS, tls=wants, **chosen) as store:
        yield store


@pytest.fixture
def reach(run_proxy, demanding, certificates, tmp_path):
    """Logs in at the store through a proxy of its own; keywords are of [backend.imap]."""

    def reach(issued=None, **imap):
        usual = {"ca": str(certificates.ca), "port": demanding.port, "tls": "starttls"}
        if issued is not None:
            for name, content in (("client_certificate", issued.pem), ("private_key", issued.key_pem)):
                usual[name] = str(tmp_path / name)
                (tmp_path / name).touch(mode=0o600)
                (tmp_path / name).write_bytes(content)
        changes = {"backend": {"imap": usual | imap}}
        with (
            run_proxy(demanding.port, {ALICE.user: DEMANDING}, **changes) as proxy,
            connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client,
        ):
            answers = [client.command(LOG_IN)[-1]]
            if answers[0].startswith(b"a OK"):
                answers.append(client.command(b'a LIST "" *')[-1])
        return answers

    return reach


def test_with_our_certificate_we_are_let_in(reach, demanding):
    own = PROXIES.issue(subject(CN="proxy"))
    for how in ({"tls": "starttls"}, {"tls": "implicit", "port": demanding.tls_port}):
        assert [answer[:4] for answer in reach(own, **how)] == [b"a OK", b"a OK"]


@pytest.mark.parametrize("shown", ["nothing", "another authority's"])
def test_without_a_good_one_we_are_not(reach, shown):
    issued = None if shown == "nothing" else Authority.make("Stranger").issue(subject(CN="proxy"))
    assert [answer[:4] for answer in reach(issued)] == [b"a NO"]


def test_in_clear_the_store_takes_no_password(reach):
    assert [answer[:4] for answer in reach(tls="none")] == [b"a NO"]
