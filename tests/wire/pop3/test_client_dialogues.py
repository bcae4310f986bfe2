"""How our side toward the store goes from greeting to login, with stores of different abilities."""

import pytest

from mmp.errors import LocalProtocolError, Refused
from mmp.model import Endpoint, Origin, Refusal, Replay
from mmp.wire.events import Challenge, LoggedIn, LoginRefused, Ready, StartTLS
from mmp.wire.pop3.client import Client
from tests.wire.pop3.transcripts import hold_with_store as hold

TEST = Replay("test", b"test")
ORIGIN = Origin("s1", Endpoint("192.0.2.7", 50123), Endpoint("2001:db8::1", 110), ttl=5)
DOVECOT = """
        S: +OK Dovecot ready.
        C: CAPA
        S: +OK
        S: CAPA
        S: TOP
        S: UIDL
        S: RESP-CODES
        S: PIPELINING
        S: AUTH-RESP-CODE
        S: USER
        S: SASL PLAIN LOGIN
        S: .
"""
OLD = """
        S: +OK POP3 server ready
        C: CAPA
        S: -ERR what
"""


def last(transcript, replay=TEST, **options):
    return hold(transcript, replay, **options)[-1]


def test_plain_with_initial_response_of_rfc_5034_6():
    events = hold(
        DOVECOT
        + """
        C: AUTH PLAIN AHRlc3QAdGVzdA==
        S: +OK Maildrop locked and ready
        """,
        TEST,
    )
    assert events == [Ready(), LoggedIn((), b"Maildrop locked and ready", b"")]


def test_user_and_pass_of_rfc_1939_7_where_the_store_knows_no_better():
    assert last(
        OLD
        + """
        C: USER mrose
        S: +OK mrose is a real hoopy frood
        C: PASS tan sta af
        S: +OK mrose's maildrop has 2 messages (320 octets)
        """,
        Replay("mrose", b"tan sta af"),
    ) == LoggedIn((), b"mrose's maildrop has 2 messages (320 octets)", b"")


def test_user_and_pass_where_the_store_lists_them_and_no_plain():
    assert isinstance(
        last("""
        S: +OK hello
        C: CAPA
        S: +OK
        S: user
        S: SASL CRAM-MD5 KERBEROS_V4
        S: .
        C: USER test
        S: +OK
        C: PASS test
        S: +OK
        """),
        LoggedIn,
    )


def test_the_mechanism_login_where_there_is_nothing_else():
    assert isinstance(
        last("""
        S: +OK hello
        C: CAPA
        S: +OK
        S: SASL LOGIN
        S: .
        C: AUTH LOGIN
        S: + VXNlcm5hbWU6
        C: dGVzdA==
        S: + UGFzc3dvcmQ6
        C: dGVzdA==
        S: +OK
        """),
        LoggedIn,
    )


def test_acting_as_somebody_else_takes_plain():
    assert last(
        DOVECOT
        + """
        C: AUTH PLAIN VXJzZWwAS3VydAB4aXBqM3BsbXE=
        S: -ERR [AUTH] No such authorization-ID
        """,
        Replay("Kurt", b"xipj3plmq", authzid="Ursel"),
    ) == LoginRefused(Refusal.BAD_CREDENTIALS, "-ERR [AUTH] No such authorization-ID")


def test_stls_of_rfc_2595_4_comes_before_anything_else():
    events = hold(
        """
        S: +OK hello
        C: STLS
        S: +OK Begin TLS negotiation
        <TLS negotiation, further commands are under TLS layer>
        C: CAPA
        S: +OK
        S: SASL PLAIN
        S: .
        C: AUTH PLAIN AHRlc3QAdGVzdA==
        S: +OK in
        """,
        TEST,
        starttls=True,
    )
    assert events == [StartTLS(), Ready(), LoggedIn((), b"in", b"")]


@pytest.mark.parametrize("answer", ["+OK Updated", "-ERR Unknown command.", "+OK You are not trusted"])
def test_the_store_is_told_who_came_and_may_take_it_as_it_likes(answer):
    assert isinstance(
        last(
            DOVECOT
            + f"""
        C: XCLIENT ADDR=192.0.2.7 PORT=50123 DESTADDR=2001:db8::1 DESTPORT=110 SESSION=s1 TTL=5
        S: {answer}
        C: AUTH PLAIN AHRlc3QAdGVzdA==
        S: +OK in
        """,
            Replay("test", b"test", origin=ORIGIN),
        ),
        LoggedIn,
    )


def test_a_long_response_waits_to_be_asked_for():
    core = ready(b"SASL PLAIN\r\n")
    core.log_in(Replay("user", b"x" * 6000))
    assert core.data_to_send() == b"AUTH PLAIN\r\n"
    core.receive_data(b"+ \r\n")
    assert core.next_event() is None
    assert len(core.data_to_send()) == 8010


def test_the_longest_command_has_255_octets():
    for length in range(150, 200):
        core = ready(b"SASL PLAIN\r\n")
        core.log_in(Replay("user", b"x" * length))
        assert len(core.data_to_send()) <= 255


@pytest.mark.parametrize("challenge", ["+ bW9yZQ==", "+bW9yZQ=="])
def test_the_end_of_an_exchange_that_was_not_asked_for_ends_it(challenge):
    core = ready(b"SASL PLAIN\r\n")
    core.log_in(TEST)
    core.data_to_send()
    core.receive_data(challenge.encode() + b"\r\n")
    with pytest.raises(Exception, match=r"more than there is to say|Not a POP3"):
        core.next_event()


def test_a_mechanism_that_goes_on_asks_the_client():
    core = ready(b"SASL PLAIN XOAUTH2\r\n")
    core.log_in(Replay("test", b"token", mechanism="XOAUTH2"))
    assert core.data_to_send() == b"AUTH XOAUTH2 dXNlcj10ZXN0AWF1dGg9QmVhcmVyIHRva2VuAQE=\r\n"
    core.receive_data(b"+ eyJzdGF0dXMiOiI0MDEifQ==\r\n")
    assert core.next_event() == Challenge(b'{"status":"401"}')
    assert core.next_event() is None
    core.respond(b"")
    assert core.data_to_send() == b"\r\n"
    core.receive_data(b"+ Ym4=\r\n")
    assert core.next_event() == Challenge(b"bn")
    core.respond(b"n1")
    assert core.data_to_send() == b"bjE=\r\n"
    core.receive_data(b"-ERR [AUTH] no\r\n")
    assert core.next_event() == LoginRefused(Refusal.BAD_CREDENTIALS, "-ERR [AUTH] no")


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        ("-ERR [AUTH] wrong", Refusal.BAD_CREDENTIALS),
        ("-ERR [auth] wrong", Refusal.BAD_CREDENTIALS),
        ("-ERR wrong", Refusal.BACKEND_UNAVAILABLE),
        ("-ERR", Refusal.BACKEND_UNAVAILABLE),
        ("-ERR [SYS/TEMP] x", Refusal.BACKEND_UNAVAILABLE),
        ("-ERR [SYS/PERM] x", Refusal.MAILBOX_UNUSABLE),
        ("-ERR [IN-USE] x", Refusal.MAILBOX_IN_USE),
        ("-ERR [LOGIN-DELAY] x", Refusal.RATE_EXCEEDED),
        ("-ERR [REFERRAL/user@host] x", Refusal.BACKEND_UNAVAILABLE),
    ],
)
def test_what_a_refusal_means_of_a_store_that_has_codes(answer, refusal):
    event = last(
        DOVECOT
        + f"""
        C: AUTH PLAIN AHRlc3QAdGVzdA==
        S: {answer}
        """
    )
    assert isinstance(event, LoginRefused)
    assert event.refusal is refusal


@pytest.mark.parametrize("answer", ["-ERR wrong", "-ERR", "-ERR [AUTH] wrong"])
def test_a_refusal_of_a_store_without_codes_is_a_wrong_password(answer):
    event = last(
        OLD
        + f"""
        C: USER test
        S: +OK
        C: PASS test
        S: {answer}
        """
    )
    assert event.refusal is Refusal.BAD_CREDENTIALS


def test_a_name_may_be_refused_too():
    event = last(
        OLD
        + """
        C: USER test
        S: -ERR never heard of test
        """
    )
    assert event.refusal is Refusal.BAD_CREDENTIALS


def ready(capabilities):
    core = Client(starttls=False)
    core.receive_data(b"+OK hello\r\n")
    assert core.next_event() is None
    assert core.data_to_send() == b"CAPA\r\n"
    core.receive_data(b"+OK\r\n%b.\r\n" % capabilities if capabilities is not None else b"-ERR\r\n")
    assert core.next_event() == Ready()
    return core


@pytest.mark.parametrize(
    ("capabilities", "replay"),
    [
        (b"SASL PLAIN\r\n", Replay("us\0er", b"x")),
        (b"SASL PLAIN\r\n", Replay("user", b"x\0")),
        (b"SASL PLAIN\r\n", Replay("user", b"x", authzid="\0")),
        (b"USER\r\n", Replay("us\rer", b"x")),
        (b"USER\r\n", Replay("us\ner", b"x")),
        (b"USER\r\n", Replay("user", b"x\r\nDELE 1")),
        (b"USER\r\n", Replay("user", b"x\0")),
        (None, Replay("user", b"x\n")),
    ],
)
def test_what_cannot_be_said_is_not_said(capabilities, replay):
    core = ready(capabilities)
    with pytest.raises(Refused) as refused:
        core.log_in(replay)
    assert refused.value.refusal is Refusal.BAD_CREDENTIALS
    assert core.data_to_send() == b""


@pytest.mark.parametrize(
    ("capabilities", "replay"),
    [
        (b"TOP\r\n", TEST),
        (b"USER\r\nSASL PLAIN\r\n", Replay("test", b"token", mechanism="XOAUTH2")),
        (None, Replay("test", b"token", mechanism="XOAUTH2")),
        (b"SASL GSSAPI\r\n", TEST),
        (b"USER\r\nSASL LOGIN\r\n", Replay("admin", b"x", authzid="user")),
        (None, Replay("admin", b"x", authzid="user")),
    ],
)
def test_a_store_without_a_way_in_is_a_refusal(capabilities, replay):
    with pytest.raises(Refused) as refused:
        ready(capabilities).log_in(replay)
    assert refused.value.refusal is Refusal.BACKEND_UNAVAILABLE


def test_a_login_before_the_store_is_ready_is_our_own_fault():
    with pytest.raises(LocalProtocolError):
        Client(starttls=False).log_in(TEST)
    with pytest.raises(LocalProtocolError):
        ready(None).respond(b"")


def test_what_follows_the_ok_belongs_to_the_client():
    core = ready(b"SASL PLAIN\r\n")
    core.log_in(TEST)
    core.receive_data(b"+OK in\r\n+OK 2 320\r\n\0\xff")
    assert core.next_event() == LoggedIn((), b"in", b"+OK 2 320\r\n\0\xff")
    assert core.buffered == 0


def test_what_is_awaited_is_told():
    core = Client(starttls=True)
    phases = [core.phase]
    for octets in (b"+OK hello\r\n", b"+OK\r\n"):
        core.receive_data(octets)
        core.next_event()
        phases.append(core.phase)
    core.tls_started()
    phases.append(core.phase)
    core.receive_data(b"+OK\r\n")
    core.next_event()
    phases.append(core.phase)
    core.receive_data(b"SASL PLAIN\r\n.\r\n")
    core.next_event()
    core.log_in(Replay("test", b"test", origin=ORIGIN))
    phases.append(core.phase)
    core.receive_data(b"+OK\r\n")
    core.next_event()
    phases.append(core.phase)
    assert phases == [
        "greeting",
        "STLS",
        "TLS negotiation",
        "capabilities",
        "the rest of the capabilities",
        "XCLIENT",
        "login",
    ]
