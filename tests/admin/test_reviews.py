"""Looking at sessions once more, of a worker that the test plays."""

from types import SimpleNamespace

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from mmp.admin.reviews import Reviews
from mmp.errors import Refused
from mmp.model import Client, Endpoint, Refusal, Service, Standing
from mmp.session.record import Record


class Relay:
    """A session in its relay."""

    def __init__(self, user, domain=""):
        client = Client(user, Service.IMAP, Endpoint("192.0.2.7", 40000), Endpoint("198.51.100.1", 143))
        self.record = Record(client, 0.0)
        self.record.standing = Standing(0, user, f"uid={user},dc=a", domain, "store1", 0)
        self.why = ""

    def close(self, why):
        self.why = why


class Scene:
    """Sessions, and what the directory has against whom."""

    def __init__(self, *relays, at_a_time=2):
        self.relays = list(relays)
        self.at_a_time = at_a_time
        self.clock = Clock()
        self.against = {}
        self.looked_at = []
        self.reviews = Reviews(self, self.objection, self.clock)

    def standing(self):
        for start in range(0, len(self.relays), self.at_a_time):
            some = self.relays[start : start + self.at_a_time]
            yield [(each, each.record, each.record.standing) for each in some]

    def objection(self, client, standing):
        self.looked_at.append(standing.name)
        answer = self.against.get(standing.name, "")
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Deferred) else succeed(answer)

    def pass_time(self, seconds=0):
        for _ in range(20):
            self.clock.advance(0)
        self.clock.advance(seconds)
        for _ in range(20):
            self.clock.advance(0)


DOWN = Refused(Refusal.DIRECTORY_UNAVAILABLE, "down")


def test_only_sessions_of_changed_entries_are_looked_at_and_only_those_end_against_which_there_is_something():
    alice, bob, carol = Relay("alice"), Relay("bob"), Relay("carol")
    scene = Scene(alice, bob, carol)
    scene.against = {"alice": "inactive", "carol": "inactive"}
    scene.reviews.changed({"uid=alice,dc=a", "uid=bob,dc=a"})
    scene.pass_time()
    assert scene.looked_at == ["alice", "bob"]
    assert (alice.why, bob.why, carol.why) == ("directory: inactive", "", "")


def test_a_changed_domain_concerns_all_who_are_in_it():
    alice, bob = Relay("alice", "DC=A, o=internet"), Relay("bob", "dc=b,o=internet")
    scene = Scene(alice, bob)
    scene.reviews.changed({"dc=a,o=internet"})
    scene.pass_time()
    assert scene.looked_at == ["alice"]


def test_when_anything_may_have_changed_all_are_looked_at_with_others_served_in_between():
    scene = Scene(*(Relay(f"user{number}") for number in range(10)))
    scene.reviews.changed(None)
    assert len(scene.looked_at) == 2
    scene.pass_time()
    assert len(scene.looked_at) == 10


def test_what_changes_meanwhile_is_looked_at_behind_it():
    scene = Scene(Relay("alice"), Relay("bob"))
    scene.against["alice"] = waiting = Deferred()
    scene.reviews.changed({"uid=alice,dc=a"})
    for _ in range(3):
        scene.reviews.changed({"uid=bob,dc=a"})
    assert scene.looked_at == ["alice"]
    waiting.callback("")
    scene.pass_time()
    assert scene.looked_at == ["alice", "bob"]


@pytest.mark.parametrize("over", ["finished", "another login"])
def test_a_session_that_is_over_or_another_ones_meanwhile_is_left_alone(over):
    alice = Relay("alice")
    scene = Scene(alice)
    scene.against["alice"] = waiting = Deferred()
    scene.reviews.changed(None)
    if over == "finished":
        alice.record.finished = True
    else:
        alice.record.standing = Standing(0, "bob", "uid=bob,dc=a", "", "store1", 0)
    waiting.callback("inactive")
    assert alice.why == ""


def test_while_the_directory_cannot_say_sessions_go_on_and_it_is_asked_again_less_and_less_often():
    alice = Relay("alice")
    scene = Scene(alice)
    scene.against["alice"] = DOWN
    scene.reviews.changed(None)
    for _ in range(600):
        scene.pass_time(1)
    assert 10 < len(scene.looked_at) < 20
    assert alice.why == ""
    scene.against["alice"] = "inactive"
    scene.pass_time(60)
    assert alice.why == "directory: inactive"
    assert not scene.clock.getDelayedCalls()


def test_a_mistake_of_ours_ends_nobody_and_the_next_change_is_looked_at():
    alice = Relay("alice")
    scene = Scene(alice)
    told = []
    scene.reviews._log = SimpleNamespace(failure=lambda *words, **facts: told.append(facts))
    scene.against["alice"] = ZeroDivisionError()
    scene.reviews.changed(None)
    scene.pass_time()
    assert told == [{"session": "alice"}]
    scene.against["alice"] = "inactive"
    scene.reviews.changed(None)
    assert alice.why == "directory: inactive"


def test_a_mistake_of_ours_with_one_keeps_no_others_session():
    relays = [Relay(name) for name in ("alice", "bob", "carol")]
    scene = Scene(*relays)
    scene.reviews._log = SimpleNamespace(failure=lambda *words, **facts: None)
    scene.against = {"alice": ZeroDivisionError(), "bob": "inactive", "carol": "inactive"}
    scene.reviews.changed(None)
    scene.pass_time()
    assert [each.why for each in relays] == ["", "directory: inactive", "directory: inactive"]
