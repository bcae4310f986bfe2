"""A channel: what it feeds, whom it wakes, when it stops reading."""

import pytest
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from mmp.net.channel import BUFFER, Channel
from tests import fakes
from tests.running import awaited


class Core:
    """Keeps what it is fed until the test consumes it."""

    def __init__(self):
        self.kept = b""

    @property
    def buffered(self):
        return len(self.kept)

    def receive_data(self, octets):
        self.kept += octets


class Scene:
    def __init__(self):
        self.core = Core()
        self.shaken = []
        self.channel = Channel(self.core, self.shaken.append)
        self.stream = self.channel.stream = fakes.Stream()

    def wait(self):
        """Wait for more; return the list that the outcome will be in."""
        outcome = []
        self.waiting = awaited(self.channel.more())
        self.waiting.addBoth(outcome.append)
        return outcome


@pytest.fixture
def scene():
    return Scene()


def test_what_comes_wakes_who_waits(scene):
    outcome = scene.wait()
    assert outcome == []
    scene.channel.dataReceived(b"hello")
    assert outcome == [None]
    assert scene.core.kept == b"hello"


def test_what_came_before_is_not_waited_for_and_counts_once(scene):
    scene.channel.dataReceived(b"a")
    scene.channel.dataReceived(b"b")
    assert scene.wait() == [None]
    assert scene.wait() == []


def test_a_loss_is_told_to_who_waits_and_to_who_asks_later(scene):
    outcome = scene.wait()
    scene.channel.connectionLost(ConnectionAbortedError("closed by the other end"))
    assert outcome[0].check(ConnectionError)
    with pytest.raises(ConnectionError, match="closed by the other end"):
        scene.channel.more()


def test_what_came_before_a_loss_is_looked_at_first(scene):
    scene.channel.dataReceived(b"* BYE")
    scene.channel.connectionLost(ConnectionAbortedError("closed"))
    assert scene.wait() == [None]
    with pytest.raises(ConnectionError):
        scene.channel.more()


def test_a_loss_that_somebody_asked_for_is_told_to_them_alone(scene):
    told = []
    scene.channel.on_loss(told.append)
    outcome = scene.wait()
    reason = ConnectionAbortedError("closed")
    scene.channel.connectionLost(reason)
    assert told == [reason]
    assert outcome == []


def test_who_gives_up_waiting_is_not_woken(scene):
    outcome = scene.wait()
    scene.waiting.cancel()
    assert isinstance(outcome[0], Failure)
    assert outcome[0].check(CancelledError)
    scene.channel.dataReceived(b"late")
    assert len(outcome) == 1
    assert scene.wait() == [None]


def test_reading_stops_above_the_bound_and_goes_on_when_more_is_wanted(scene):
    scene.channel.dataReceived(bytes(BUFFER))
    assert scene.stream.reading
    scene.channel.dataReceived(b"x")
    assert not scene.stream.reading
    assert scene.wait() == [None]
    assert not scene.stream.reading  # the core has not looked at it yet
    scene.core.kept = b""
    assert scene.wait() == []
    assert scene.stream.reading


def test_reading_stops_again_if_the_core_still_holds_too_much(scene):
    scene.channel.dataReceived(bytes(BUFFER + 1))
    scene.wait()
    scene.wait()
    scene.channel.dataReceived(b"x")
    assert not scene.stream.reading


def test_everything_else_is_the_streams(scene):
    scene.channel.write(b"hello")
    scene.channel.start_tls()
    scene.channel.close()
    scene.channel.abort()
    assert (scene.stream.written, scene.stream.closed, scene.stream.aborted) == (b"hello", 1, 1)
    assert scene.shaken == [scene.stream]


def test_a_channel_that_was_never_connected_can_be_closed_and_nothing_else():
    channel = Channel(Core(), None)
    channel.close()
    channel.abort()
    with pytest.raises(ConnectionError):
        channel.write(b"hello")
