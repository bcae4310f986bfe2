"""Questions to workers and their answers, over a link whose two ends are in this process."""

import json

import pytest
from twisted.logger import capturedLogs

from mmp.shared.asking import Answerer, Asker
from mmp.shared.link import PACKET, Kind, Link, pair
from tests.net.turning import Turning


class Scene:
    """A supervisor's end that asks, and a worker's that answers with what the test gives it."""

    def __init__(self):
        self.turning = Turning()
        self.pages = []
        self.made = 0
        ours, theirs = pair()
        self.link = Link(self.turning.reactor, ours, self.from_worker, self.worker_gone)
        self.worker_link = Link(self.turning.reactor, theirs, self.to_worker, lambda: None)
        self.asker = Asker(self.link, self.turning.reactor)
        self.answerer = Answerer(self.worker_link, self.answers)

    def worker_gone(self):
        self.asker.lost()

    def answers(self, asked):
        self.asked = asked
        for page in self.pages:
            self.made += 1
            if isinstance(page, Exception):
                raise page
            yield page

    def from_worker(self, kind, payload, _descriptors):
        assert kind is Kind.PAGE
        self.asker.received(payload)

    def to_worker(self, kind, payload, _descriptors):
        self.answerer.received(kind, payload)

    def next_page(self, question):
        page = self.turning.outcome(question.page())
        return None if page is None else json.loads(page)


@pytest.fixture
def scene():
    made = Scene()
    yield made
    made.link.close()
    made.worker_link.close()
    made.turning.close()


def test_pages_come_in_order_and_then_none(scene):
    scene.pages = [[1], [], ["three"]]
    question = scene.asker.ask({"question": "who"})
    assert [scene.next_page(question) for _ in range(4)] == [[1], [], ["three"], []]
    assert scene.next_page(question) is None
    assert scene.next_page(question) is None
    assert scene.asked == {"question": "who"}


def test_a_page_is_made_only_when_it_is_wanted(scene):
    scene.pages = [[1], [2], [3]]
    question = scene.asker.ask({})
    assert scene.next_page(question) == [1]
    for _ in range(5):
        scene.turning.turn()
    assert scene.made == 1
    assert scene.next_page(question) == [2]
    question.close()
    for _ in range(5):
        scene.turning.turn()
    assert scene.made == 2
    assert scene.answerer.under_way == 0


def test_a_page_larger_than_a_packet_comes_whole(scene):
    scene.pages = [["é" * PACKET, "b" * PACKET]]
    assert scene.next_page(scene.asker.ask({})) == scene.pages[0]


def test_questions_do_not_mix(scene):
    scene.pages = [["a"], ["b"]]
    one, other = scene.asker.ask({}), scene.asker.ask({})
    assert [scene.next_page(each) for each in (one, other, one, other)] == [["a"], ["a"], ["b"], ["b"]]


def test_a_lost_worker_ends_its_answers(scene):
    scene.pages = [[1], [2]]
    question, other = scene.asker.ask({}), scene.asker.ask({})
    assert scene.next_page(question) == [1]
    waiting = question.page()
    scene.worker_link.close()
    assert scene.turning.outcome(waiting) is None
    assert scene.next_page(question) is None
    assert [scene.next_page(other) for _ in range(2)] == [[1], None]  # that page had come in time


def test_whoever_waits_may_give_up(scene):
    scene.pages = [[1]]
    question = scene.asker.ask({})
    waiting = question.page()
    waiting.addErrback(lambda failure: None)
    waiting.cancel()
    for _ in range(5):
        scene.turning.turn()
    assert scene.answerer.under_way == 0
    assert scene.next_page(question) is None


def test_a_worker_that_is_stuck_is_not_waited_for(scene, monkeypatch):
    monkeypatch.setattr("mmp.shared.asking.PATIENCE", 0.05)
    scene.turning.reactor.removeReader(scene.worker_link)
    question = scene.asker.ask({})
    assert scene.next_page(question) is None
    assert scene.next_page(question) is None


def test_a_fault_in_an_answer_ends_the_answer_and_not_the_worker(scene):
    scene.pages = [[1], ZeroDivisionError()]
    question = scene.asker.ask({})
    with capturedLogs() as logged:
        assert [scene.next_page(question) for _ in range(3)] == [[1], [], None]
    assert [each["log_failure"].type for each in logged] == [ZeroDivisionError]
    scene.pages = [[2]]
    assert scene.next_page(scene.asker.ask({})) == [2]
