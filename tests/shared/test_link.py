"""The link between processes."""

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.shared.link import PACKET, Kind, Link, frame, frames, pair
from tests.net.turning import Turning


@given(st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=300)), max_size=20))
def test_frames_in_a_packet_come_out_as_they_went_in(sent):
    assert list(frames(b"".join(frame(kind, payload) for kind, payload in sent))) == sent


class Scene:
    def __init__(self):
        self.turning = Turning()
        self.heard, self.lost = [], []
        ours, self.theirs = pair()
        self.link = Link(self.turning.reactor, ours, lambda *said: self.heard.append(said), lambda: self.lost.append(1))
        self.theirs.setblocking(False)


@pytest.fixture
def scene():
    made = Scene()
    yield made
    made.theirs.close()
    made.link.close()
    made.turning.close()


def test_what_is_sent_in_one_turn_goes_out_in_one_packet(scene):
    for _ in range(3):
        scene.link.send(Kind.PING)
    scene.turning.turn()
    assert list(frames(scene.theirs.recv(PACKET))) == [(Kind.PING, b"")] * 3


def test_a_descriptor_arrives_and_the_sender_keeps_its_own(scene):
    reading, writing = os.pipe()
    scene.link.send(Kind.LOG, descriptors=[writing])
    scene.turning.turn()
    _, (copy,), _, _ = socket.recv_fds(scene.theirs, PACKET, 1)
    os.write(copy, b"one ")
    os.write(writing, b"two")
    assert os.read(reading, 100) == b"one two"
    for descriptor in (reading, writing, copy):
        os.close(descriptor)


def test_the_end_is_told_once_and_what_is_sent_then_is_dropped(scene):
    scene.theirs.close()
    scene.turning.until(lambda: scene.lost)
    scene.turning.turn()
    assert scene.lost == [1]
    scene.link.send(Kind.PING)
    scene.turning.turn()
    assert scene.link.closed


def test_what_the_socket_does_not_take_is_sent_later(scene):
    for _ in range(20_000):
        scene.link.send(Kind.PONG, bytes(100))
    got = 0
    while got < 20_000:
        scene.turning.turn()
        try:
            got += len(list(frames(scene.theirs.recv(PACKET))))
        except BlockingIOError:
            pass
    assert got == 20_000


def test_frames_are_heard_in_order(scene):
    scene.theirs.send(frame(Kind.HELLO, b"1") + frame(Kind.SERVING))
    scene.turning.until(lambda: len(scene.heard) == 2)
    assert [said[0] for said in scene.heard] == [Kind.HELLO, Kind.SERVING]
