"""Judging passwords by a bind, with a server that the test plays."""

import pytest
from attrs import evolve
from twisted.internet.task import Clock

from mmp.directory.availability import Pace
from mmp.directory.ldap.replica import LDAPURL, Opening
from mmp.directory.ldap.verify import _MOST_UNDER_WAY, BindingReplica, BindJudge
from mmp.directory.verify import Verdict
from mmp.model import Credentials, Refusal
from tests.directory.ldap import oracle
from tests.directory.ldap.fakes import Connecting, Noted
from tests.directory.outcomes import finished, pending, refusal, started
from tests.directory.people import ALICE
from tests.directory.test_verify import PROOF, SCRAM, Judging
from tests.fakes import never_asked

BASE = "dc=example,dc=com"
PASSWORD = Credentials("PLAIN", "alice", b"secret")


class Scene:
    """A judge with some replicas."""

    def __init__(self, *connectors):
        self.clock, self.log = Clock(), Noted()
        self.connectors = connectors or (Connecting(),)
        urls = [LDAPURL.parse(f"ldap://ldap{number}") for number in range(len(self.connectors))]
        self.replicas = [
            BindingReplica(Opening(url, connector, self.clock, 5.0), Pace(str(url), self.log, self.clock.seconds))
            for url, connector in zip(urls, self.connectors, strict=True)
        ]
        self.by_entry = Judging(verdict=True)
        self.judge = BindJudge(self.replicas, BASE, self.by_entry)

    def begin(self, credentials=PASSWORD, entry=ALICE):
        return started(self.judge(entry, credentials, never_asked))

    def answered(self, code, credentials=PASSWORD, entry=ALICE, connector=0, controls=()):
        """Judge, with the answer of a server of the code."""
        begun = self.begin(credentials, entry)
        wire = self.connectors[connector].wire
        wire.answer(oracle.bound(wire.number(), code, controls=controls))
        return begun


def test_a_bind_as_the_user_says_whether_the_password_is_right():
    scene = Scene()
    begun = scene.begin()
    wire = scene.connectors[0].wire
    assert b"uid=alice,dc=example,dc=com" in wire.unread
    assert b"secret" in wire.unread
    wire.answer(oracle.bound(wire.number(), 0))
    assert finished(begun).right is True


@pytest.mark.parametrize("code", [32, 48, 49, 53])
def test_a_server_may_say_no_in_several_ways(code):
    assert finished(Scene().answered(code)).right is False


def test_an_empty_password_is_never_right_and_never_asked_about():
    scene = Scene()
    assert finished(scene.begin(evolve(PASSWORD, secret=b""))).right is False
    assert scene.connectors[0].attempts == 0


def test_an_unknown_user_is_asked_about_like_any_and_is_never_right():
    scene = Scene()
    begun = scene.begin(entry=None)
    wire = scene.connectors[0].wire
    assert b"cn=nobody,dc=example,dc=com" in wire.unread
    wire.answer(oracle.bound(wire.number(), 0))
    assert finished(begun).right is False


def test_a_name_that_is_no_text_is_not_asked_about():
    scene = Scene()
    assert finished(scene.begin(entry=evolve(ALICE, name="uid=\udcff"))).right is False
    assert scene.connectors[0].attempts == 0


@pytest.mark.parametrize("credentials", [PROOF, SCRAM], ids=["CRAM-MD5", "SCRAM"])
def test_what_is_no_password_is_judged_by_the_entry(credentials):
    scene = Scene()
    assert finished(scene.begin(credentials)).right is True
    assert scene.by_entry.judged == [(ALICE, credentials.mechanism)]
    assert scene.connectors[0].attempts == 0


def test_a_connection_is_used_again_but_never_for_two_at_a_time():
    scene = Scene()
    first, second = scene.begin(), scene.begin()
    one, other = scene.connectors[0].wires
    one.answer(oracle.bound(one.number(), 0))
    other.answer(oracle.bound(other.number(), 49))
    assert finished(first).right is True
    assert finished(second).right is False
    assert finished(scene.answered(49)).right is False
    assert scene.connectors[0].attempts == 2


def test_a_connection_that_the_server_has_closed_meanwhile_does_not_count():
    scene = Scene()
    finished(scene.answered(0))
    scene.connectors[0].wire.lose()
    assert finished(scene.answered(0)).right is True
    assert scene.connectors[0].attempts == 2


def test_one_that_it_closes_as_it_is_asked_is_asked_anew_on_another():
    scene = Scene()
    finished(scene.answered(0))
    begun = scene.begin()
    scene.connectors[0].wire.lose()
    wire = scene.connectors[0].wire
    wire.answer(oracle.bound(wire.number(), 0))
    assert finished(begun).right is True
    assert len(scene.connectors[0].wires) == 2


def test_a_replica_that_is_down_is_passed_over_and_then_avoided_for_a_while():
    scene = Scene(Connecting(failure=ConnectionRefusedError("refused")), Connecting())
    assert finished(scene.answered(0, connector=1)).right is True
    assert finished(scene.answered(0, connector=1)).right is True
    assert scene.connectors[0].attempts == 1
    scene.clock.advance(6)
    finished(scene.answered(0, connector=1))
    assert scene.connectors[0].attempts == 2


@pytest.mark.parametrize("code", [1, 8, 13, 51, 52, 80])
def test_a_server_that_does_not_say_is_an_outage(code):
    refused = refusal(Scene().answered(code))
    assert refused.refusal is Refusal.DIRECTORY_UNAVAILABLE
    assert "ldap://ldap0:389" in refused.reason


def test_no_replica_is_an_outage():
    assert refusal(Scene(Connecting(failure=OSError("no route"))).begin()).refusal is Refusal.DIRECTORY_UNAVAILABLE


def test_silence_is_an_outage_and_ends_the_connection():
    scene = Scene()
    begun = scene.begin()
    scene.clock.advance(6)
    assert refusal(begun).refusal is Refusal.DIRECTORY_UNAVAILABLE
    assert scene.connectors[0].wire.closed
    connecting = Scene(Connecting(hanging=True))
    begun = connecting.begin()
    assert pending(begun)
    connecting.clock.advance(6)
    assert refusal(begun).refusal is Refusal.DIRECTORY_UNAVAILABLE
    assert connecting.connectors[0].given_up == 1


def test_a_judgement_that_nobody_waits_for_takes_its_connection_with_it():
    scene = Scene()
    begun = scene.begin()
    begun.addErrback(lambda _: None)
    begun.cancel()
    assert scene.connectors[0].wire.closed
    assert finished(scene.answered(0)).right is True
    assert scene.connectors[0].attempts == 2


def test_so_many_are_judged_at_a_time_and_the_others_wait_for_their_turn():
    scene = Scene()
    begun = [scene.begin() for _ in range(_MOST_UNDER_WAY + 3)]
    wires = scene.connectors[0].wires
    assert len(wires) == _MOST_UNDER_WAY
    for given_up in (begun[0], begun[-1]):  # one under way, one that waits
        given_up.addErrback(lambda _: None)
        given_up.cancel()
    assert len(wires) == _MOST_UNDER_WAY + 1
    for wire in wires[1:]:
        wire.answer(oracle.bound(wire.number(), 49))
    last = next(wire for wire in wires[1:] if wire.unread)
    last.answer(oracle.bound(last.number(), 0))
    assert [finished(each).right for each in begun[1:-1]] == [False] * _MOST_UNDER_WAY + [True]
    assert len(wires) == _MOST_UNDER_WAY + 1


def test_those_who_wait_for_their_turn_at_a_server_that_says_nothing_do_not_wait_for_it_too():
    scene = Scene()
    begun = [scene.begin() for _ in range(_MOST_UNDER_WAY + 3)]
    scene.clock.advance(6)
    assert {refusal(each).refusal for each in begun} == {Refusal.DIRECTORY_UNAVAILABLE}
    assert scene.connectors[0].attempts == _MOST_UNDER_WAY


@pytest.mark.parametrize("code", [0, 49])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3003 810100", Refusal.PASSWORD_EXPIRED),
        ("3003 810101", Refusal.ACCOUNT_LOCKED),
        ("3003 810102", Refusal.PASSWORD_MUST_CHANGE),
    ],
)
def test_the_directorys_policy_says_why_a_password_is_no_use(code, value, expected):
    refused = refusal(Scene().answered(code, controls=[oracle.policy(value)]))
    assert refused.refusal is expected
    assert refused.reason.endswith(" (says the directory)")


@pytest.mark.parametrize("code", [0, 49])
def test_nothing_is_told_of_a_user_whom_nobody_knows(code):
    assert finished(Scene().answered(code, entry=None, controls=[oracle.policy("3003 810101")])) == Verdict(right=False)


@pytest.mark.parametrize(
    ("controls", "verdict"),
    [
        ([], Verdict(right=True)),
        ([oracle.policy("3000")], Verdict(right=True, policy_spoke=True)),
        (
            [oracle.policy("3006 a004 80020258")],
            Verdict(right=True, note="the password expires in 600 s", policy_spoke=True),
        ),
        (
            [oracle.policy("3005 a003 810102")],
            Verdict(right=True, note="the password has expired, grace logins left: 2", policy_spoke=True),
        ),
        (
            [("2.16.840.1.113730.3.4.5", b"172800")],
            Verdict(right=True, note="the password expires in 2 d", policy_spoke=True),
        ),
    ],
)
def test_what_the_policy_says_of_a_good_password_is_passed_on(controls, verdict):
    assert finished(Scene().answered(0, controls=controls)) == verdict


def test_a_wrong_password_of_which_the_policy_says_nothing_is_wrong():
    assert finished(Scene().answered(49, controls=[oracle.policy("3000")])) == Verdict(right=False)
    assert finished(Scene().answered(53)) == Verdict(right=False, note="wrong password: unwillingToPerform")


def test_a_policy_that_cannot_be_read_is_an_outage():
    refused = refusal(Scene().answered(0, controls=[oracle.policy("3003 8101")]))
    assert refused.refusal is Refusal.DIRECTORY_UNAVAILABLE


def test_a_server_that_takes_long_over_passwords_is_told():
    scene = Scene()
    begun = scene.begin()
    scene.clock.advance(1.5)
    wire = scene.connectors[0].wire
    wire.answer(oracle.bound(wire.number(), 0))
    assert finished(begun).right
    assert scene.log.results() == [("ldap://ldap0:389", "slow")]


def test_a_user_who_was_found_at_another_server_is_judged_there():
    here, there = Scene(), Scene()
    judge = evolve(here.judge, others={"there": there.replicas})
    begun = started(judge(evolve(ALICE, at="there"), PASSWORD, never_asked))
    assert here.connectors[0].attempts == 0
    wire = there.connectors[0].wire
    wire.answer(oracle.bound(wire.number(), 49))
    assert finished(begun).right is False
