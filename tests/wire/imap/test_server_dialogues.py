"""What the RFCs print, said to our side toward the client."""

import base64

import pytest

from mmp.model import Credentials, Offer, Refusal
from mmp.wire.events import LoggedIn, Login, Logout, Response, StartTLS
from mmp.wire.imap.server import Server
from tests.dialogue import hold_as_server

CLEAR = Offer(mechanisms=(), plaintext=False, starttls=True)
OPEN = Offer(mechanisms=("PLAIN",), plaintext=True, starttls=False)


def hold(transcript, *, offer=OPEN, greeted=True, answers=(), capabilities=()):
    core = Server(
        offer=offer, hostname="mail.example.com", timestamp=b"<1.2@mail.example.com>", capabilities=capabilities
    )
    core.greet()
    if greeted:
        core.data_to_send()
    return hold_as_server(core, transcript, answers=answers)


def logins(events):
    return [event.credentials for event in events if isinstance(event, Login)]


def test_login_of_rfc_9051_6_2_3():
    events = hold("""
        C: a001 LOGIN SMITH SESAME
        S: a001 OK LOGIN completed
    """)
    assert logins(events) == [Credentials("LOGIN", "SMITH", b"SESAME")]


def test_sample_connection_of_rfc_3501_8():
    events = hold(
        """
        S:   * OK IMAP4rev1 Service Ready
        C:   a001 login mrc secret
        S:   a001 OK LOGIN completed
        """,
        greeted=False,
    )
    assert logins(events) == [Credentials("LOGIN", "mrc", b"secret")]


def test_literals_of_rfc_3501_7_5():
    events = hold("""
        C: A001 LOGIN {11}
        S: + Ready for additional command text
        C: FRED FOOBAR {7}
        S: + Ready for additional command text
        C: fat man
        S: A001 OK LOGIN completed
    """)
    assert logins(events) == [Credentials("LOGIN", "FRED FOOBAR", b"fat man")]


def test_unknown_command_with_a_literal_of_rfc_3501_7_5():
    assert not hold("""
        C: A043 NOOP
        S: A043 OK NOOP completed
        C: A044 BLURDYBLOOP {102856}
        S: A044 BAD No such command as "BLURDYBLOOP"
    """)


def test_non_synchronizing_literals_of_rfc_7888_3():
    events = hold("""
        C: A001 LOGIN {11+}
        C: FRED FOOBAR {7+}
        C: fat man
        S: A001 OK LOGIN completed
        """)
    assert logins(events) == [Credentials("LOGIN", "FRED FOOBAR", b"fat man")]


def test_quoted_strings_of_rfc_7888_3():
    events = hold("""
        C: A001 LOGIN "FRED FOOBAR" "fat man"
        S: A001 OK LOGIN completed
    """)
    assert logins(events) == [Credentials("LOGIN", "FRED FOOBAR", b"fat man")]


def test_starttls_of_rfc_3501_6_2_1():
    events = hold(
        """
        C: a001 CAPABILITY
        S: * CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED
        S: a001 OK CAPABILITY completed
        C: a002 STARTTLS
        S: a002 OK Begin TLS negotiation now
        <TLS negotiation, further commands are under [TLS] layer>
        C: a003 CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN
        S: a003 OK CAPABILITY completed
        C: a004 LOGIN joe password
        S: a004 OK LOGIN completed
        """,
        offer=CLEAR,
    )
    assert events == [StartTLS(), Login(Credentials("LOGIN", "joe", b"password"))]


def test_initial_response_of_rfc_9051_6_2_2():
    events = hold(
        """
        S: * OK [CAPABILITY IMAP4rev1 SASL-IR ID LITERAL+ STARTTLS LOGINDISABLED] Server ready
        C: A01 STARTTLS
        S: A01 OK STARTTLS completed
        <TLS negotiation, further commands are under TLS layer>
        C: A02 CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN
        S: A02 OK CAPABILITY completed
        C: A03 AUTHENTICATE PLAIN dGVzdAB0ZXN0AHRlc3Q=
        S: A03 OK Success (tls protection)
        """,
        offer=CLEAR,
        greeted=False,
    )
    assert logins(events) == [Credentials("PLAIN", "test", b"test")]


@pytest.mark.parametrize(
    "exchange",
    [
        """
        C: A01 AUTHENTICATE PLAIN dGVzdAB0ZXN0AHRlc3Q=
        S: A01 OK Success (tls protection)
        """,
        """
        C: A01 AUTHENTICATE PLAIN
        S: +
        C: dGVzdAB0ZXN0AHRlc3Q=
        S: A01 OK Success (tls protection)
        """,
    ],
)
def test_plain_with_and_without_initial_response_of_rfc_4959_4(exchange):
    capability = """
        C: C01 CAPABILITY
        S: * CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN
        S: C01 OK Completed
    """
    assert logins(hold(capability + exchange)) == [Credentials("PLAIN", "test", b"test")]


def test_identity_of_rfc_2971_3():
    assert not hold("""
        C: a023 ID ("name" "sodr" "version" "19.34" "vendor"
            "Pink Floyd Music Limited")
        S: * ID ("name" "mmp")
        S: a023 OK ID completed
        C: a042 ID NIL
        S: * ID ("name" "mmp")
        S: a042 OK ID command completed
    """)


def test_logout_of_rfc_9051_6_1_3():
    events = hold("""
        C: A023 LOGOUT
        S: * BYE IMAP4rev2 Server logging out
        S: A023 OK LOGOUT completed
    """)
    assert events == [Logout()]


def test_no_operation_of_rfc_9051_6_1_2():
    assert not hold("""
        C: a002 NOOP
        S: a002 OK NOOP completed
    """)


@pytest.mark.parametrize(
    ("refusal", "exchange"),
    [
        (
            Refusal.BACKEND_UNAVAILABLE,
            """
            C: a LOGIN "fred" "foo"
            S: a NO [UNAVAILABLE] User's backend down for maintenance
            """,
        ),
        (
            Refusal.BAD_CREDENTIALS,
            """
            C: b LOGIN "fred" "foo"
            S: b NO [AUTHENTICATIONFAILED] Authentication failed
            """,
        ),
        (
            Refusal.NOT_AUTHORIZED,
            """
            C: c1 AUTHENTICATE PLAIN
            S: +
            C: VXJzZWwAS3VydAB4aXBqM3BsbXE=
            S: c1 NO [AUTHORIZATIONFAILED] No such authorization-ID
            """,
        ),
        (
            Refusal.PASSWORD_EXPIRED,
            """
            C: d login "fred" "foo"
            S: d NO [EXPIRED] That password isn't valid any more
            """,
        ),
    ],
)
def test_refusals_of_rfc_5530_3(refusal, exchange):
    assert logins(hold(exchange, answers=[refusal]))


def test_refused_for_want_of_privacy_as_in_rfc_5530_3():
    assert not hold(
        """
        C: d login "fred" "foo"
        S: d NO [PRIVACYREQUIRED] Connection offers no privacy
        """,
        offer=CLEAR,
    )


def test_the_ok_carries_the_capabilities_and_the_words_of_the_store():
    assert hold(
        """
        C: a LOGIN fred foo
        S: a NO [AUTHENTICATIONFAILED] Try again
        C: b LOGIN fred bar
        S: b OK [CAPABILITY IMAP4rev1 IDLE] Logged in
        """,
        answers=[Refusal.BAD_CREDENTIALS, LoggedIn((b"IMAP4rev1", b"IDLE"), b"Logged in", b"")],
    )


def test_a_cancelled_exchange_is_bad_and_another_may_follow():
    events = hold("""
        C: a AUTHENTICATE PLAIN
        S: +
        C: *
        S: a BAD Cancelled
        C: b AUTHENTICATE PLAIN
        S: +
        C: dGVzdAB0ZXN0AHRlc3Q=
        S: b OK
    """)
    assert logins(events) == [Credentials("PLAIN", "test", b"test")]


def test_the_failed_exchange_of_rfc_7628_4_3():
    error = (
        "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIiwib3BlbmlkLWNvbmZpZ3VyYXRpb24iOiJodHRwczov"
        "L2V4YW1wbGUuY29tLy53ZWxsLWtub3duL29wZW5pZC1jb25maWd1cmF0aW9uIn0="
    )
    message = (
        "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVy"
        "IHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
    )
    events = hold(
        f"""
        C: t1 AUTHENTICATE OAUTHBEARER {message}
        S: + {error}
        C: AQ==
        S: t1 NO [AUTHENTICATIONFAILED] SASL authentication failed
        """,
        offer=Offer(("OAUTHBEARER",), plaintext=True, starttls=False),
        answers=[base64.b64decode(error), Refusal.BAD_CREDENTIALS],
    )
    token = b"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
    assert events == [Login(Credentials("OAUTHBEARER", "user@example.com", token)), Response(b"\x01")]


def test_an_exchange_given_up_while_the_login_is_pending_is_bad():
    events = hold(
        """
        C: a AUTHENTICATE SCRAM-SHA-1
        S: +
        C: biwsbj11c2VyLHI9ZnlrbytkMmxiYkZnT05Sdjlxa3hkYXdM
        S: + cj1m
        C: *
        S: a BAD Given up
        C: b NOOP
        S: b OK
        """,
        offer=Offer(("SCRAM-SHA-1",), plaintext=False, starttls=False),
        answers=[b"r=f", Refusal.CANCELLED],
    )
    first = b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"
    assert events == [Login(Credentials("SCRAM-SHA-1", "user", first)), Response(None)]


def test_the_two_challenges_of_login_are_settled_before_the_login():
    events = hold(
        """
        C: a AUTHENTICATE LOGIN
        S: + VXNlcm5hbWU6
        C: dGVzdA==
        S: + UGFzc3dvcmQ6
        C: c2VjcmV0
        S: a OK
        """,
        offer=Offer(("LOGIN",), plaintext=True, starttls=False),
    )
    assert events == [Login(Credentials("LOGIN", "test", b"secret"))]


def test_an_empty_initial_response_is_not_an_absent_one():
    assert not hold("""
        C: a AUTHENTICATE PLAIN =
        S: a BAD PLAIN has no empty message
        C: b AUTHENTICATE PLAIN
        S: +
        C:
        S: b BAD Nor here
    """)


def test_mechanisms_that_are_not_offered_are_refused_before_the_response():
    assert not hold(
        """
        C: a AUTHENTICATE PLAIN
        S: a NO [PRIVACYREQUIRED] Not without TLS
        C: b AUTHENTICATE KERBEROS_V4
        S: b NO Unsupported mechanism
        """,
        offer=CLEAR,
    )


def test_what_the_stores_have_is_told_with_what_is_possible_here():
    assert not hold(
        """
        S: * OK [CAPABILITY IMAP4rev1 SASL-IR ID LITERAL+ IDLE UIDPLUS AUTH=PLAIN] mail.example.com ready
        """,
        greeted=False,
        capabilities=(b"imap4rev1", b"IDLE", b"LITERAL-", b"AUTH=CRAM-MD5", b"StartTLS", b"LOGINDISABLED", b"UIDPLUS"),
    )
