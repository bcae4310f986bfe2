"""What the RFCs print, said to our side toward the client."""

import pytest

from mmp.model import Credentials, Offer, Refusal
from mmp.wire.events import LoggedIn, Login, Logout, Response, StartTLS
from tests.wire.pop3.transcripts import hold_with_client as hold

CLEAR = Offer(mechanisms=(), plaintext=False, starttls=True)
DIGESTS = Offer(mechanisms=("CRAM-MD5",), plaintext=False, starttls=False)


def logins(events):
    return [event.credentials for event in events if isinstance(event, Login)]


def test_user_and_pass_of_rfc_1939_7():
    events = hold("""
        C: USER mrose
        S: +OK mrose is a real hoopy frood
        C: PASS secret
        S: +OK mrose's maildrop has 2 messages (320 octets)
    """)
    assert logins(events) == [Credentials("USER", "mrose", b"secret")]


def test_a_locked_maildrop_of_rfc_1939_7():
    assert logins(
        hold(
            """
            C: USER mrose
            S: +OK mrose is a real hoopy frood
            C: PASS secret
            S: -ERR [IN-USE] maildrop already locked
            """,
            answers=[Refusal.MAILBOX_IN_USE],
        )
    )


def test_apop_of_rfc_1939_7():
    events = hold(
        """
        S: +OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>
        C: APOP mrose c4c9334bac560ecc979e58001b3e22fb
        S: +OK maildrop has 1 message (369 octets)
        """,
        offer=DIGESTS,
        greeted=False,
    )
    (credentials,) = logins(events)
    assert (credentials.mechanism, credentials.user, credentials.secret) == ("APOP", "mrose", b"")
    assert credentials.proves(b"tanstaaf")
    assert not credentials.proves(b"tanstaaF")


def test_quit_before_the_login_of_rfc_1939_4():
    assert hold("""
        C: QUIT
        S: +OK dewey POP3 server signing off
    """) == [Logout()]


def test_capabilities_of_rfc_2449_5():
    assert not hold(
        """
        C: CAPA
        S: +OK Capability list follows
        S: RESP-CODES
        S: AUTH-RESP-CODE
        S: TOP
        S: LOGIN-DELAY 900
        S: PIPELINING
        S: EXPIRE 60
        S: UIDL
        S: USER
        S: SASL PLAIN
        S: .
        """,
        capabilities=(
            b"TOP",
            b"USER",
            b"SASL CRAM-MD5 KERBEROS_V4",
            b"LOGIN-DELAY 900",
            b"PIPELINING",
            b"EXPIRE 60",
            b"UIDL",
            b"utf8 USER",
            b"LANG",
            b"STLS",
            b"IMPLEMENTATION Shlemazle-Plotz-v302",
        ),
    )


def test_stls_of_rfc_2595_4():
    events = hold(
        """
        C: CAPA
        S: +OK
        S: RESP-CODES
        S: AUTH-RESP-CODE
        S: STLS
        S: .
        C: STLS
        S: +OK Begin TLS negotiation
        <TLS negotiation, further commands are under TLS layer>
        C: STLS
        S: -ERR Command not permitted when TLS active
        C: CAPA
        S: +OK
        S: RESP-CODES
        S: AUTH-RESP-CODE
        S: USER
        S: SASL PLAIN
        S: .
        C: USER mrose
        S: +OK
        C: PASS tanstaaf
        S: +OK
        """,
        offer=CLEAR,
    )
    assert events == [StartTLS(), Login(Credentials("USER", "mrose", b"tanstaaf"))]


@pytest.mark.parametrize(
    "exchange",
    [
        """
        C: AUTH PLAIN dGVzdAB0ZXN0AHRlc3Q=
        S: +OK Maildrop locked and ready
        """,
        """
        C: auth plain
        S: +
        C: dGVzdAB0ZXN0AHRlc3Q=
        S: +OK Maildrop locked and ready
        """,
    ],
)
def test_plain_with_and_without_initial_response_of_rfc_5034_6(exchange):
    assert logins(hold(exchange)) == [Credentials("PLAIN", "test", b"test")]


def test_an_empty_initial_response_is_not_an_absent_one():
    assert not hold("""
        C: AUTH PLAIN =
        S: -ERR PLAIN has no empty message
        C: AUTH PLAIN
        S: +
        C:
        S: -ERR Nor here
    """)


def test_a_cancelled_exchange_is_an_error_and_another_may_follow():
    events = hold("""
        C: AUTH PLAIN
        S: +
        C: *
        S: -ERR cancelled
        C: AUTH PLAIN
        S: +
        C: dGVzdAB0ZXN0AHRlc3Q=
        S: +OK
    """)
    assert logins(events) == [Credentials("PLAIN", "test", b"test")]


def test_an_exchange_may_go_on_while_the_login_is_pending():
    events = hold(
        """
        C: AUTH PLAIN dGVzdAB0ZXN0AHRlc3Q=
        S: + eyJzdGF0dXMiOiI0MDEifQ==
        C:
        S: + Ym4=
        C: bjE=
        S: +OK
        """,
        answers=[b'{"status":"401"}', b"bn"],
    )
    assert events[1:] == [Response(b""), Response(b"n1")]


@pytest.mark.parametrize("line", ["*", "!!!!", "YQ", "=", "YQ== "])
def test_giving_it_up_then_is_reported_and_refused(line):
    events = hold(
        f"""
        C: AUTH PLAIN dGVzdAB0ZXN0AHRlc3Q=
        S: + bW9yZQ==
        C: {line}
        S: -ERR Given up
        C: NOOP
        S: +OK
        """,
        answers=[b"more", Refusal.CANCELLED],
    )
    assert events[1:] == [Response(None)]


def test_mechanisms_are_listed_to_those_who_ask_as_before_rfc_2449():
    assert not hold("""
        C: AUTH
        S: +OK
        S: PLAIN
        S: .
    """)


@pytest.mark.parametrize("command", ["USER mrose", "PASS secret", "AUTH PLAIN", "AUTH PLAIN dGVzdAB0ZXN0AHRlc3Q="])
def test_a_password_that_may_not_be_sent_is_refused_before_it_is(command):
    assert not hold(
        f"""
        C: {command}
        S: -ERR [SYS/PERM] Not without TLS
        C: NOOP
        S: +OK
        """,
        offer=CLEAR,
    )


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Refusal.BAD_CREDENTIALS, "[AUTH]"),
        (Refusal.BACKEND_UNAVAILABLE, "[SYS/TEMP]"),
        (Refusal.DIRECTORY_UNAVAILABLE, "[SYS/TEMP]"),
        (Refusal.MAILBOX_UNUSABLE, "[SYS/PERM]"),
        (Refusal.MAILBOX_IN_USE, "[IN-USE]"),
    ],
)
def test_refusals_with_the_codes_of_rfc_3206_and_2449(refusal, code):
    assert hold(
        f"""
        C: USER mrose
        S: +OK
        C: PASS secret
        S: -ERR {code} no
        C: PASS secret
        S: -ERR Say who first
        """,
        answers=[refusal],
    )


def test_the_words_of_the_store_answer_the_login():
    events = hold(
        """
        C: USER mrose
        S: +OK
        C: PASS secret
        S: +OK
        """,
        answers=[LoggedIn((), b"Maildrop ready", b"")],
    )
    assert len(events) == 1


def test_commands_of_rfc_6856_have_to_wait_for_the_store():
    assert not hold("""
        C: UTF8
        S: -ERR Not yet
        C: LANG de
        S: -ERR Not yet
    """)


def test_apop_is_not_there_where_passwords_are_not_known_to_us():
    assert not hold(
        """
        S: +OK mail.example.com ready
        C: APOP mrose c4c9334bac560ecc979e58001b3e22fb
        S: -ERR no
        """,
        greeted=False,
    )
