"""How workers share a rush out."""

import socket

import pytest

from mmp.net.port import BREATH, Port
from mmp.net.share import Shares
from tests import fakes


def test_alone_a_worker_takes_everything():
    assert not Shares().of(1).is_exceeded(10_000)


def test_only_the_one_with_more_than_the_mean_lets_others_go_first():
    shares = Shares()
    one, other = shares.of(1), shares.of(2)
    assert not other.is_exceeded(100)
    assert one.is_exceeded(200)
    assert not other.is_exceeded(100)


def test_a_few_sessions_do_not_count():
    shares = Shares()
    shares.of(2).is_exceeded(0)
    assert not shares.of(1).is_exceeded(4)
    assert shares.of(1).is_exceeded(10)


def test_a_worker_that_has_left_is_not_waited_for():
    shares = Shares()
    shares.of(2).is_exceeded(0)
    assert shares.of(1).is_exceeded(100)
    shares.of(2).leave()
    assert not shares.of(1).is_exceeded(100)


def test_workers_of_any_number_have_a_share():
    shares = Shares()
    assert not any(shares.of(number).is_exceeded(5) for number in range(1000))


class Scene:
    """A port whose worker has more than its part as long as the test says so."""

    def __init__(self, turning):
        self.turning, self.exceeded, self.asked, self.accepted = turning, True, 0, []
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.listening.setblocking(False)
        self.clients = [socket.create_connection(self.listening.getsockname()) for _ in range(20)]
        self.port = Port(turning.loop, self.listening, self.arrive, fakes.Log(), self.exceeds)

    def exceeds(self):
        self.asked += 1
        return self.exceeded

    def arrive(self, accepted, address):
        self.accepted.append(accepted)

    def close(self):
        self.port.close()
        for each in (*self.accepted, *self.clients):
            each.close()


@pytest.fixture
def scene(turning):
    made = Scene(turning)
    yield made
    made.close()


def test_a_port_of_a_worker_with_more_than_its_part_takes_one_after_each_breath(scene):
    scene.turning.turn()
    assert scene.accepted == []
    assert scene.port not in scene.turning.reactor.getReaders()
    scene.turning.until(lambda: len(scene.accepted) == 5)
    assert scene.asked <= 7  # it does not turn in circles
    scene.exceeded = False
    scene.turning.until(lambda: len(scene.accepted) == 20)


def test_a_port_that_is_closed_during_a_breath_stays_closed(scene):
    scene.turning.turn()
    scene.port.close()
    scene.turning.reactor.callLater(2 * BREATH, setattr, scene, "over", True)
    scene.turning.until(lambda: hasattr(scene, "over"))
    assert scene.accepted == []
    assert scene.port not in scene.turning.reactor.getReaders()
