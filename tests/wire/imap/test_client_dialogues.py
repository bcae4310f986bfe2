"""How our side toward the store goes from greeting to login, with stores of different abilities."""

import pytest

from mmp.errors import LocalProtocolError, Refused
from mmp.model import Endpoint, Origin, Refusal, Replay
from mmp.wire.events import Challenge, LoggedIn, LoginRefused, Ready, StartTLS
from mmp.wire.imap.client import Client
from tests.dialogue import hold_as_client

TEST = Replay("test", b"test")
FRED = Replay("FRED FOOBAR", b"fat man")


def hold(transcript, replay=TEST, *, starttls=False, responses=()):
    return hold_as_client(Client(starttls=starttls), transcript, replay, responses=responses)


def last(transcript, replay=TEST, **options):
    return hold(transcript, replay, **options)[-1]


def test_initial_response_of_rfc_4959_4():
    events = hold("""
        S: * OK hello
        C: C01 CAPABILITY
        S: * CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN
        S: C01 OK Completed
        C: A01 AUTHENTICATE PLAIN AHRlc3QAdGVzdA==
        S: A01 OK [CAPABILITY IMAP4rev1 IDLE] Success (tls protection)
    """)
    assert events == [Ready(), LoggedIn((b"IMAP4rev1", b"IDLE"), b"Success (tls protection)", b"")]


def test_plain_without_initial_response_where_the_store_does_not_take_it():
    assert last("""
        S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hello
        C: A01 AUTHENTICATE PLAIN
        S: +
        C: AHRlc3QAdGVzdA==
        S: A01 OK [CAPABILITY IMAP4rev1] Success
    """) == LoggedIn((b"IMAP4rev1",), b"Success", b"")


def test_acting_as_somebody_else_takes_plain():
    assert last(
        """
        S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hello
        C: a AUTHENTICATE PLAIN VXJzZWwAS3VydAB4aXBqM3BsbXE=
        S: a NO [AUTHORIZATIONFAILED] No such authorization-ID
        """,
        Replay("Kurt", b"xipj3plmq", authzid="Ursel"),
    ) == LoginRefused(Refusal.NOT_AUTHORIZED, "NO [AUTHORIZATIONFAILED] No such authorization-ID")


def test_login_with_quoted_strings():
    assert last(
        """
        S: * OK [CAPABILITY IMAP4rev1] hello
        C: A001 LOGIN "FRED FOOBAR" "fat man"
        S: A001 OK [CAPABILITY IMAP4rev1] LOGIN completed
        """,
        FRED,
    ) == LoggedIn((b"IMAP4rev1",), b"LOGIN completed", b"")


def test_login_with_literals_that_the_store_asks_for():
    transcript = """
        S: * OK [CAPABILITY IMAP4rev1] hello
        C: A001 LOGIN {7}
        S: + Ready for additional command text
        C: jürgen {7}
        S: + Ready for additional command text
        C: grüße
        S: A001 OK [CAPABILITY IMAP4rev1] LOGIN completed
    """
    assert isinstance(last(transcript, Replay("jürgen", "grüße".encode())), LoggedIn)


@pytest.mark.parametrize("capability", ["LITERAL+", "LITERAL-", "literal+"])
def test_login_with_literals_that_come_unasked(capability):
    transcript = f"""
        S: * OK [CAPABILITY IMAP4rev1 {capability}] hello
        C: A001 LOGIN {{7+}}
        C: jürgen {{7+}}
        C: grüße
        S: A001 OK [CAPABILITY IMAP4rev1] LOGIN completed
    """
    assert isinstance(last(transcript, Replay("jürgen", "grüße".encode())), LoggedIn)


def test_literal_minus_has_large_literals_asked_for():
    core = ready(b"IMAP4rev1 LITERAL-")
    core.log_in(Replay("user", b"\xff" * 4097))
    assert core.data_to_send() == b'm1 LOGIN "user" {4097}\r\n'


def test_starttls_of_rfc_3501_6_2_1():
    events = hold(
        """
        S: * OK hello
        C: a001 CAPABILITY
        S: * CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED
        S: a001 OK CAPABILITY completed
        C: a002 STARTTLS
        S: a002 OK Begin TLS negotiation now
        <TLS negotiation, further commands are under [TLS] layer>
        C: a003 CAPABILITY
        S: * CAPABILITY IMAP4rev1
        S: a003 OK CAPABILITY completed
        C: a004 LOGIN "joe" "password"
        S: a004 OK [CAPABILITY IMAP4rev1] LOGIN completed
        """,
        Replay("joe", b"password"),
        starttls=True,
    )
    assert events == [StartTLS(), Ready(), LoggedIn((b"IMAP4rev1",), b"LOGIN completed", b"")]


def test_nothing_of_before_tls_is_believed_under_it():
    transcript = """
        S: * OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN SASL-IR LITERAL+] hello
        C: a002 STARTTLS
        S: a002 OK go
        <TLS>
        C: a003 CAPABILITY
        S: * CAPABILITY IMAP4rev1
        S: a003 OK CAPABILITY completed
        C: a004 LOGIN "test" "test"
        S: a004 OK [CAPABILITY IMAP4rev1] LOGIN completed
    """
    assert isinstance(last(transcript, starttls=True), LoggedIn)


CAME = Origin("s1", Endpoint("2001:db8::7", 51234), Endpoint("192.0.2.1", 993), ttl=4)
TELLING = """ID ("name" "mmp" "x-originating-ip" "2001:db8::7" "x-originating-port" "51234"
     "x-connected-ip" "192.0.2.1" "x-connected-port" "993" "x-session-id" "s1" "x-proxy-ttl" "4")"""


def test_who_the_client_is_goes_ahead_of_the_login_without_waiting():
    transcript = f"""
        S: * OK [CAPABILITY IMAP4rev1 ID SASL-IR AUTH=PLAIN] hello
        C: a023 {TELLING}
        C: a024 AUTHENTICATE PLAIN AHRlc3QAdGVzdA==
        S: * ID ("name" "Cyrus" "version" "1.5" "os" "sunos"
             "os-version" "5.5" "support-url"
             "mailto:cyrus-bugs+@andrew.cmu.edu")
        S: a023 OK ID completed
        S: a024 OK [CAPABILITY IMAP4rev1] Logged in
    """
    assert isinstance(last(transcript, Replay("test", b"test", origin=CAME)), LoggedIn)


def test_a_refused_identity_does_not_matter():
    transcript = f"""
        S: * OK [CAPABILITY IMAP4rev1 ID] hello
        C: a {TELLING}
        C: b LOGIN "test" "test"
        S: a BAD what
        S: b OK [CAPABILITY IMAP4rev1] Logged in
    """
    assert isinstance(last(transcript, Replay("test", b"test", origin=CAME)), LoggedIn)


def test_nothing_is_said_of_the_client_where_that_is_not_to_be_told():
    transcript = """
        S: * OK [CAPABILITY IMAP4rev1 ID] hello
        C: a LOGIN "test" "test"
        S: a OK [CAPABILITY IMAP4rev1] Logged in
    """
    assert isinstance(last(transcript), LoggedIn)


def test_no_identity_is_said_where_the_store_takes_none():
    transcript = """
        S: * OK [CAPABILITY IMAP4rev1] hello
        C: b LOGIN "test" "test"
        S: b OK [CAPABILITY IMAP4rev1] Logged in
    """
    assert isinstance(last(transcript), LoggedIn)


ERROR = (
    b'{"status":"invalid_token","scope":"example_scope",'
    b'"openid-configuration":"https://example.com/.well-known/openid-configuration"}'
)
IN_BASE64 = (
    "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIiwib3BlbmlkLWNvbmZpZ3VyYXRpb24iOiJodHRwczovL2V4"
    "YW1wbGUuY29tLy53ZWxsLWtub3duL29wZW5pZC1jb25maWd1cmF0aW9uIn0="
)

CHALLENGE = (
    "cj1yT3ByTkdmd0ViZVJXZ2JORWtxTyVodllEcFdVYTJSYVRDQWZ1eEZJbGopaE5sRiRrMCxzPVcyMlph"
    "SjBTTlk3c29Fc1VFamI2Z1E9PSxpPTQwOTY="
)


def test_the_failed_exchange_of_rfc_7628_4_3_with_the_dummy_response_passed_on():
    events = hold(
        f"""
        S: * OK [CAPABILITY IMAP4rev1 AUTH=OAUTHBEARER SASL-IR] example.com IMAP server ready
        C: t1 AUTHENTICATE OAUTHBEARER bixhPXVzZXJAZXhhbXBsZS5jb20sAWF1dGg9QmVhcmVyIHZGOQEB
        S: + {IN_BASE64}
        C: AQ==
        S: t1 NO SASL authentication failed
        """,
        Replay("user@example.com", b"vF9", mechanism="OAUTHBEARER"),
        responses=[b"\x01"],
    )
    assert events == [
        Ready(),
        Challenge(ERROR),
        LoginRefused(Refusal.BAD_CREDENTIALS, "NO SASL authentication failed"),
    ]


@pytest.mark.parametrize("ir", [True, False])
def test_the_exchange_of_rfc_7677_3_passes_through(ir):
    first = "AUTHENTICATE SCRAM-SHA-256 biwsbj11c2VyLHI9ck9wck5HZndFYmVSV2diTkVrcU8="
    asked_for = first.replace(" b", "\n        S: +\n        C: b")
    events = hold(
        f"""
        S: * OK [CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256{" SASL-IR" * ir}] ready
        C: a {first if ir else asked_for}
        S: + {CHALLENGE}
        C: Yz1iaXdz
        S: + dj02cnJpVFJCaTIzV3BSUi93dHVwK21NaFVaVW4vZEI1bkxUSlJzamw5NUc0PQ==
        C:
        S: a OK [CAPABILITY IMAP4rev1 IDLE] done
        """,
        Replay("user", b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", mechanism="SCRAM-SHA-256"),
        responses=[b"c=biws", b""],
    )
    assert events == [
        Ready(),
        Challenge(b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
        Challenge(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
        LoggedIn((b"IMAP4rev1", b"IDLE"), b"done", b""),
    ]


def test_sasl_login_will_do_where_the_store_has_nothing_else_for_a_password():
    assert isinstance(
        last("""
            S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=LOGIN SASL-IR] hello
            C: a AUTHENTICATE LOGIN
            S: + VXNlcm5hbWU6
            C: dGVzdA==
            S: + UGFzc3dvcmQ6
            C: dGVzdA==
            S: a OK [CAPABILITY IMAP4rev1] Logged in
        """),
        LoggedIn,
    )


def test_capabilities_said_untagged_during_the_login_count():
    assert last("""
        S: * OK [CAPABILITY IMAP4rev1] hello
        C: b LOGIN "test" "test"
        S: * CAPABILITY IMAP4rev1 IDLE
        S: b OK Logged in
    """) == LoggedIn((b"IMAP4rev1", b"IDLE"), b"Logged in", b"")


def test_capabilities_are_asked_for_where_the_store_does_not_say_them():
    assert last("""
        S: * OK [CAPABILITY IMAP4rev1] hello
        C: b LOGIN "test" "test"
        S: b OK Welcome
        C: c CAPABILITY
        S: * CAPABILITY IMAP4rev1 IDLE
        S: c OK done
    """) == LoggedIn((b"IMAP4rev1", b"IDLE"), b"Welcome", b"")


def test_a_store_that_never_says_its_capabilities_still_lets_in():
    assert last("""
        S: * OK [CAPABILITY IMAP4rev1] hello
        C: b LOGIN "test" "test"
        S: b OK Welcome
        C: c CAPABILITY
        S: c NO
    """) == LoggedIn((), b"Welcome", b"")


@pytest.mark.parametrize("revision", ["IMAP4rev1", "IMAP4rev2", "imap4REV1"])
def test_either_revision_will_do(revision):
    assert hold(f"""
        S: * OK [CAPABILITY {revision} LOGINDISABLED AUTH=PLAIN SASL-IR] hello
        C: b AUTHENTICATE PLAIN AHRlc3QAdGVzdA==
    """) == [Ready()]


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        ("NO [AUTHENTICATIONFAILED] wrong", Refusal.BAD_CREDENTIALS),
        ("no [authenticationfailed] wrong", Refusal.BAD_CREDENTIALS),
        ("NO wrong", Refusal.BAD_CREDENTIALS),
        ("NO", Refusal.BAD_CREDENTIALS),
        ("NO [ALERT] look", Refusal.BAD_CREDENTIALS),
        ("NO [AUTHORIZATIONFAILED] x", Refusal.NOT_AUTHORIZED),
        ("NO [EXPIRED] x", Refusal.PASSWORD_EXPIRED),
        ("NO [PRIVACYREQUIRED] x", Refusal.PRIVACY_REQUIRED),
        ("NO [CONTACTADMIN] x", Refusal.ACCOUNT_DISABLED),
        ("NO [LIMIT] x", Refusal.TOO_MANY_SESSIONS),
        ("NO [UNAVAILABLE] x", Refusal.BACKEND_UNAVAILABLE),
        ("NO [INUSE] x", Refusal.MAILBOX_IN_USE),
        ("NO [CORRUPTION] x", Refusal.MAILBOX_UNUSABLE),
        ("NO [SERVERBUG] x", Refusal.BACKEND_UNAVAILABLE),
        ("NO [REFERRAL imap://user;AUTH=*@other/] x", Refusal.BACKEND_UNAVAILABLE),
        ("BAD what", Refusal.BACKEND_UNAVAILABLE),
    ],
)
def test_what_a_refusal_of_the_store_means(answer, refusal):
    event = last(
        f"""
        S: * OK [CAPABILITY IMAP4rev1] hello
        C: b LOGIN "test" "squeamish"
        S: b {answer}
    """,
        Replay("test", b"squeamish"),
    )
    assert isinstance(event, LoginRefused)
    assert event.refusal is refusal


def test_bye_during_the_login_is_a_store_that_is_not_there():
    event = last("""
        S: * OK [CAPABILITY IMAP4rev1] hello
        C: b LOGIN "test" "test"
        S: * BYE Server shutting down.
    """)
    assert event == LoginRefused(Refusal.BACKEND_UNAVAILABLE, "BYE Server shutting down.")


def ready(capabilities):
    core = Client(starttls=False)
    core.receive_data(b"* OK [CAPABILITY %b] hello\r\n" % capabilities)
    assert core.next_event() == Ready()
    return core


@pytest.mark.parametrize("capabilities", [b"IMAP4rev1", b"IMAP4rev1 AUTH=PLAIN", b"IMAP4rev1 AUTH=PLAIN SASL-IR"])
@pytest.mark.parametrize("replay", [Replay("us\0er", b"x"), Replay("user", b"x\0"), Replay("user", b"x", authzid="\0")])
def test_nul_cannot_be_said(capabilities, replay):
    core = ready(capabilities)
    with pytest.raises(Refused) as refused:
        core.log_in(replay)
    assert refused.value.refusal is Refusal.BAD_CREDENTIALS
    assert core.data_to_send() == b""


@pytest.mark.parametrize(
    ("capabilities", "replay"),
    [
        (b"IMAP4rev1 LOGINDISABLED", TEST),
        (b"IMAP4rev1 LOGINDISABLED AUTH=GSSAPI", TEST),
        (b"IMAP4rev1 AUTH=LOGIN", Replay("admin", b"x", authzid="user")),
        (b"IMAP4rev1 LOGINDISABLED AUTH=LOGIN", Replay("admin", b"x", authzid="user")),
        (b"IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2", Replay("user", b"token", mechanism="OAUTHBEARER")),
        (b"IMAP4rev1 AUTH=SCRAM-SHA-256-PLUS", Replay("u", b"n,,n=u,r=x", mechanism="SCRAM-SHA-256")),
    ],
)
def test_a_store_without_a_way_in_is_a_refusal(capabilities, replay):
    with pytest.raises(Refused) as refused:
        ready(capabilities).log_in(replay)
    assert refused.value.refusal is Refusal.BACKEND_UNAVAILABLE


def test_a_login_before_the_store_is_ready_is_our_own_fault():
    with pytest.raises(LocalProtocolError):
        Client(starttls=False).log_in(TEST)


def test_a_large_response_does_not_go_into_the_command_line():
    core = ready(b"IMAP4rev1 SASL-IR AUTH=PLAIN")
    core.log_in(Replay("user", b"x" * 6000))
    assert core.data_to_send() == b"m1 AUTHENTICATE PLAIN\r\n"
    core.receive_data(b"+ \r\n")
    assert core.next_event() is None
    assert len(core.data_to_send()) == 8010


def test_what_follows_the_ok_belongs_to_the_client():
    core = ready(b"IMAP4rev1")
    core.log_in(TEST)
    core.receive_data(b"m1 OK [CAPABILITY IMAP4rev1] in\r\n* 3 EXISTS {5}\r\n\0\xff")
    assert core.next_event() == LoggedIn((b"IMAP4rev1",), b"in", b"* 3 EXISTS {5}\r\n\0\xff")
    assert core.buffered == 0


def test_what_is_awaited_is_told():
    core = Client(starttls=True)
    phases = [core.phase]
    for octets in (b"* OK hello\r\n", b"* CAPABILITY IMAP4rev1 STARTTLS\r\nm1 OK\r\n", b"m2 OK\r\n"):
        core.receive_data(octets)
        core.next_event()
        phases.append(core.phase)
    core.tls_started()
    phases.append(core.phase)
    core.receive_data(b"* CAPABILITY IMAP4rev1\r\nm3 OK\r\n")
    core.next_event()
    core.log_in(TEST)
    phases.append(core.phase)
    core.receive_data(b"m4 OK\r\n")
    core.next_event()
    phases.append(core.phase)
    assert phases == [
        "greeting",
        "capabilities",
        "STARTTLS",
        "TLS negotiation",
        "capabilities",
        "login",
        "capabilities after login",
    ]
