"""What RFC 5804 prints, said to our side toward the client."""

import pytest

from mmp.model import Credentials, Offer, Refusal
from mmp.wire.events import LoggedIn, Login, Logout, Response, StartTLS
from tests.wire.managesieve.transcripts import hold_with_client as hold

CLEAR = Offer(mechanisms=(), plaintext=False, starttls=True)
SIEVE = (b'"SIeVE" "fileinto vacation"', b'"NOTIFY" "xmpp mailto"', b'"OWNER" "x"', b'"SASL" "GSSAPI"', b'"STARTTLS"')


def logins(events):
    return [event.credentials for event in events if isinstance(event, Login)]


def test_the_greeting_is_the_list_of_capabilities_of_1_7():
    assert not hold(
        """
        S: "IMPLEMENTATION" "mmp"
        S: "SIeVE" "fileinto vacation"
        S: "NOTIFY" "xmpp mailto"
        S: "SASL" ""
        S: "STARTTLS"
        S: "VERSION" "1.0"
        S: "XCLIENT"
        S: OK
        """,
        offer=CLEAR,
        greeted=False,
        capabilities=SIEVE,
    )


def test_starttls_of_2_2_lists_the_capabilities_anew():
    events = hold(
        """
        C: StartTls
        S: oK
        <TLS negotiation, further commands are under TLS layer>
        S: "IMPLEMENTATION" "mmp"
        S: "SIEVE" ""
        S: "SASL" "PLAIN"
        S: "VERSION" "1.0"
        S: "XCLIENT"
        S: ok
        C: Authenticate "PLAIN" "AHRlc3QAdGVzdA=="
        S: NO
        C: Authenticate "PLAIN" {16+}
        C: AHRlc3QAdGVzdA==
        S: NO (TRYLATER) "later"
        C: StartTls
        S: NO "not twice"
        """,
        offer=CLEAR,
        answers=[Refusal.BAD_CREDENTIALS, Refusal.BACKEND_UNAVAILABLE],
    )
    assert events == [StartTLS(), *[Login(Credentials("PLAIN", "test", b"test"))] * 2]


@pytest.mark.parametrize(
    "exchange",
    [
        """
        C: AUTHENTICATE "PLAIN" "AHRlc3QAdGVzdA=="
        S: OK
        """,
        """
        C: AUTHENTICATE "PLAIN" {16+}
        C: AHRlc3QAdGVzdA==
        S: OK
        """,
        """
        C: authenticate {5+}
        C: plain {16}
        C: AHRlc3QAdGVzdA==
        S: OK
        """,
        """
        C: AUTHENTICATE "PLAIN"
        S: ""
        C: "AHRlc3QAdGVzdA=="
        S: OK
        """,
        """
        C: AUTHENTICATE "PLAIN"
        S: ""
        C: {16+}
        C: AHRlc3QAdGVzdA==
        S: OK
        """,
    ],
)
def test_authenticate_of_2_1_in_every_form(exchange):
    assert logins(hold(exchange)) == [Credentials("PLAIN", "test", b"test")]


def test_an_empty_initial_response_is_not_an_absent_one():
    assert not hold("""
        C: AUTHENTICATE "PLAIN" ""
        S: NO
        C: AUTHENTICATE "PLAIN" {0+}
        C:
        S: NO
        C: AUTHENTICATE "PLAIN"
        S: ""
        C: ""
        S: NO
    """)


def test_a_cancelled_exchange_is_refused_and_another_may_follow():
    events = hold("""
        C: AUTHENTICATE "PLAIN"
        S: ""
        C: "*"
        S: NO
        C: AUTHENTICATE "PLAIN" "AHRlc3QAdGVzdA=="
        S: OK
    """)
    assert logins(events) == [Credentials("PLAIN", "test", b"test")]


def test_an_exchange_may_go_on_while_the_login_is_pending():
    events = hold(
        """
        C: AUTHENTICATE "PLAIN" "AHRlc3QAdGVzdA=="
        S: "Ym4="
        C: "bjE="
        S: "dj0x"
        C: ""
        S: OK
        """,
        answers=[b"bn", b"v=1"],
    )
    assert events[1:] == [Response(b"n1"), Response(b"")]


@pytest.mark.parametrize("line", ['"*"', "*", '"!!!!"', "YQ==", '"YQ==" "YQ=="', ""])
def test_giving_it_up_then_is_reported_and_refused(line):
    events = hold(
        f"""
        C: AUTHENTICATE "PLAIN" "AHRlc3QAdGVzdA=="
        S: "bW9yZQ=="
        C: {line}
        S: NO
        C: NOOP
        S: OK
        """,
        answers=[b"more", Refusal.CANCELLED],
    )
    assert events[1:] == [Response(None)]


def test_the_end_after_too_many_failures_of_2_1():
    assert (
        hold(
            """
        C: Authenticate "PLAIN" "AHRlc3QAdGVzdA=="
        S: NO "User name or password is wrong"
        C: Logout
        S: Ok
        """,
            answers=[Refusal.BAD_CREDENTIALS],
        )[-1]
        == Logout()
    )


def test_no_operation_of_2_13():
    assert not hold("""
        C: NOOP
        S: OK "NOOP completed"
        C: NOOP "STARTTLS-SYNC-42"
        S: OK (TAG "STARTTLS-SYNC-42") "Done"
    """)


def test_capability_of_2_4():
    assert not hold("""
        C: CAPABILITY
        S: "IMPLEMENTATION" "mmp"
        S: "SIEVE" ""
        S: "SASL" "PLAIN"
        S: "VERSION" "1.0"
        S: "XCLIENT"
        S: OK
    """)


def test_mechanisms_that_are_not_offered_are_refused():
    assert not hold(
        """
        C: AUTHENTICATE "PLAIN"
        S: NO (ENCRYPT-NEEDED) "Not without TLS"
        C: AUTHENTICATE "KERBEROS_V4"
        S: NO "Unsupported mechanism"
        """,
        offer=CLEAR,
    )


def test_commands_of_the_authenticated_state_have_to_wait():
    assert not hold("""
        C: LISTSCRIPTS
        S: NO
        C: PUTSCRIPT "x" {8+}
        C: "LOGOUT"
        S: NO
        C: UNAUTHENTICATE
        S: NO
    """)


def test_the_words_of_the_store_answer_the_login():
    assert hold(
        """
        C: AUTHENTICATE "PLAIN" "AHRlc3QAdGVzdA=="
        S: OK "Logged in."
        """,
        answers=[LoggedIn((), b"Logged in.", b"")],
    )
