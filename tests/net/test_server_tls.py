"""What clients are shown and asked for in the handshake, over loopback."""

import subprocess
import time
from contextlib import suppress

import pytest
from attrs import evolve, frozen
from cryptography import x509
from OpenSSL import SSL

from mmp.config.clients import TLS
from mmp.encryption import Encryption, KeyRing
from mmp.model import CLEAR
from mmp.net.certificates import Chain, ClientTrust
from mmp.net.stream import Stream
from mmp.net.tls import FrontSettings, ServerTLS, front_ring
from tests.authority import Authority, ecdsa, key_pem, rsa_key, self_signed, subject
from tests.net.turning import SETTINGS, Told, connected
from tests.running import awaited

ROOT = Authority.make("Root for servers")
RING = front_ring(SETTINGS)[:1]
ALICE = subject(CN="Alice")


def shown(*hosts, key=None, staple=b"", **options):
    issued = ROOT.issue(subject(CN=hosts[0]), hosts=hosts, key=key, client=False, **options)
    return Chain(issued.pem, issued.key_pem, staple)


def accepting(*chains, ring=RING, settings=SETTINGS, trust=None):
    return ServerTLS(ring, settings, chains or [shown("mail.example")], period=lambda: 0, trust=trust)


def trust(*authorities, lists=(), require=False):
    return ClientTrust(b"".join(each.pem for each in authorities), b"".join(lists), require)


@frozen
class Shaken:
    """How a handshake ended: what we hold of it, and the client's side."""

    security: object
    client: SSL.Connection
    error: BaseException | None = None

    @property
    def certificate(self):
        return self.client.get_peer_certificate(as_cryptography=True)


def client_context(*, issued=None, version=None, level=1, ciphers="DEFAULT", protocols=(), min_version=None):
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_cipher_list(f"{ciphers}:@SECLEVEL={level}".encode())
    if min_version:
        context.set_min_proto_version(min_version)
    if version:
        context.set_max_proto_version(version)
    if protocols:
        context.set_alpn_protos(list(protocols))
    if issued is not None:
        context.use_certificate(issued.leaf)
        for other in issued.chain:
            context.add_extra_chain_cert(other)
        context.use_privatekey(issued.key)
    return context


@pytest.fixture
def shake(turning):
    opened = []

    def shake(tls, context=None, name=b"mail.example", protocol=b"", session=None):
        ours, theirs = connected()
        opened.append(theirs)
        stream = Stream(turning.loop, ours, Told())
        client = SSL.Connection(context or client_context(), theirs)
        if name:
            client.set_tlsext_host_name(name)
        if session:
            client.set_session(session)
        client.request_ocsp() if context and context.get_app_data() == "staple" else None
        client.set_connect_state()
        ended = []
        awaited(tls.start(stream, protocol)).addBoth(ended.append)
        faults = []

        def step():
            try:
                client.do_handshake()
            except (SSL.WantReadError, SSL.WantWriteError):
                return bool(ended)
            except SSL.Error as fault:
                faults.append(fault)
                return True
            return True

        turning.until(step)
        turning.until(lambda: ended)
        with suppress(SSL.Error):
            client.recv(1)  # takes in the tickets of TLS 1.3, or the alert
        if hasattr(ended[0], "value"):
            return Shaken(None, client, ended[0].value)
        return Shaken(ended[0], client)

    yield shake
    for each in opened:
        each.close()


class TestWhatIsShown:
    def test_rsa_and_ecdsa_stand_side_by_side_for_the_same_name(self, shake):
        tls = accepting(shown("mail.example", key=rsa_key()), shown("mail.example", key=ecdsa()))
        for suite, expected in (("ECDHE-RSA-AES128-GCM-SHA256", "RSA"), ("ECDHE-ECDSA-AES128-GCM-SHA256", "EC")):
            shaken = shake(tls, client_context(version=SSL.TLS1_2_VERSION, ciphers=suite))
            assert expected in type(shaken.certificate.public_key()).__name__

    def test_each_kind_of_key_has_its_own_chain(self, shake):
        chains = []
        for kind, key in (("RSA", rsa_key()), ("ECDSA", ecdsa())):
            between = Authority.make(f"Between, for {kind}", above=ROOT)
            issued = between.issue(subject(CN="mail.example"), hosts=["mail.example"], key=key, client=False)
            chains.append(Chain(issued.pem, issued.key_pem))
        tls = accepting(*chains)
        for kind in ("RSA", "ECDSA"):
            context = client_context(version=SSL.TLS1_2_VERSION, ciphers=f"ECDHE-{kind}-AES128-GCM-SHA256")
            sent = shake(tls, context).client.get_peer_cert_chain(as_cryptography=True)
            assert [each.subject for each in sent[1:]] == [subject(CN=f"Between, for {kind}")]

    def test_without_a_name_both_kinds_of_the_first_certificate_are_there(self, shake):
        tls = accepting(shown("a.example", key=rsa_key()), shown("b.example"), shown("c.example", "a.example"))
        context = client_context(version=SSL.TLS1_2_VERSION, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
        assert shake(tls, context, name=b"").certificate.subject == subject(CN="c.example")

    @pytest.mark.parametrize("name", [b"x" * 255, b".".join([b"a" * 62] * 4), b"\xff\xfe\x01", b"*.", b".", b"*"])
    def test_a_name_that_makes_no_sense_gets_the_first_certificate(self, shake, name):
        tls = accepting(shown("a.example"), shown("*.b.example"))
        shaken = shake(tls, name=name)
        assert shaken.security.encrypted
        assert shaken.certificate.subject == subject(CN="a.example")

    @pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
    def test_a_weak_certificate_is_shown_all_the_same(self, shake, version):
        tls = accepting(shown("mail.example", key=rsa_key(1024)))
        assert shake(tls, client_context(version=version, level=0)).security.encrypted

    def test_a_weak_certificate_weakens_no_other(self, shake):
        tls = accepting(shown("mail.example", key=rsa_key(1024)), shown("strong.example", key=rsa_key()))
        old = client_context(version=SSL.TLS1_2_VERSION, level=0, ciphers="AES128-SHA:@SECLEVEL=0")
        assert shake(tls, old, name=b"strong.example").security.cipher == "AES128-SHA"


class TestVersionsAndCiphers:
    @pytest.mark.parametrize(
        ("least", "newest", "taken"),
        [
            ("1.2", SSL.TLS1_1_VERSION, False),
            ("1.2", SSL.TLS1_2_VERSION, True),
            ("1.3", SSL.TLS1_2_VERSION, False),
            ("1.3", SSL.TLS1_3_VERSION, True),
            ("1.0", SSL.TLS1_VERSION, True),
            ("1.1", SSL.TLS1_1_VERSION, True),
            ("1.1", SSL.TLS1_VERSION, False),
        ],
    )
    def test_the_least_version_is_each_listeners_own(self, shake, least, newest, taken):
        settings = FrontSettings(least, 3600.0)
        tls = accepting(ring=front_ring(settings)[:1], settings=settings)
        context = client_context(version=newest, level=0, min_version=SSL.TLS1_VERSION)
        assert bool(shake(tls, context).security) is taken

    def test_our_order_of_ciphers_counts(self, shake):
        ours = ["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256"]
        tls = accepting(settings=evolve(SETTINGS, ciphers=":".join(ours)))
        theirs = client_context(version=SSL.TLS1_2_VERSION, ciphers=":".join(reversed(ours)))
        assert shake(tls, theirs).security.cipher == ours[0]

    def test_the_suites_of_tls13_are_the_configured_ones(self, shake):
        settings = FrontSettings("1.2", 3600.0, ciphersuites="TLS_CHACHA20_POLY1305_SHA256")
        tls = accepting(ring=front_ring(settings)[:1], settings=settings)
        security = shake(tls).security
        assert (security.cipher, security.bits) == ("TLS_CHACHA20_POLY1305_SHA256", 256)


class TestALPN:
    def test_a_client_for_this_protocol_is_told_so(self, shake):
        shaken = shake(accepting(), client_context(protocols=[b"pop3", b"imap"]), protocol=b"imap")
        assert shaken.client.get_alpn_proto_negotiated() == b"imap"

    @pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
    def test_a_client_for_another_protocol_is_turned_away(self, shake, version):
        shaken = shake(accepting(), client_context(protocols=[b"http/1.1", b"h2"], version=version), protocol=b"imap")
        assert "no application protocol in common" in str(shaken.error)

    def test_a_client_that_names_none_is_served(self, shake):
        assert shake(accepting(), protocol=b"imap").security.encrypted

    def test_any_will_do_where_we_have_no_name_ourselves(self, shake):
        assert shake(accepting(), client_context(protocols=[b"smtp"])).security.encrypted


class TestStaples:
    def asking(self, heard):
        context = client_context()
        context.set_ocsp_client_callback(lambda _connection, octets, _data: heard.append(octets) or True)
        context.set_app_data("staple")
        return context

    def stapled(self, shake, days, about=None):
        issued = ROOT.issue(subject(CN="mail.example"), hosts=["mail.example"], client=False)
        heard = []
        staple = ROOT.staple(about or issued, days=days)
        shake(accepting(Chain(issued.pem, issued.key_pem, staple)), self.asking(heard))
        return heard == [staple]

    def test_a_response_is_stapled_for_clients_that_ask(self, shake):
        assert self.stapled(shake, days=5)

    def test_a_response_that_is_too_old_is_not_sent(self, shake):
        assert not self.stapled(shake, days=-1)

    def test_a_response_about_another_certificate_is_not_sent(self, shake):
        assert not self.stapled(shake, days=5, about=ROOT.issue(subject(CN="other")))


class TestClientCertificates:
    OLD = Authority.make("Old CA for clients")
    NEW = Authority.make("New CA for clients")

    @pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
    def test_one_of_any_of_the_authorities_is_taken(self, shake, version):
        tls = accepting(trust=trust(self.OLD, self.NEW))
        for authority in (self.OLD, self.NEW):
            issued = authority.issue(ALICE)
            security = shake(tls, client_context(issued=issued, version=version)).security
            assert x509.load_der_x509_certificate(security.certificate) == issued.leaf

    def test_the_client_is_told_whose_certificates_we_take(self, shake):
        client = shake(accepting(trust=trust(self.OLD, self.NEW))).client
        assert {each.CN for each in client.get_client_ca_list()} == {"Old CA for clients", "New CA for clients"}

    def test_no_certificate_is_asked_for_without_authorities(self, shake):
        assert shake(accepting(), client_context(issued=self.OLD.issue(ALICE))).security.certificate == b""

    def test_a_client_without_one_is_served(self, shake):
        assert shake(accepting(trust=trust(self.OLD))).security.certificate == b""

    @pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
    def test_a_client_without_one_is_turned_away_where_one_is_required(self, shake, version):
        tls = accepting(trust=trust(self.OLD, require=True))
        assert shake(tls, client_context(version=version)).error
        assert shake(tls, client_context(version=version, issued=self.OLD.issue(ALICE))).security.certificate

    def test_one_behind_another_authority_is_taken_with_its_chain(self, shake):
        between = Authority.make("Between", above=self.OLD)
        assert shake(accepting(trust=trust(self.OLD)), client_context(issued=between.issue(ALICE))).security.certificate

    @pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
    @pytest.mark.parametrize(
        ("fault", "why"),
        [
            ("self-signed", "certificate verify failed (self-signed certificate"),
            ("a private authority's", "certificate verify failed (unable to get local issuer certificate"),
            ("chain far too long", "excessive message size"),
            ("expired", "certificate verify failed (certificate has expired"),
            ("another authority's", "certificate verify failed (unable to get local issuer certificate"),
            ("for servers", "certificate verify failed (unsuitable certificate purpose"),
            ("revoked", "certificate verify failed (certificate revoked"),
            ("of the system's trust", "certificate verify failed (unable to get local issuer certificate"),
        ],
    )
    def test_one_that_is_no_good_ends_the_handshake(self, shake, version, fault, why):
        lists = []
        issued = {
            "self-signed": lambda: self_signed(ALICE),
            "a private authority's": lambda: Authority.make("Nobody").issue(ALICE),
            "chain far too long": lambda: evolve(self_signed(ALICE), chain=(self.NEW.certificate,) * 400),
            "expired": lambda: self.OLD.issue(ALICE, days=-1),
            "another authority's": lambda: self.NEW.issue(ALICE),
            "for servers": lambda: self.OLD.issue(ALICE, client=False),
            "revoked": lambda: self.OLD.issue(ALICE),
            "of the system's trust": lambda: ROOT.issue(ALICE),
        }[fault]()
        if fault == "revoked":
            lists = [self.OLD.revoke(issued)]
        tls = accepting(trust=trust(self.OLD, lists=lists))
        assert why in str(shake(tls, client_context(issued=issued, version=version)).error)

    def test_one_that_is_not_on_the_list_is_taken(self, shake):
        tls = accepting(trust=trust(self.OLD, lists=[self.OLD.revoke(self.OLD.issue(subject(CN="Bob")))]))
        assert shake(tls, client_context(issued=self.OLD.issue(ALICE))).security.certificate

    def test_each_authority_has_its_own_list(self, shake):
        revoked = self.NEW.issue(ALICE)
        tls = accepting(trust=trust(self.OLD, self.NEW, lists=[self.OLD.revoke(), self.NEW.revoke(revoked)]))
        assert shake(tls, client_context(issued=self.OLD.issue(ALICE))).security.certificate
        assert shake(tls, client_context(issued=revoked)).error

    def test_with_lists_nobody_is_taken_whose_authority_has_none_or_one_out_of_date(self, shake):
        missing = accepting(trust=trust(self.OLD, self.NEW, lists=[self.OLD.revoke()]))
        assert shake(missing, client_context(issued=self.NEW.issue(ALICE))).error
        old = accepting(trust=trust(self.OLD, lists=[self.OLD.revoke(days=-1)]))
        assert shake(old, client_context(issued=self.OLD.issue(ALICE))).error

    @pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
    @pytest.mark.parametrize("change", ["nothing", "authority removed", "revoked", "expired", "no longer asked for"])
    def test_a_resumed_session_has_its_certificate_only_as_long_as_that_is_good(self, shake, version, change):
        issued = self.OLD.issue(ALICE)
        context = client_context(issued=issued, version=version)
        first = shake(accepting(trust=trust(self.OLD, self.NEW)), context)
        assert first.security.certificate
        now = {
            "nothing": trust(self.OLD, self.NEW),
            "authority removed": trust(self.NEW),
            "revoked": trust(self.OLD, lists=[self.OLD.revoke(issued)]),
            "expired": trust(self.OLD, lists=[self.OLD.revoke(days=-1)]),
            "no longer asked for": None,
        }[change]
        second = shake(accepting(trust=now), context, session=first.client.get_session())
        assert second.security.resumed
        assert bool(second.security.certificate) is (change == "nothing")

    def test_one_that_was_good_in_the_handshake_is_judged_by_what_is_known_now(self, shake):
        between = Authority.make("Between", above=self.OLD)
        issued, others = between.issue(ALICE), [self.OLD.revoke(), between.revoke()]
        security = shake(accepting(trust=trust(self.OLD)), client_context(issued=issued)).security
        assert accepting(trust=trust(self.OLD, self.NEW)).trusts(security)
        assert accepting(trust=trust(self.OLD, lists=others)).trusts(security)
        assert not accepting(trust=trust(self.OLD, lists=[self.OLD.revoke(), between.revoke(issued)])).trusts(security)
        assert not accepting(trust=trust(self.NEW)).trusts(security)
        assert not accepting(trust=trust()).trusts(security)
        assert not accepting().trusts(security)
        assert not accepting(trust=trust(self.OLD)).trusts(CLEAR)

    def test_where_nobody_is_trusted_any_more_clients_without_one_are_served(self, shake):
        assert shake(accepting(trust=trust())).security.certificate == b""
        assert shake(accepting(trust=trust()), client_context(issued=self.OLD.issue(ALICE))).error

    @pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
    def test_where_one_is_required_a_resumed_session_without_a_good_one_ends(self, shake, version):
        context = client_context(issued=self.OLD.issue(ALICE), version=version)
        first = shake(accepting(trust=trust(self.OLD, require=True)), context)
        second = shake(accepting(trust=trust(self.NEW, require=True)), context, session=first.client.get_session())
        assert "no certificate that is good now" in str(second.error)


VERSIONS = [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_is_good_for_its_period_of_keys_and_costs_a_full_handshake_afterwards(shake, version):
    periods = [0]
    tls = ServerTLS(front_ring(SETTINGS)[:3], SETTINGS, [shown("mail.example")], period=lambda: periods[-1])
    context = client_context(version=version)

    def resumed(earlier):
        shaken = shake(tls, context, session=earlier.client.get_session())
        return shaken.security.resumed

    first = shake(tls, context)
    assert resumed(first)
    periods.append(1)
    second = shake(tls, context, session=first.client.get_session())
    assert not second.security.resumed
    assert resumed(second)
    periods.append(7)  # behind the end of the ring, until another one is there
    assert not resumed(second)
    assert resumed(shake(tls, context))


@pytest.mark.parametrize("version", VERSIONS)
def test_periods_are_counted_from_when_the_keys_were_made(shake, version):
    chain, settings = shown("mail.example"), FrontSettings("1.2", 1000.0)
    ring, tls = front_ring(settings)[:3], TLS(certificate="c", private_key="k", key_period=1000.0)
    context = client_context(version=version)

    def shaken(age, **options):
        made = Encryption(
            {"c": chain.certificate, "k": chain.private_key}, {settings: KeyRing(ring, time.monotonic() - age)}
        )
        return shake(made.prepare(tls).now, context, **options)

    first = shaken(100.0)  # kept, since OpenSSL forgets the session of a connection that is dropped without a close
    assert shaken(800.0, session=first.client.get_session()).security.resumed
    assert not shaken(1100.0, session=first.client.get_session()).security.resumed


def test_what_is_renewed_is_shown_to_who_comes_next(shake):
    before, after = shown("mail.example"), shown("new.example")
    ring, tls = KeyRing(RING, time.monotonic()), TLS(certificate="c", private_key="k")
    encryption = Encryption(
        {"c": before.certificate, "k": before.private_key}, {FrontSettings(tls.min_version, tls.key_period): ring}
    )
    accepting = encryption.prepare(tls)
    encryption.renew({"c": after.certificate, "k": after.private_key})
    assert shake(accepting.now).certificate.subject == subject(CN="new.example")


def test_a_key_that_cannot_be_read_changes_nothing_for_anybody(shake):
    before, after = shown("mail.example"), shown("new.example")
    ring, tls = KeyRing(RING, time.monotonic()), TLS(certificate="c", private_key="k")
    encryption = Encryption(
        {"c": before.certificate, "k": before.private_key, "d": before.certificate, "l": before.private_key},
        {FrontSettings(tls.min_version, tls.key_period): ring},
    )
    accepting = encryption.prepare(tls)
    encryption.prepare(TLS(certificate="d", private_key="l"))
    with pytest.raises(ValueError, match="PEM"):
        encryption.renew({"c": after.certificate, "k": after.private_key, "l": b"no key"})
    assert shake(accepting.now).certificate.subject == subject(CN="mail.example")


def test_a_digest_out_of_use_is_shown_all_the_same(shake, tmp_path):
    """Python's library signs with it no more, so OpenSSL's program does."""
    issued = ROOT.issue(subject(CN="mail.example"), key=rsa_key(), client=False)
    (tmp_path / "key").write_bytes(issued.key_pem)
    (tmp_path / "root").write_bytes(ROOT.pem + key_pem(ROOT.key))
    request = ["openssl", "req", "-new", "-key", tmp_path / "key", "-subj", "/CN=mail.example"]
    sign = ["openssl", "x509", "-req", "-sha1", "-CA", tmp_path / "root", "-days", "5"]
    asked = subprocess.run(request, check=True, capture_output=True)
    signed = subprocess.run(sign, check=True, capture_output=True, input=asked.stdout).stdout
    assert shake(accepting(Chain(signed, issued.key_pem)), client_context(level=0)).security.encrypted
