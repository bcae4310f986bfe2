"""How our side toward the store goes from greeting to login, with relays of different abilities."""

import pytest

from mmp.errors import LocalProtocolError, Refused
from mmp.model import Endpoint, Origin, Refusal, Replay
from mmp.wire.events import Challenge, LoggedIn, LoginRefused, Ready, StartTLS
from mmp.wire.submission.client import Client
from tests.wire.submission.transcripts import hold_with_store as hold

TEST = Replay("test", b"1234")
CLIENT, OURS = Endpoint("192.0.2.7", 50123), Endpoint("2001:db8::1", 587)
ORIGIN = Origin("s1", CLIENT, OURS, ttl=5, greeting="client.example.com")
JUDGED = Origin("s1", CLIENT, OURS, ttl=5, greeting="client.example.com", user="test")
HELLO = """
        S: 220 relay.example.com ESMTP
        C: EHLO proxy.example.com
"""
AUTH = (
    HELLO
    + """
        S: 250-relay.example.com
        S: 250-PIPELINING
        S: 250-AUTH PLAIN LOGIN XOAUTH2
        S: 250 SMTPUTF8
"""
)
LINES = (b"PIPELINING", b"AUTH PLAIN LOGIN XOAUTH2", b"SMTPUTF8")
TRUSTING = (
    HELLO
    + """
        S: 250-relay.example.com
        S: 250-AUTH PLAIN
        S: 250 XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT
"""
)
WITHOUT_AUTH = (
    HELLO
    + """
        S: 250-relay.example.com
        S: 250 XCLIENT NAME ADDR PROTO HELO PORT LOGIN DESTADDR DESTPORT
"""
)
XCLIENT_LINE = b"XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT"
XCLIENT_WITHOUT_AUTH = b"XCLIENT NAME ADDR PROTO HELO PORT LOGIN DESTADDR DESTPORT"
TOLD = "ADDR=192.0.2.7 PORT=50123 NAME=[UNAVAILABLE] PROTO=ESMTP HELO=client.example.com"
THERE = "DESTADDR=IPV6:2001:db8::1 DESTPORT=587"


def last(transcript, replay=TEST, **options):
    return hold(transcript, replay, **options)[-1]


def test_plain_of_rfc_4954_4_1():
    events = hold(
        AUTH
        + """
        C: AUTH PLAIN AHRlc3QAMTIzNA==
        S: 235 2.7.0 Authentication successful
        """,
        TEST,
    )
    assert events == [Ready(), LoggedIn(LINES, b"Authentication successful", b"")]


def test_starttls_of_rfc_4954_4_1_forgets_what_was_offered_before():
    events = hold(
        """
        S: 220-relay.example.com says
        S: 220 hello
        C: EHLO proxy.example.com
        S: 250-relay.example.com
        S: 250-AUTH PLAIN XOAUTH2
        S: 250 STARTTLS
        C: STARTTLS
        S: 220 Ready to start TLS
        <TLS>
        C: EHLO proxy.example.com
        S: 250-relay.example.com
        S: 250 AUTH LOGIN
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: dGVzdA==
        S: 334 UGFzc3dvcmQ6
        C: MTIzNA==
        S: 235-2.7.0 Well
        S: 235 2.7.0 done
        """,
        TEST,
        starttls=True,
    )
    assert events == [StartTLS(), Ready(), LoggedIn((b"AUTH LOGIN",), b"done", b"")]


def test_acting_as_somebody_else_takes_plain():
    event = last(
        AUTH
        + """
        C: AUTH PLAIN VXJzZWwAS3VydAB4aXBqM3BsbXE=
        S: 535 5.7.8 No such authorization-ID
        """,
        Replay("Kurt", b"xipj3plmq", authzid="Ursel"),
    )
    assert event == LoginRefused(Refusal.BAD_CREDENTIALS, "535 5.7.8 No such authorization-ID")


def test_the_relay_is_told_who_came_before_the_login():
    events = hold(
        TRUSTING
        + f"""
        C: XCLIENT {TOLD} {THERE}
        S: 220 relay.example.com ESMTP
        C: EHLO client.example.com
        S: 250-relay.example.com
        S: 250 AUTH PLAIN
        C: AUTH PLAIN AHRlc3QAMTIzNA==
        S: 235 2.7.0 in
        """,
        Replay("test", b"1234", origin=ORIGIN),
    )
    assert events == [Ready(), LoggedIn((b"AUTH PLAIN", XCLIENT_LINE), b"in", b"")]


def test_a_relay_with_auth_judges_for_itself_even_whom_we_have_judged():
    assert isinstance(
        last(
            TRUSTING
            + f"""
        C: XCLIENT {TOLD} {THERE}
        S: 220 relay.example.com ESMTP
        C: EHLO client.example.com
        S: 250-relay.example.com
        S: 250 AUTH PLAIN
        C: AUTH PLAIN AHRlc3QAMTIzNA==
        S: 235 2.7.0 in
        """,
            Replay("test", b"1234", origin=JUDGED),
        ),
        LoggedIn,
    )


def test_whom_we_have_judged_is_logged_in_by_xclient_where_there_is_no_auth():
    events = hold(
        WITHOUT_AUTH
        + f"""
        C: XCLIENT {TOLD} LOGIN=test {THERE}
        S: 220 relay.example.com ESMTP
        C: EHLO client.example.com
        S: 250-relay.example.com
        S: 250 DSN
        """,
        Replay("test", b"1234", origin=JUDGED),
    )
    assert events == [Ready(), LoggedIn((b"DSN", XCLIENT_WITHOUT_AUTH), b"", b"")]


def test_nobody_is_logged_in_by_xclient_whom_nobody_has_judged():
    for replay in (TEST, Replay("test", b"1234", origin=ORIGIN)):
        core = ready(b"250-r\r\n250 XCLIENT ADDR LOGIN\r\n")
        with pytest.raises(Refused) as refused:
            core.log_in(replay)
        assert refused.value.refusal is Refusal.BACKEND_UNAVAILABLE
        assert core.data_to_send() == b""


def test_a_relay_that_refuses_xclient_may_still_take_auth():
    assert isinstance(
        last(
            TRUSTING
            + f"""
        C: XCLIENT {TOLD} {THERE}
        S: 550 5.7.0 insufficient authorization
        C: AUTH PLAIN AHRlc3QAMTIzNA==
        S: 235 2.7.0 in
        """,
            Replay("test", b"1234", origin=ORIGIN),
        ),
        LoggedIn,
    )


@pytest.mark.parametrize(
    ("capabilities", "origin", "answer"),
    [
        (WITHOUT_AUTH, JUDGED, "550 5.7.0 insufficient authorization"),
        (WITHOUT_AUTH, JUDGED, "501 5.5.4 bad syntax"),
        (TRUSTING, ORIGIN, "421 4.3.0 going"),
    ],
)
def test_a_relay_that_refuses_xclient_where_that_is_all_there_is(capabilities, origin, answer):
    login = "LOGIN=test " if origin is JUDGED else ""
    event = last(
        capabilities
        + f"""
        C: XCLIENT {TOLD} {login}{THERE}
        S: {answer}
        """,
        Replay("test", b"1234", origin=origin),
    )
    assert event == LoginRefused(Refusal.BACKEND_UNAVAILABLE, answer)


def test_only_what_the_relay_lists_is_told():
    core = ready(b"250-r\r\n250-AUTH PLAIN\r\n250 xclient addr helo\r\n")
    core.log_in(Replay("test", b"1234", origin=ORIGIN))
    assert core.data_to_send() == b"XCLIENT ADDR=192.0.2.7 HELO=client.example.com\r\n"


@pytest.mark.parametrize(
    ("greeting", "told", "said"),
    [
        ("", "[UNAVAILABLE]", "proxy.example.com"),
        ("[192.0.2.9]", "[192.0.2.9]", "[192.0.2.9]"),
        ("[IPv6:2001:db8::9]", "[IPv6:2001:db8::9]", "[IPv6:2001:db8::9]"),
        ("laptop", "laptop", "laptop"),
        ("a+b=c", "a+2Bb+3Dc", "proxy.example.com"),
        ("jürgen", "j+C3+BCrgen", "proxy.example.com"),
        ("x\r\nMAIL", "x+0D+0AMAIL", "proxy.example.com"),
        ("under_score", "under_score", "proxy.example.com"),
        ("ü" * 250, "[UNAVAILABLE]", "proxy.example.com"),
    ],
)
def test_whatever_the_client_calls_itself_can_be_told(greeting, told, said):
    core = ready(b"250-r\r\n250-AUTH PLAIN\r\n250 XCLIENT HELO\r\n")
    core.log_in(Replay("test", b"1234", origin=Origin("s1", CLIENT, OURS, ttl=5, greeting=greeting)))
    assert core.data_to_send() == f"XCLIENT HELO={told}\r\n".encode()
    core.receive_data(b"220 again\r\n")
    assert core.next_event() is None
    assert core.data_to_send() == f"EHLO {said}\r\n".encode()


def test_an_address_in_brackets_of_ipv6_has_the_prefix():
    core = ready(b"250-r\r\n250-AUTH PLAIN\r\n250 XCLIENT ADDR PORT\r\n")
    core.log_in(Replay("test", b"1234", origin=Origin("s1", Endpoint("2001:db8::7", 1), OURS, ttl=5)))
    assert core.data_to_send() == b"XCLIENT ADDR=IPV6:2001:db8::7 PORT=1\r\n"


def test_a_name_with_odd_characters_is_told_in_xtext():
    core = ready(b"250-r\r\n250 XCLIENT LOGIN\r\n")
    core.log_in(Replay("x", b"1234", origin=Origin("s1", CLIENT, OURS, ttl=5, user="jür gen+x=y@example.com")))
    assert core.data_to_send() == b"XCLIENT LOGIN=j+C3+BCr+20gen+2Bx+3Dy@example.com\r\n"


def test_a_relay_that_takes_no_xclient_is_not_told():
    core = ready(b"250-r\r\n250 AUTH PLAIN\r\n")
    core.log_in(Replay("test", b"1234", origin=JUDGED))
    assert core.data_to_send() == b"AUTH PLAIN AHRlc3QAMTIzNA==\r\n"


def test_a_long_response_waits_to_be_asked_for():
    core = ready(b"250-r\r\n250 AUTH PLAIN\r\n")
    core.log_in(Replay("user", b"x" * 6000))
    assert core.data_to_send() == b"AUTH PLAIN\r\n"
    core.receive_data(b"334 \r\n")
    assert core.next_event() is None
    assert len(core.data_to_send()) == 8010


def test_the_longest_command_has_512_octets():
    for length in range(350, 400):
        core = ready(b"250-r\r\n250 AUTH PLAIN\r\n")
        core.log_in(Replay("user", b"x" * length))
        assert len(core.data_to_send()) <= 512


def test_a_mechanism_that_goes_on_asks_the_client():
    core = ready(b"250-r\r\n250 AUTH PLAIN XOAUTH2\r\n")
    core.log_in(Replay("test", b"token", mechanism="XOAUTH2"))
    assert core.data_to_send() == b"AUTH XOAUTH2 dXNlcj10ZXN0AWF1dGg9QmVhcmVyIHRva2VuAQE=\r\n"
    core.receive_data(b"334 eyJzdGF0dXMiOiI0MDEifQ==\r\n")
    assert core.next_event() == Challenge(b'{"status":"401"}')
    assert core.next_event() is None
    core.respond(b"")
    assert core.data_to_send() == b"\r\n"
    core.receive_data(b"535 5.7.8 no\r\n")
    assert core.next_event() == LoginRefused(Refusal.BAD_CREDENTIALS, "535 5.7.8 no")


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        ("535 5.7.8 wrong", Refusal.BAD_CREDENTIALS),
        ("535 wrong", Refusal.BAD_CREDENTIALS),
        ("535", Refusal.BAD_CREDENTIALS),
        ("534 5.7.9 too weak", Refusal.NOT_AUTHORIZED),
        ("550 5.7.1 no", Refusal.NOT_AUTHORIZED),
        ("432 4.7.12 change it", Refusal.PASSWORD_MUST_CHANGE),
        ("525 5.7.13 disabled", Refusal.ACCOUNT_DISABLED),
        ("454 4.7.0 later", Refusal.BACKEND_UNAVAILABLE),
        ("421 4.3.2 going", Refusal.BACKEND_UNAVAILABLE),
        ("451 4.3.0 later", Refusal.BACKEND_UNAVAILABLE),
        ("530 5.7.0 STARTTLS first", Refusal.BACKEND_UNAVAILABLE),
        ("538 5.7.11 STARTTLS first", Refusal.BACKEND_UNAVAILABLE),
        ("503 5.5.1 AUTH?", Refusal.BACKEND_UNAVAILABLE),
        ("504 5.5.4 PLAIN?", Refusal.BACKEND_UNAVAILABLE),
        ("250 what", Refusal.BACKEND_UNAVAILABLE),
    ],
)
def test_what_a_refusal_means(answer, refusal):
    event = last(
        AUTH
        + f"""
        C: AUTH PLAIN AHRlc3QAMTIzNA==
        S: {answer}
        """
    )
    assert isinstance(event, LoginRefused)
    assert event.refusal is refusal


def ready(capabilities):
    core = Client(starttls=False, hostname="proxy.example.com")
    core.receive_data(b"220 hello\r\n")
    assert core.next_event() is None
    assert core.data_to_send() == b"EHLO proxy.example.com\r\n"
    core.receive_data(capabilities)
    assert core.next_event() == Ready()
    return core


@pytest.mark.parametrize("replay", [Replay("us\0er", b"x"), Replay("user", b"x\0"), Replay("user", b"x", authzid="\0")])
def test_what_cannot_be_said_is_not_said(replay):
    core = ready(b"250-r\r\n250 AUTH PLAIN\r\n")
    with pytest.raises(Refused) as refused:
        core.log_in(replay)
    assert refused.value.refusal is Refusal.BAD_CREDENTIALS
    assert core.data_to_send() == b""


@pytest.mark.parametrize(
    ("capabilities", "replay"),
    [
        (b"250 r\r\n", TEST),
        (b"250-r\r\n250 AUTH\r\n", TEST),
        (b"250-r\r\n250 AUTH=PLAIN\r\n", TEST),
        (b"250-r\r\n250 AUTH PLAIN\r\n", Replay("test", b"token", mechanism="XOAUTH2")),
        (b"250-r\r\n250 AUTH GSSAPI\r\n", TEST),
        (b"250-r\r\n250 AUTH LOGIN\r\n", Replay("admin", b"x", authzid="user")),
        (b"250-r\r\n250 XCLIENT ADDR\r\n", Replay("test", b"x", origin=JUDGED)),
    ],
)
def test_a_relay_without_a_way_in_is_a_refusal(capabilities, replay):
    with pytest.raises(Refused) as refused:
        ready(capabilities).log_in(replay)
    assert refused.value.refusal is Refusal.BACKEND_UNAVAILABLE


def test_a_login_before_the_relay_is_ready_is_our_own_fault():
    with pytest.raises(LocalProtocolError):
        Client(starttls=False, hostname="h").log_in(TEST)
    with pytest.raises(LocalProtocolError):
        ready(b"250 r\r\n").respond(b"")


def test_what_follows_the_235_belongs_to_the_client():
    core = ready(b"250-r\r\n250 AUTH PLAIN\r\n")
    core.log_in(TEST)
    core.receive_data(b"235 2.7.0 in\r\n421 4.3.2 bye\r\n\0\xff")
    assert core.next_event() == LoggedIn((b"AUTH PLAIN",), b"in", b"421 4.3.2 bye\r\n\0\xff")
    assert core.buffered == 0


def test_what_is_awaited_is_told():
    core = Client(starttls=True, hostname="h")
    phases = [core.phase]
    for octets in (b"220 hello\r\n", b"250-r\r\n250 STARTTLS\r\n", b"220 go\r\n"):
        core.receive_data(octets)
        core.next_event()
        phases.append(core.phase)
    core.tls_started()
    phases.append(core.phase)
    core.receive_data(b"250-r\r\n250-XCLIENT ADDR\r\n250 AUTH PLAIN\r\n")
    core.next_event()
    phases.append(core.phase)
    core.log_in(Replay("test", b"test", origin=ORIGIN))
    phases.append(core.phase)
    for octets in (b"220 again\r\n", b"250-r\r\n250 AUTH PLAIN\r\n"):
        core.receive_data(octets)
        core.next_event()
        phases.append(core.phase)
    assert phases == [
        "greeting",
        "capabilities",
        "STARTTLS",
        "TLS negotiation",
        "capabilities",
        "ready",
        "XCLIENT",
        "capabilities after XCLIENT",
        "login",
    ]
