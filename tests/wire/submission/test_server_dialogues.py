"""What the RFCs print, said to our side toward the client; and what clients say besides."""

import pytest

from mmp.errors import RemoteProtocolError
from mmp.model import Credentials, Offer, Refusal
from mmp.wire.events import LoggedIn, Login, Logout, Response, StartTLS
from mmp.wire.submission.server import Server
from tests.wire.submission.transcripts import TIMESTAMP
from tests.wire.submission.transcripts import hold_with_client as hold

CLEAR = Offer(mechanisms=(), plaintext=False, starttls=True)
CRAM = Offer(mechanisms=("CRAM-MD5",), plaintext=False, starttls=False)
BOTH = Offer(mechanisms=("PLAIN", "LOGIN"), plaintext=True, starttls=False)


def logins(events):
    return [event.credentials for event in events if isinstance(event, Login)]


def test_plain_over_tls_of_rfc_4954_4_1():
    events = hold(
        """
        S: 220 mail.example.com ESMTP ready
        C: EHLO client.example.com
        S: 250-mail.example.com
        S: 250-ENHANCEDSTATUSCODES
        S: 250 STARTTLS
        C: STARTTLS
        S: 220 Ready to start TLS
        <TLS negotiation proceeds, further commands protected by TLS layer>
        C: EHLO client.example.com
        S: 250-mail.example.com
        S: 250-ENHANCEDSTATUSCODES
        S: 250 AUTH PLAIN
        C: AUTH PLAIN dGVzdAB0ZXN0ADEyMzQ=
        S: 235 2.7.0 Authentication successful
        """,
        offer=CLEAR,
        greeted=False,
        capabilities=(b"ENHANCEDSTATUSCODES",),
    )
    assert events == [StartTLS(), Login(Credentials("PLAIN", "test", b"1234"), greeting="client.example.com")]


def test_plain_without_initial_response_of_rfc_4954_4_1():
    events = hold("""
        C: EHLO client.example.com
        S: 250-mail.example.com
        S: 250 AUTH PLAIN
        C: AUTH PLAIN
        S: 334
        C: dGVzdAB0ZXN0ADEyMzQ=
        S: 235 2.7.0 Authentication successful
    """)
    assert logins(events) == [Credentials("PLAIN", "test", b"1234")]


def test_cram_md5_of_rfc_4954_4_1():
    events = hold(
        """
        C: EHLO client.example.com
        S: 250-mail.example.com
        S: 250 AUTH CRAM-MD5
        C: AUTH CRAM-MD5
        S: 334 PDE4OTYuNjk3MTcwOTUyQG1haWwuZXhhbXBsZS5jb20+
        C: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw
        S: 535 5.7.8 Authentication credentials invalid
        """,
        offer=CRAM,
        answers=[Refusal.BAD_CREDENTIALS],
    )
    (credentials,) = logins(events)
    assert (credentials.mechanism, credentials.user) == ("CRAM-MD5", "tim")


def test_a_cancelled_exchange_of_rfc_4954_4():
    assert not hold("""
        C: EHLO client.example.com
        S: 250-mail.example.com
        S: 250 AUTH PLAIN
        C: AUTH PLAIN
        S: 334
        C: *
        S: 501 5.0.0 Authentication aborted
        C: AUTH PLAIN
        S: 334
        C: !
        S: 501 5.5.2 Cannot decode
    """)


def test_login_as_clients_say_it():
    transcript = """
        C: EHLO client.example.com
        S: 250-mail.example.com
        S: 250 AUTH PLAIN LOGIN
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: dGVzdA==
        S: 334 UGFzc3dvcmQ6
        C: MTIzNA==
        S: 535 5.7.8
        C: auth login dGVzdA==
        S: 334 UGFzc3dvcmQ6
        C: MTIzNA==
        S: 235 2.7.0
    """
    events = hold(transcript, offer=BOTH, answers=[Refusal.BAD_CREDENTIALS])
    assert logins(events) == [Credentials("LOGIN", "test", b"1234")] * 2


def test_an_exchange_goes_on_when_the_store_asks_for_more():
    events = hold(
        """
        C: EHLO client.example.com
        S: 250-mail.example.com
        S: 250 AUTH PLAIN
        C: AUTH PLAIN dGVzdAB0ZXN0ADEyMzQ=
        S: 334 bW9yZQ==
        C: YQ==
        S: 235 2.7.0
        """,
        answers=[b"more"],
    )
    assert events[1:] == [Response(b"a")]


def test_an_exchange_that_the_client_gives_up_is_answered_once():
    events = hold(
        """
        C: EHLO client.example.com
        S: 250-mail.example.com
        S: 250 AUTH PLAIN
        C: AUTH PLAIN dGVzdAB0ZXN0ADEyMzQ=
        S: 334 bW9yZQ==
        C: *
        S: 501 5.0.0
        """,
        answers=[b"more", Refusal.CANCELLED],
    )
    assert events[1:] == [Response(None)]


def test_the_empty_initial_response_is_not_the_absent_one():
    core = Server(
        offer=Offer(("PLAIN",), plaintext=True, starttls=False), hostname="mail.example.com", timestamp=TIMESTAMP
    )
    core.greet()
    core.receive_data(b"EHLO c\r\nAUTH PLAIN =\r\n")
    assert core.next_event() is None
    assert core.data_to_send().splitlines()[-1] == b"501 5.5.2 PLAIN takes two NULs"


def test_what_may_be_said_before_the_login():
    events = hold(
        """
        C: HELO client.example.com
        S: 250 mail.example.com
        C: NOOP
        S: 250 2.0.0
        C: NOOP anything goes
        S: 250 2.0.0
        C: RSET
        S: 250 2.0.0
        C: HELP
        S: 214 2.0.0
        C: VRFY smith
        S: 502 5.5.1
        C: EXPN staff
        S: 502 5.5.1
        C: QUIT
        S: 221 2.0.0
        """,
    )
    assert events == [Logout()]


@pytest.mark.parametrize(
    "command",
    [
        "MAIL FROM:<test@example.com> SIZE=500",
        "RCPT TO:<test@example.com>",
        "DATA",
        "ETRN example.com",
        "mail from:<>",
        "SEND FROM:<x>",
    ],
)
@pytest.mark.parametrize("offer", [CLEAR, BOTH])
def test_mail_before_the_login_is_refused_and_no_command_invites_data(command, offer):
    hold(
        f"""
        C: {command}
        S: 530 5.7.0
        C: NOOP
        S: 250 2.0.0
        """,
        offer=offer,
    )


def test_the_octets_of_a_refused_chunk_are_no_commands():
    hold("""
        C: BDAT 8 LAST
        S: 530 5.7.0
        C: QUIT 8
        C: NOOP
        S: 250 2.0.0
        C: BDAT 0 LAST
        S: 530 5.7.0
        C: NOOP
        S: 250 2.0.0
    """)


def test_a_plaintext_password_without_tls_is_refused_before_it_is_sent():
    hold(
        """
        C: EHLO client.example.com
        S: 250-mail.example.com
        S: 250 STARTTLS
        C: AUTH PLAIN
        S: 538 5.7.11
        C: AUTH LOGIN
        S: 538 5.7.11
        C: AUTH XYZZY
        S: 504 5.5.4
        C: AUTH CRAM-MD5
        S: 538 5.7.11
        """,
        offer=CLEAR,
    )


def test_a_mechanism_that_is_not_offered_is_none():
    hold(
        """
        C: EHLO client.example.com
        S: 250-mail.example.com
        S: 250 AUTH PLAIN
        C: AUTH LOGIN
        S: 504 5.5.4
        """
    )


def test_login_comes_behind_ehlo():
    hold("""
        C: AUTH PLAIN dGVzdAB0ZXN0ADEyMzQ=
        S: 503 5.5.1
    """)


def test_the_name_given_before_tls_is_forgotten():
    hold(
        """
        C: EHLO client.example.com
        S: 250-mail.example.com
        S: 250 STARTTLS
        C: STARTTLS
        S: 220 2.0.0
        <TLS>
        C: AUTH PLAIN dGVzdAB0ZXN0ADEyMzQ=
        S: 503 5.5.1
        C: STARTTLS
        S: 503 5.5.1
        """,
        offer=CLEAR,
    )


def test_of_what_the_stores_offer_is_shown_what_concerns_the_time_after_the_login():
    shown = (b"PIPELINING", b"SIZE 10240000", b"8BITMIME", b"LIMITS RCPTMAX=20")
    kept_back = (
        *(b"AUTH PLAIN GSSAPI", b"STARTTLS", b"XCLIENT NAME ADDR", b"XFORWARD NAME", b"ETRN", b"X-ODD", b"VRFY"),
        *(b"CHUNKING", b"BINARYMIME"),
    )
    hold(
        """
        C: EHLO client.example.com
        S: 250-mail.example.com
        S: 250-PIPELINING
        S: 250-SIZE 10240000
        S: 250-8BITMIME
        S: 250-LIMITS RCPTMAX=20
        S: 250 AUTH PLAIN
        """,
        capabilities=(*kept_back, *shown, b"DSN \x07", b"DSN " + b"x" * 600),
    )


def test_no_keyword_at_all_is_one_line():
    hold(
        """
        C: EHLO client.example.com
        S: 250 mail.example.com
        """,
        offer=Offer((), plaintext=False, starttls=False),
    )


def test_the_stores_words_follow_our_status():
    core = Server(offer=BOTH, hostname="mail.example.com", timestamp=TIMESTAMP)
    core.greet()
    core.receive_data(b"EHLO c\r\nAUTH PLAIN AHUAcA==\r\nMAIL FROM:<>\r\nDATA\r\n")
    core.next_event()
    core.data_to_send()
    core.accept(LoggedIn((), b"2.7.0 Welcome\r\n250 x", b""))
    assert core.data_to_send() == b"235 2.7.0 Welcome  250 x\r\n"
    assert core.trailing() == b"MAIL FROM:<>\r\nDATA\r\n"


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Refusal.BANNED, b"421 4.7.0 "),
        (Refusal.SHUTTING_DOWN, b"421 4.3.2 "),
        (Refusal.INTERNAL, b"421 4.3.0 "),
        (Refusal.BAD_CREDENTIALS, b"421 4.7.0 "),
    ],
)
def test_who_is_turned_away_hears_421_and_no_more(refusal, words):
    core = Server(offer=BOTH, hostname="mail.example.com", timestamp=TIMESTAMP)
    core.turn_away(refusal)
    core.receive_data(b"EHLO c\r\n")
    assert core.next_event() is None
    said = core.data_to_send()
    assert said.startswith(words)
    assert said.count(b"\r\n") == 1


def test_a_goodbye_answers_a_pending_login():
    core = Server(offer=BOTH, hostname="mail.example.com", timestamp=TIMESTAMP)
    core.greet()
    core.receive_data(b"EHLO c\r\nAUTH PLAIN AHUAcA==\r\n")
    core.next_event()
    core.data_to_send()
    core.goodbye(Refusal.SHUTTING_DOWN)
    assert core.data_to_send().startswith(b"421 4.3.2")
    core.refuse(Refusal.INTERNAL)
    assert core.data_to_send() == b""


@pytest.mark.parametrize("behind", [b"EHLO x\r\n", b"\n", b"\x16"])
def test_bytes_behind_starttls_end_it(behind):
    core = Server(offer=CLEAR, hostname="mail.example.com", timestamp=TIMESTAMP)
    core.greet()
    core.receive_data(b"EHLO c\r\nSTARTTLS\r\n" + behind)
    with pytest.raises(RemoteProtocolError):
        core.next_event()
    assert core.data_to_send().splitlines()[-1] == b"421 4.7.0 Bytes behind STARTTLS"
    assert core.buffered == 0
