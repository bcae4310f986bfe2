"""Certificates that end soon are told of, and files that change are noticed once they are complete."""

from datetime import UTC, datetime

import pytest
from twisted.internet.task import Clock

from mmp.observe.certificates import LOOK_EVERY, TELL_EVERY, CertificateWatch
from tests import fakes
from tests.authority import DAY, Authority, subject


class Scene:
    def __init__(self, folder):
        self.clock = Clock()
        self.log = fakes.Log()
        self.changes = []
        self.began = datetime.now(UTC)
        self.file = folder / "mail.pem"
        self.file.write_bytes(b"one")
        self.watching = CertificateWatch(self.clock, self.log, self.now, lambda: self.changes.append(1))

    def now(self):
        return self.began + self.clock.seconds() / 86400 * DAY

    def watch(self, *, days=90, warning=21):
        pem = Authority.make("Root").issue(subject(CN="mail.example"), days=days).pem
        self.watching.watch([str(self.file)], {"mail.pem": warning * 86400.0}, {"mail.pem": pem})

    def look(self, times=1):
        for _ in range(times):
            self.clock.advance(LOOK_EVERY)


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path)
    yield made
    made.watching.stop()
    assert made.clock.getDelayedCalls() == []


def test_a_change_is_told_once_it_is_complete(scene):
    scene.watch()
    scene.look(3)
    scene.file.write_bytes(b"half")
    scene.look()
    scene.file.write_bytes(b"whole thing")
    scene.look()
    assert scene.changes == []
    scene.look()
    assert scene.changes == [1]
    scene.look(5)
    assert scene.changes == [1]


def test_a_file_that_is_replaced_by_one_of_the_same_size_has_changed(scene, tmp_path):
    scene.watch()
    (tmp_path / "new").write_bytes(b"two")
    (tmp_path / "new").rename(scene.file)
    scene.look(2)
    assert scene.changes == [1]


def test_a_file_that_goes_and_comes_back_is_told_of(scene):
    scene.watch()
    scene.file.unlink()
    scene.look(2)
    scene.file.write_bytes(b"one")
    scene.look(2)
    assert scene.changes == [1, 1]


def test_what_is_watched_anew_is_not_told_of_for_what_was_before(scene):
    scene.watch()
    scene.file.write_bytes(b"other")
    scene.watch()
    scene.look(5)
    assert scene.changes == []


def test_an_end_that_is_near_is_told_at_once_and_every_day(scene):
    scene.watch(days=2)
    scene.clock.pump([TELL_EVERY, TELL_EVERY, TELL_EVERY])
    told = scene.log.named("certificate")
    assert [each["days"] for each in told] == [1, 0, -1, -2]
    assert {each["file"] for each in told} == {"mail.pem"}


def test_an_end_that_is_far_is_told_of_when_it_has_come_near(scene):
    scene.watch(days=90, warning=89)
    assert scene.log.named("certificate") == []
    scene.clock.pump([TELL_EVERY, TELL_EVERY])
    assert [each["days"] for each in scene.log.named("certificate")] == [88, 87]
