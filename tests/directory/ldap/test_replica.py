import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from mmp.directory.ldap.filters import FilterTemplate
from mmp.directory.ldap.replica import LDAPURL, Opening, Replica
from mmp.directory.ldap.requests import Simple, read
from mmp.model import Endpoint
from tests.directory.ldap import oracle
from tests.directory.ldap.fakes import Connecting, Noted
from tests.directory.outcomes import finished, pending, run, started

URL = LDAPURL.parse("ldap://ldap.example.com")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def log():
    return Noted()


def replica(clock, connector, log=None, **options):
    return Replica(Opening(URL, connector, clock, 5.0, **options), log or Noted())


def unreachable(deferred):
    with pytest.raises(ConnectionError) as raised:
        finished(deferred)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "endpoint", "implicit"),
    [
        ("ldap://ldap.example.com:1389", Endpoint("ldap.example.com", 1389), False),
        ("ldap://ldap.example.com", Endpoint("ldap.example.com", 389), False),
        ("ldaps://ldap.example.com", Endpoint("ldap.example.com", 636), True),
        ("ldap://[2001:db8::1]:389/", Endpoint("2001:db8::1", 389), False),
    ],
)
def test_a_url_says_where_and_how(text, endpoint, implicit):
    assert LDAPURL.parse(text) == LDAPURL(endpoint, implicit)


def test_a_url_is_told_with_its_port():
    assert str(LDAPURL.parse("ldaps://[2001:db8::1]")) == "ldaps://[2001:db8::1]:636"


@pytest.mark.parametrize("text", ["", "ldap.example.com", "http://ldap.example.com", "ldap://", "ldapi:///run/slapd"])
def test_what_is_no_such_url_is_told(text):
    with pytest.raises(ValueError, match="not of the form"):
        LDAPURL.parse(text)


def test_an_anonymous_link_needs_no_bind(clock):
    connector = Connecting()
    link = run(replica(clock, connector).reach())
    assert link.usable
    assert connector.endpoint == URL.endpoint
    assert connector.wire.asked() == []


def test_a_link_is_kept(clock):
    connector = Connecting()
    made = replica(clock, connector)
    assert made.link is None
    assert run(made.reach()) is run(made.reach()) is made.link
    assert connector.attempts == 1


def test_tls_comes_before_the_password(clock):
    connector = Connecting()
    reached = started(
        replica(clock, connector, start_tls=True, credentials=Simple("cn=proxy", b"secret")).reach(),
    )
    wire = connector.wire
    assert b"secret" not in wire.unread
    wire.answer(oracle.extended(wire.number()))
    assert wire.secured_for == "ldap.example.com"
    assert b"secret" in wire.unread
    wire.answer(oracle.bound(wire.number()))
    assert finished(reached).usable


def test_without_the_right_certificate_no_password_is_sent(clock):
    connector = Connecting(handshake=ConnectionError("the certificate is not for ldap.example.com"))
    reached = started(
        replica(clock, connector, start_tls=True, credentials=Simple("cn=proxy", b"secret")).reach(),
    )
    wire = connector.wire
    wire.answer(oracle.extended(wire.number()))
    assert unreachable(reached) == f"{URL}: the certificate is not for ldap.example.com"
    assert wire.unread == b""
    assert wire.closed == "aborted"


def test_a_refused_bind_closes_the_connection(clock):
    connector = Connecting()
    reached = started(replica(clock, connector, credentials=Simple("cn=proxy", b"secret")).reach())
    connector.wire.answer(oracle.bound(connector.wire.number(), 49))
    assert unreachable(reached) == f"{URL}: bind as cn=proxy refused: invalidCredentials"
    assert connector.wire.closed == "aborted"


def test_connecting_is_given_up_after_its_time(clock):
    connector = Connecting(hanging=True)
    reached = started(replica(clock, connector).reach())
    clock.advance(4.9)
    assert pending(reached)
    clock.advance(0.1)
    assert unreachable(reached) == f"{URL}: not connected within 5 s"
    assert connector.given_up == 1


def test_connecting_and_binding_have_one_time_together(clock):
    connector = Connecting()
    reached = started(
        replica(clock, connector, start_tls=True, credentials=Simple("cn=proxy", b"secret")).reach(),
    )
    clock.advance(3)
    connector.wire.answer(oracle.extended(connector.wire.number()))
    clock.advance(2)
    assert unreachable(reached) == f"{URL}: not connected within 5 s"
    assert connector.wire.closed == "aborted"


def test_all_who_come_while_it_connects_wait_for_the_same_connection(clock):
    connector = Connecting()
    made = replica(clock, connector, credentials=Simple("cn=proxy", b"secret"))
    first, second, third = (started(made.reach()) for _ in range(3))
    second.cancel()
    with pytest.raises(CancelledError):
        finished(second)
    connector.wire.answer(oracle.bound(connector.wire.number()))
    assert finished(first) is finished(third)
    assert connector.attempts == 1


def test_if_the_first_who_came_leaves_the_others_still_get_their_link(clock):
    connector = Connecting()
    made = replica(clock, connector, credentials=Simple("cn=proxy", b"secret"))
    first, second = started(made.reach()), started(made.reach())
    first.addErrback(lambda failure: failure.trap(CancelledError))
    first.cancel()
    connector.wire.answer(oracle.bound(connector.wire.number()))
    assert finished(second).usable


def test_after_a_failure_there_is_a_pause_that_doubles_up_to_five_seconds(clock):
    connector = Connecting(failure=ConnectionRefusedError("refused"))
    made = replica(clock, connector)
    for pause in (0.5, 1.0, 2.0, 4.0, 5.0, 5.0):
        before = connector.attempts
        assert unreachable(started(made.reach())) == f"{URL}: refused"
        assert unreachable(started(made.reach())) == f"{URL}: refused"
        clock.advance(pause - 0.01)
        unreachable(started(made.reach()))
        assert connector.attempts == before + 1
        clock.advance(0.01)


def test_success_ends_the_pauses(clock):
    connector = Connecting(failure=ConnectionRefusedError("refused"))
    made = replica(clock, connector)
    for _ in range(5):
        unreachable(started(made.reach()))
        clock.advance(5)
    connector.failure = None
    run(made.reach())
    connector.wire.lose()
    assert run(made.reach()).usable
    assert connector.attempts == 7


def test_whatever_the_connector_fails_by_is_a_failure_to_connect(clock):
    for failure in (TimeoutError("too slow"), PermissionError("not there"), OSError(113, "No route to host")):
        assert str(failure) in unreachable(started(replica(clock, Connecting(failure=failure)).reach()))


def test_a_lost_link_is_made_again_when_it_is_needed(clock):
    connector = Connecting()
    made = replica(clock, connector)
    run(made.reach())
    connector.wire.lose()
    assert made.link is None
    assert connector.attempts == 1
    assert run(made.reach()).usable


def test_being_down_and_up_again_is_logged_once_each(clock, log):
    connector = Connecting(failure=ConnectionRefusedError("refused"))
    made = replica(clock, connector, log)
    for _ in range(3):
        unreachable(started(made.reach()))
        clock.advance(5)
    connector.failure = None
    run(made.reach())
    connector.wire.lose()
    run(made.reach())
    assert log.events == [
        ("directory", "error", {"result": "down", "url": str(URL), "reason": "refused"}),
        ("directory", "info", {"result": "up", "url": str(URL)}),
    ]


def test_connecting_in_the_background_fails_in_silence(clock):
    connector = Connecting(failure=ConnectionRefusedError("refused"))
    made = replica(clock, connector)
    made.prepare()
    made.prepare()
    assert connector.attempts == 1


def test_connecting_in_the_background_is_begun_once(clock):
    connector = Connecting()
    made = replica(clock, connector, credentials=Simple("cn=proxy", b"secret"))
    made.prepare()
    made.prepare()
    assert connector.attempts == 1
    connector.wire.answer(oracle.bound(connector.wire.number()))
    assert made.link.usable


def test_closing_takes_leave(clock):
    connector = Connecting()
    made = replica(clock, connector)
    made.close()
    run(made.reach())
    made.close()
    assert connector.wire.closed == "in order"


def test_no_secret_is_shown(clock):
    assert "secret" not in repr(Opening(URL, Connecting(), clock, 5.0, credentials=Simple("cn=proxy", b"secret")))


OWN = Simple("cn=proxy", b"secret")
SEARCH = read("", FilterTemplate.parse("(cn=*)").encode(()), [], 5.0)


def bound(connector, code=0, policy="3000"):
    """Answer the bind under way at the newest connection."""
    connector.wire.answer(oracle.bound(connector.wire.number(), code, controls=[oracle.policy(policy)]))


ABOUT_TO_EXPIRE = "3006 a004 80020258"


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (ABOUT_TO_EXPIRE, "our own account: the password expires in 600 s"),
        ("3005 a003 810102", "our own account: the password has expired, grace logins left: 2"),
    ],
)
def test_our_own_password_that_will_not_do_for_long_is_told_and_does_for_now(clock, log, policy, why):
    connector = Connecting()
    reached = started(replica(clock, connector, log, credentials=OWN).reach())
    bound(connector, policy=policy)
    assert finished(reached).usable
    assert log.events == [("directory", "warn", {"result": "warning", "url": str(URL), "reason": why})]


@pytest.mark.parametrize(
    ("code", "policy", "why"),
    [
        (49, "3003 810100", "invalidCredentials; the password has expired"),
        (49, "3003 810101", "invalidCredentials; the account is locked"),
        (0, "3003 810102", "success; the password must be changed"),
    ],
)
def test_our_own_password_that_will_not_do_is_an_outage_and_says_why(clock, log, code, policy, why):
    connector = Connecting()
    reached = started(replica(clock, connector, log, credentials=OWN).reach())
    bound(connector, code, policy)
    assert unreachable(reached) == f"{URL}: bind as cn=proxy refused: {why}"
    assert log.results() == [(str(URL), "down")]


def test_a_link_is_replaced_after_a_while_and_nobody_waits_for_that(clock, log):
    connector = Connecting()
    made = replica(clock, connector, log)
    old = run(made.reach())
    clock.advance(2099)
    asked = old.search(SEARCH)
    assert run(made.reach()) is old
    clock.advance(1)
    assert run(made.reach()) is not old
    old_wire, _ = connector.wires
    assert not old_wire.closed
    old_wire.answer(oracle.done(old_wire.number()))
    assert finished(asked).entries == []
    assert old_wire.closed == "in order"
    assert connector.attempts == 2
    assert log.events == []


def test_a_link_that_cannot_be_replaced_serves_on_and_the_log_says_why(clock, log):
    connector = Connecting()
    made = replica(clock, connector, log)
    old = run(made.reach())
    clock.advance(2100)
    connector.failure = ConnectionRefusedError("refused")
    assert run(made.reach()) is old
    assert run(made.reach()) is old
    assert [facts["reason"] for _, _, facts in log.events] == [
        "the link to it cannot be replaced, the old one still serves: refused"
    ]
    assert connector.attempts == 2


def test_a_warning_is_over_when_the_next_link_needs_none(clock, log):
    connector = Connecting()
    made = replica(clock, connector, log, credentials=OWN)
    reached = started(made.reach())
    bound(connector, policy=ABOUT_TO_EXPIRE)
    finished(reached)
    clock.advance(2100)
    run(made.reach())
    bound(connector)
    assert log.results() == [(str(URL), "warning"), (str(URL), "up")]


def answers_after(clock, made, connector, *times):
    """Have searches answered after so many seconds each."""
    for seconds in times:
        asked = started(made.search(run(made.reach()), SEARCH))
        clock.advance(seconds)
        connector.wire.answer(oracle.done(connector.wire.number()))
        finished(asked)


def test_a_server_that_takes_long_is_told_once_and_once_that_it_does_no_more(clock, log):
    connector = Connecting()
    made = replica(clock, connector, log)
    answers_after(clock, made, connector, 0.5, 1.5, 0.25, 2.0, *[0.5] * 80)
    assert log.events == [
        ("directory", "warn", {"result": "slow", "url": str(URL), "reason": "an answer took 1.5 s, or did not come"}),
        ("directory", "info", {"result": "up", "url": str(URL), "reason": "answers come soon again"}),
    ]


def test_an_answer_that_does_not_come_is_slow_and_one_that_cannot_come_is_not(clock, log):
    connector = Connecting()
    made = replica(clock, connector, log)
    asked = started(made.search(run(made.reach()), SEARCH))
    connector.wire.lose()
    unreachable(asked)
    assert log.events == []
    asked = started(made.search(run(made.reach()), SEARCH))
    clock.advance(5.0)
    unreachable(asked)
    assert log.results() == [(str(URL), "slow")]


def test_a_server_that_is_up_again_and_as_slow_as_before_is_told_as_that(clock, log):
    connector = Connecting()
    made = replica(clock, connector, log)
    answers_after(clock, made, connector, 2.0)
    connector.wire.lose()
    connector.failure = ConnectionRefusedError("refused")
    unreachable(started(made.reach()))
    connector.failure = None
    clock.advance(0.5)
    answers_after(clock, made, connector, 2.0)
    assert [result for _, result in log.results()] == ["slow", "down", "up", "slow"]
