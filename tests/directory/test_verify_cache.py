"""Remembering which passwords were right."""

from attrs import evolve

from mmp.directory.changes import comparable
from mmp.directory.verify import Verdict
from mmp.directory.verify_cache import Remembered
from mmp.model import Credentials
from tests.directory.outcomes import run
from tests.directory.people import ALICE
from tests.directory.test_verify import PROOF, SCRAM, Judging
from tests.fakes import never_asked

RIGHT = Credentials("PLAIN", "alice", b"secret")


class Scene:
    def __init__(self, *, size=10, verdict=True):
        self.judge = Judging(verdict)
        self.now = 0.0
        self.remembered = Remembered(self.judge, size, 60.0, lambda: self.now, b"key")

    def asks_anew(self, credentials=RIGHT, entry=ALICE):
        """Judge, and tell whether the judge behind it was asked."""
        before = len(self.judge.judged)
        assert run(self.remembered(entry, credentials, never_asked)).right is self.judge.verdict
        return len(self.judge.judged) > before


def test_what_was_right_is_right_for_a_while():
    scene = Scene()
    assert scene.asks_anew()
    assert not scene.asks_anew()
    scene.now = 59.9
    assert not scene.asks_anew()
    scene.now = 60.0
    assert scene.asks_anew()
    assert not scene.asks_anew()


def test_what_was_wrong_is_judged_anew():
    scene = Scene(verdict=False)
    assert scene.asks_anew()
    assert scene.asks_anew()


def test_another_password_mechanism_user_or_entry_is_another_matter():
    scene = Scene()
    assert scene.asks_anew()
    assert scene.asks_anew(evolve(RIGHT, secret=b"other"))
    assert scene.asks_anew(evolve(RIGHT, mechanism="LOGIN"))
    assert scene.asks_anew(entry=evolve(ALICE, name="uid=bob"))
    assert scene.asks_anew(entry=evolve(ALICE, attributes=ALICE.attributes | {"password": ("changed",)}))
    assert not scene.asks_anew()


def test_what_says_no_password_and_who_is_nobody_are_always_judged():
    scene = Scene()
    for credentials, entry in [(PROOF, ALICE), (SCRAM, ALICE), (RIGHT, None)]:
        assert scene.asks_anew(credentials, entry)
        assert scene.asks_anew(credentials, entry)


def test_what_was_right_is_judged_anew_when_the_entry_has_changed():
    scene = Scene()
    other = evolve(ALICE, name="uid=bob,dc=example,dc=com")
    scene.asks_anew()
    scene.asks_anew(entry=other)
    scene.remembered.forget({comparable(ALICE.name)})
    assert not scene.asks_anew(entry=other)
    assert scene.asks_anew()
    scene.remembered.forget()
    assert scene.asks_anew()
    assert scene.asks_anew(entry=other)


def test_what_was_judged_right_before_a_change_and_told_after_it_is_not_remembered():
    scene = Scene()

    async def overtaken(*_):
        scene.remembered.forget({"another"})
        return Verdict(right=True)

    scene.judge, judge = overtaken, scene.judge
    scene.remembered._judge = overtaken
    assert run(scene.remembered(ALICE, RIGHT, never_asked)).right
    scene.judge = scene.remembered._judge = judge
    assert scene.asks_anew()


def test_no_more_are_remembered_than_there_is_room_for():
    scene = Scene(size=2)
    secrets = [evolve(RIGHT, secret=secret) for secret in (b"one", b"two", b"three")]
    scene.asks_anew(secrets[0])
    scene.asks_anew(secrets[1])
    assert not scene.asks_anew(secrets[0])
    scene.asks_anew(secrets[2])  # in place of the one that was used least lately
    assert not scene.asks_anew(secrets[0])
    assert scene.asks_anew(secrets[1])


def test_no_room_is_no_memory():
    scene = Scene(size=0)
    assert scene.asks_anew()
    assert scene.asks_anew()
    assert scene.remembered._right == {}


def test_no_password_is_kept():
    scene = Scene()
    scene.asks_anew()
    assert b"secret" not in b"".join(scene.remembered._right)
    assert "secret" not in repr(vars(scene.remembered))
