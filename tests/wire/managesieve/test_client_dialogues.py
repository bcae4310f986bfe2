"""How our side toward the store goes from greeting to login, with stores of different abilities."""

import pytest

from mmp.errors import LocalProtocolError, Refused
from mmp.model import Endpoint, Origin, Refusal, Replay
from mmp.wire.events import Challenge, LoggedIn, LoginRefused, Ready, StartTLS
from mmp.wire.managesieve.client import Client
from tests.wire.managesieve.transcripts import hold_with_store as hold

TEST = Replay("test", b"test")
SCRAM = Replay("user", b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", mechanism="SCRAM-SHA-1")
ORIGIN = Origin("s1", Endpoint("192.0.2.7", 50123), Endpoint("2001:db8::1", 4190), ttl=5)
GREETING = """
        S: "IMPLEMENTATION" "Dovecot Pigeonhole"
        S: "SIEVE" "fileinto reject envelope"
        S: "NOTIFY" "mailto"
        S: "SASL" "PLAIN LOGIN SCRAM-SHA-1"
        S: "STARTTLS"
        S: "VERSION" "1.0"
        S: "XCLIENT"
        S: OK "Dovecot ready."
"""
NAMES = (b"IMPLEMENTATION", b"SIEVE", b"NOTIFY", b"SASL", b"STARTTLS", b"VERSION", b"XCLIENT")
LOG_IN = """
        C: AUTHENTICATE "PLAIN" "AHRlc3QAdGVzdA=="
"""


def last(transcript, replay=TEST, **options):
    return hold(transcript, replay, **options)[-1]


def test_plain_with_initial_response_of_2_1():
    events = hold(GREETING + LOG_IN + '\nS: OK "Logged in."', TEST)
    assert events == [Ready(), LoggedIn(NAMES, b"Logged in.", b"")]


def test_starttls_of_2_2_comes_before_anything_else():
    events = hold(
        GREETING
        + """
        C: STARTTLS
        S: oK
        <TLS negotiation, further commands are under TLS layer>
        S: "IMPLEMENTATION" "Example1 ManageSieved v001"
        S: "SASl" "plain DIGEST-MD5 GSSAPI"
        S: "SIeVE" "fileinto vacation"
        S: "VERSION" "1.0"
        S: "LANGUAGE" "fr"
        S: ok
        """
        + LOG_IN
        + "\nS: OK",
        TEST,
        starttls=True,
    )
    listed_anew = (b"IMPLEMENTATION", b"SASL", b"SIEVE", b"VERSION", b"LANGUAGE")
    assert events == [StartTLS(), Ready(), LoggedIn(listed_anew, b"", b"")]


@pytest.mark.parametrize("answer", ['OK "Updated"', 'NO "You are not from trusted IP"'])
def test_the_store_is_told_who_came_and_may_take_it_as_it_likes(answer):
    transcript = f"""
        C: XCLIENT ADDR=192.0.2.7 PORT=50123 DESTADDR=2001:db8::1 DESTPORT=4190 SESSION=s1 TTL=5
        S: {answer}
        """
    assert isinstance(
        last(GREETING + transcript + LOG_IN + "\nS: OK", Replay("test", b"test", origin=ORIGIN)), LoggedIn
    )


def test_a_store_that_takes_no_xclient_is_not_told():
    assert isinstance(
        last(
            GREETING.replace('S: "XCLIENT"\n', "") + LOG_IN + "\nS: OK",
            Replay("test", b"test", origin=ORIGIN),
        ),
        LoggedIn,
    )


def test_acting_as_somebody_else():
    assert last(
        GREETING
        + """
        C: AUTHENTICATE "PLAIN" "VXJzZWwAS3VydAB4aXBqM3BsbXE="
        S: NO "No such authorization-ID"
        """,
        Replay("Kurt", b"xipj3plmq", authzid="Ursel"),
    ) == LoginRefused(Refusal.BAD_CREDENTIALS, "NO No such authorization-ID")


def exchanging(replay=SCRAM):
    core = Client(starttls=False)
    core.receive_data(b'"SIEVE" ""\r\n"SASL" "SCRAM-SHA-1"\r\nOK\r\n')
    assert core.next_event() == Ready()
    core.log_in(replay)
    assert core.data_to_send() == b'AUTHENTICATE "SCRAM-SHA-1" "biwsbj11c2VyLHI9ZnlrbytkMmxiYkZnT05Sdjlxa3hkYXdM"\r\n'
    core.receive_data(b'"cj1meWtv"\r\n')
    assert core.next_event() == Challenge(b"r=fyko")
    assert core.next_event() is None
    core.respond(b"c=biws")
    assert core.data_to_send() == b'"Yz1iaXdz"\r\n'
    return core


def test_a_mechanism_whose_end_comes_as_a_challenge():
    core = exchanging()
    core.receive_data(b'"dj1ybQ=="\r\n')
    assert core.next_event() == Challenge(b"v=rm")
    core.respond(b"")
    assert core.data_to_send() == b'""\r\n'
    core.receive_data(b'OK "in"\r\nrest')
    assert core.next_event() == LoggedIn((b"SIEVE", b"SASL"), b"in", b"rest")


@pytest.mark.parametrize("final", [b'"dj1ybQ=="', b"{8}\r\ndj1ybQ=="])
def test_a_mechanism_whose_end_comes_with_the_ok_is_a_challenge_to_the_client(final):
    core = exchanging()
    core.receive_data(b'OK (SASL %b) "in"\r\nrest' % final)
    assert core.next_event() == Challenge(b"v=rm")
    assert core.next_event() is None
    core.respond(b"")
    assert core.data_to_send() == b""
    assert core.next_event() == LoggedIn((b"SIEVE", b"SASL"), b"in", b"rest")
    assert core.next_event() is None


def test_what_comes_with_the_ok_to_a_password_is_nobodys_business():
    assert isinstance(last(GREETING + LOG_IN + '\nS: OK (SASL "dj1ybQ==")'), LoggedIn)


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        ('NO "wrong"', Refusal.BAD_CREDENTIALS),
        ("NO", Refusal.BAD_CREDENTIALS),
        ('no (UNKNOWN "x") "wrong"', Refusal.BAD_CREDENTIALS),
        ('NO (TRANSITION-NEEDED) "x"', Refusal.BAD_CREDENTIALS),
        ('NO (TRYLATER) "x"', Refusal.BACKEND_UNAVAILABLE),
        ('NO (trylater/NORETRY) "x"', Refusal.BACKEND_UNAVAILABLE),
        ('NO (ENCRYPT-NEEDED) "x"', Refusal.PRIVACY_REQUIRED),
        ('NO (AUTH-TOO-WEAK) "x"', Refusal.PRIVACY_REQUIRED),
        ('NO (LIMIT/CONNECTIONS) "x"', Refusal.TOO_MANY_SESSIONS),
        ('NO (REFERRAL sieve://user@host) "x"', Refusal.BACKEND_UNAVAILABLE),
        ('BYE (REFERRAL "sieve://host") "x"', Refusal.BACKEND_UNAVAILABLE),
        ('BYE "too many"', Refusal.BACKEND_UNAVAILABLE),
    ],
)
def test_what_a_refusal_of_the_store_means(answer, refusal):
    event = last(GREETING + LOG_IN + f"\nS: {answer}")
    assert isinstance(event, LoginRefused)
    assert event.refusal is refusal


def ready(mechanisms=b"PLAIN"):
    core = Client(starttls=False)
    core.receive_data(b'"SIEVE" ""\r\n"SASL" "%b"\r\nOK\r\n' % mechanisms)
    assert core.next_event() == Ready()
    return core


@pytest.mark.parametrize("replay", [Replay("us\0er", b"x"), Replay("user", b"x\0"), Replay("user", b"x", authzid="\0")])
def test_nul_cannot_be_said(replay):
    core = ready()
    with pytest.raises(Refused) as refused:
        core.log_in(replay)
    assert refused.value.refusal is Refusal.BAD_CREDENTIALS
    assert core.data_to_send() == b""


@pytest.mark.parametrize(
    ("mechanisms", "replay"), [(b"", TEST), (b"LOGIN", TEST), (b"PLAIN", Replay("u", b"t", mechanism="XOAUTH2"))]
)
def test_a_store_without_a_way_in_is_a_refusal(mechanisms, replay):
    with pytest.raises(Refused) as refused:
        ready(mechanisms).log_in(replay)
    assert refused.value.refusal is Refusal.BACKEND_UNAVAILABLE


def test_a_long_response_goes_as_a_literal():
    core = ready()
    core.log_in(Replay("user", b"x" * 900))
    said = core.data_to_send()
    assert said.startswith(b'AUTHENTICATE "PLAIN" {1208+}\r\n')
    assert len(said.partition(b"\r\n")[2]) == 1208 + 2


def test_a_call_out_of_place_is_our_own_fault():
    with pytest.raises(LocalProtocolError):
        Client(starttls=False).log_in(TEST)
    with pytest.raises(LocalProtocolError):
        ready().respond(b"")


def test_what_is_awaited_is_told():
    core = Client(starttls=True)
    phases = [core.phase]
    for octets in (b'"SIEVE" ""\r\n"STARTTLS"\r\nOK\r\n', b"OK\r\n"):
        core.receive_data(octets)
        core.next_event()
        phases.append(core.phase)
    core.tls_started()
    phases.append(core.phase)
    core.receive_data(b'"SIEVE" ""\r\n"SASL" "PLAIN"\r\n"XCLIENT"\r\nOK\r\n')
    core.next_event()
    core.log_in(Replay("test", b"test", origin=ORIGIN))
    phases.append(core.phase)
    core.receive_data(b"OK\r\n")
    core.next_event()
    phases.append(core.phase)
    assert phases == ["greeting", "STARTTLS", "TLS negotiation", "capabilities", "XCLIENT", "login"]
