"""Handshakes toward stores: why one is not trusted, what we show, and sessions that are resumed."""

import ssl

import pytest
from attrs import frozen
from twisted.internet.defer import Deferred

from mmp.net.certificates import Chain
from mmp.net.stream import Stream
from mmp.net.tls import MOST_SESSIONS, ClientTLS, UntrustedError
from tests.authority import Authority, subject
from tests.net.turning import Peer, Told, connected

ROOT = Authority.make("Root of stores")
CLIENTS = Authority.make("Authority of proxies")


@pytest.fixture
def store_context(tmp_path):
    """Makes contexts of the standard library, to play the store with."""

    def make(*hosts, version=None, authority=ROOT, days=10, asks=False):
        issued = authority.issue(subject(CN="store"), hosts=hosts or ["store.example"], client=False, days=days)
        (tmp_path / "pem").write_bytes(issued.key_pem + issued.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "pem")
        if version:
            context.maximum_version = version
        if asks:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=CLIENTS.pem.decode())
        return context

    return make


@frozen
class Shaken:
    security: object
    stream: Stream
    store: ssl.SSLSocket


@pytest.fixture
def shake(turning):
    opened = []

    def shake(tls, context, host="store.example"):
        ours, theirs = connected()
        told = Told()
        stream, peer = Stream(turning.loop, ours, told), Peer(turning, theirs)
        opened.append(peer)
        shaken = Deferred.fromCoroutine(tls.start(stream, host))
        try:
            peer.start_tls(context, server_side=True)
        except OSError:
            pass
        security = turning.outcome(shaken)
        peer.send(b"greeting")
        turning.until(lambda: told.octets == b"greeting")
        tls.remember(stream, host)
        return Shaken(security, stream, peer.sock)

    yield shake
    for each in opened:
        each.close()


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_next_connection_to_a_host_resumes_the_session(shake, store_context, version):
    tls, context = ClientTLS(ca=ROOT.pem), store_context(version=version)
    assert [shake(tls, context).security.resumed for _ in range(3)] == [False, True, True]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_of_one_host_is_never_shown_to_another(shake, store_context, version):
    tls, context = ClientTLS(ca=ROOT.pem), store_context("one.example", "two.example", version=version)
    hosts = ["one.example", "two.example", "one.example", "two.example"]
    assert [shake(tls, context, host).security.resumed for host in hosts] == [False, False, True, True]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_store_that_has_lost_its_keys_costs_a_full_handshake_and_nothing_else(shake, store_context, version):
    tls = ClientTLS(ca=ROOT.pem)
    assert not shake(tls, store_context(version=version)).security.resumed
    assert not shake(tls, store_context(version=version)).security.resumed


def test_the_name_is_checked_in_a_resumed_session_as_well(shake, store_context):
    tls, context = ClientTLS(ca=ROOT.pem), store_context("one.example")
    first = shake(tls, context, "one.example")
    tls.remember(first.stream, "two.example")
    with pytest.raises(UntrustedError, match=r"not for two\.example"):
        shake(tls, context, "two.example")


def test_only_so_many_sessions_are_kept(shake, store_context):
    tls = ClientTLS(ca=ROOT.pem)
    stream = shake(tls, store_context()).stream
    for number in range(MOST_SESSIONS + 10):
        tls.remember(stream, f"store{number}")
    assert len(tls._sessions) == MOST_SESSIONS


STRANGER = Authority.make("Stranger")


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"authority": STRANGER}, "unable to get local issuer certificate"),
        ({"days": -1}, "certificate has expired"),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_why_a_certificate_is_not_trusted_is_told(shake, store_context, bad, why, version):
    with pytest.raises(UntrustedError, match=f"the certificate of store.example: {why}"):
        shake(ClientTLS(ca=ROOT.pem), store_context(version=version, **bad))


def test_the_systems_authorities_are_no_trust_where_a_file_is_given(shake, store_context):
    with pytest.raises(UntrustedError):
        shake(ClientTLS(ca=CLIENTS.pem), store_context())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_store_that_asks_is_shown_our_certificate(shake, store_context, version):
    own = CLIENTS.issue(subject(CN="proxy"))
    tls = ClientTLS(ca=ROOT.pem, own=Chain(own.pem, own.key_pem))
    shown = shake(tls, store_context(asks=True, version=version)).store.getpeercert()
    assert shown["subject"] == ((("commonName", "proxy"),),)


def test_a_store_that_does_not_speak_tls_is_at_fault_and_not_untrusted(turning):
    ours, theirs = connected()
    stream, peer = Stream(turning.loop, ours, Told()), Peer(turning, theirs)
    shaken = Deferred.fromCoroutine(ClientTLS(ca=ROOT.pem).start(stream, "store.example"))
    peer.send(b"* OK in clear\r\n")
    with pytest.raises(ConnectionError) as told:
        turning.outcome(shaken)
    assert not isinstance(told.value, UntrustedError)
    peer.close()
