"""The link between processes."""

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import capturedLogs

from mmp.shared.link import PACKET, PACKETS_A_TURN, Kind, Link, frame, frames, pair, receive
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


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the count alone


def test_all_packets_that_are_there_are_heard_at_once(scene):
    """A client that comes after the last of them finds all of them taken in."""
    for kind in (Kind.LOG, Kind.RENEW, Kind.PING):
        scene.theirs.send(frame(kind))
    scene.link.doRead()
    assert [said[0] for said in scene.heard] == [Kind.LOG, Kind.RENEW, Kind.PING]


def test_a_talkative_end_is_heard_for_a_while_only(scene):
    sent = 0
    try:
        while True:
            scene.theirs.send(frame(Kind.PING))
            sent += 1
    except BlockingIOError:
        pass
    scene.link.doRead()
    assert len(scene.heard) == min(sent, PACKETS_A_TURN)
    scene.turning.until(lambda: len(scene.heard) == sent)


def test_nothing_is_heard_any_more_once_a_frame_has_closed_the_link(scene):
    scene.link._received = lambda *said: (scene.heard.append(said), scene.link.close())
    for _ in range(2):
        scene.theirs.send(frame(Kind.PING) * 2)
    scene.link.doRead()
    assert len(scene.heard) == 1
    assert scene.lost == []


def test_frames_too_many_for_one_packet_go_out_in_several(scene):
    sent = [bytes([number]) * 1000 for number in range(100)]
    for payload in sent:
        scene.link.send(Kind.PONG, payload)
    scene.turning.turn()
    got = []
    while len(got) < len(sent):
        packet = scene.theirs.recv(2 * PACKET)
        assert len(packet) <= PACKET
        got += [payload for _, payload in frames(packet)]
    assert got == sent


def test_a_frame_with_a_descriptor_keeps_its_place_and_its_packet(scene):
    with open(os.devnull, "rb") as null:  # noqa: PTH123 - for its descriptor
        scene.link.send(Kind.PING)
        scene.link.send(Kind.LISTEN, b"0", [null.fileno()])
        scene.link.send(Kind.LISTEN, b"1", [null.fileno()])
        scene.link.send(Kind.SERVE)
    scene.turning.turn()
    packets = [receive(scene.theirs) for _ in range(4)]
    assert [(list(frames(packet)), len(beside)) for packet, beside in packets] == [
        ([(Kind.PING, b"")], 0),
        ([(Kind.LISTEN, b"0")], 1),
        ([(Kind.LISTEN, b"1")], 1),
        ([(Kind.SERVE, b"")], 0),
    ]
    for _, beside in packets:
        for descriptor in beside:
            assert not os.get_inheritable(descriptor)
            os.close(descriptor)


def test_descriptors_that_the_socket_does_not_take_are_sent_later_and_none_is_lost(scene):
    before = open_descriptors()
    with open(os.devnull, "rb") as null:  # noqa: PTH123 - for its descriptor
        for _ in range(500):
            scene.link.send(Kind.LISTEN, bytes(4), [null.fileno()])
    got = 0
    while got < 500:
        scene.turning.turn()
        try:
            _, beside = receive(scene.theirs)
        except BlockingIOError:
            continue
        got += len(beside)
        for descriptor in beside:
            os.close(descriptor)
    assert open_descriptors() == before


def test_descriptors_that_were_not_sent_are_closed_with_the_link(scene):
    before = open_descriptors()
    with open(os.devnull, "rb") as null:  # noqa: PTH123 - for its descriptor
        scene.link.send(Kind.LISTEN, bytes(4), [null.fileno()])
    assert open_descriptors() == before + 1
    scene.link.close()
    assert open_descriptors() == before - 1


def test_descriptors_that_nobody_takes_are_closed(scene):
    before = open_descriptors()
    with open(os.devnull, "rb") as null:  # noqa: PTH123 - for its descriptor
        socket.send_fds(scene.theirs, [frame(Kind.PING)], [null.fileno()] * 3)
    scene.turning.until(lambda: scene.heard)
    scene.turning.turn()
    assert open_descriptors() == before


def test_descriptors_that_were_taken_stay_open(scene):
    taken = []
    scene.link._received = lambda kind, payload, descriptors: taken.append(descriptors.pop())
    with open(os.devnull, "rb") as null:  # noqa: PTH123 - for its descriptor
        socket.send_fds(scene.theirs, [frame(Kind.LOG)], [null.fileno()])
    scene.turning.until(lambda: taken)
    os.close(*taken)


@pytest.mark.parametrize(
    "nonsense", [b"\xfa\x00\x00", b"\x0f", b"\x0f\x00"], ids=["unknown kind", "half a header", "still half"]
)
def test_nonsense_costs_the_link_once_and_no_descriptor(scene, nonsense):
    before = open_descriptors()
    with open(os.devnull, "rb") as null:  # noqa: PTH123 - for its descriptor
        socket.send_fds(scene.theirs, [nonsense], [null.fileno()])
    with capturedLogs():
        scene.turning.until(lambda: scene.lost)
    scene.turning.turn()
    assert scene.lost == [1]
    assert scene.heard == []
    assert open_descriptors() == before - 1


def test_a_fault_of_whoever_hears_costs_the_link_once_and_no_descriptor(scene):
    before = open_descriptors()
    scene.link._received = lambda *_: 1 / 0
    with open(os.devnull, "rb") as null:  # noqa: PTH123 - for its descriptor
        socket.send_fds(scene.theirs, [frame(Kind.LOG)], [null.fileno()])
    with capturedLogs() as logged:
        scene.turning.until(lambda: scene.lost)
    assert scene.lost == [1]
    assert [event["log_failure"].type for event in logged] == [ZeroDivisionError]
    assert open_descriptors() == before - 1


def test_after_closing_nothing_is_told_not_even_the_rest_of_a_packet(scene):
    heard = []

    def received(kind, *_):
        heard.append(kind)
        scene.link.close()

    scene.link._received = received
    scene.theirs.send(frame(Kind.PING) + frame(Kind.DRAIN))
    scene.turning.until(lambda: heard)
    for _ in range(3):
        scene.turning.turn()
    assert heard == [Kind.PING]
    assert scene.lost == []
    assert scene.theirs.recv(1) == b""


def test_an_end_that_says_no_more_still_hears(scene):
    scene.link.send(Kind.PING)
    scene.turning.turn()
    scene.link.finish()
    assert scene.theirs.recv(PACKET) == frame(Kind.PING)
    assert scene.theirs.recv(PACKET) == b""
    scene.theirs.send(frame(Kind.PONG))
    scene.turning.until(lambda: scene.heard)
    scene.link.send(Kind.PING)
    scene.turning.turn()
    assert scene.lost == []
    scene.theirs.close()
    scene.turning.until(lambda: scene.lost)
    scene.link.finish()


def test_what_is_said_to_a_packet_goes_out_at_once_in_one(scene):
    scene.link._received = lambda kind, *_: scene.link.send(Kind.PONG, bytes([kind]))
    scene.theirs.send(frame(Kind.PING) + frame(Kind.SERVE))
    scene.turning.turn()
    assert list(frames(scene.theirs.recv(PACKET))) == [(Kind.PONG, bytes([kind])) for kind in (Kind.PING, Kind.SERVE)]


def test_what_nobody_waits_for_goes_with_the_next_frame_and_in_its_order(scene):
    scene.link.send_along(Kind.GIVE, b"1")
    scene.turning.turn()
    with pytest.raises(BlockingIOError):
        scene.theirs.recv(PACKET)
    scene.link.send(Kind.PING)
    scene.link.send_along(Kind.GIVE, b"2")
    scene.turning.turn()
    assert list(frames(scene.theirs.recv(PACKET))) == [(Kind.GIVE, b"1"), (Kind.PING, b""), (Kind.GIVE, b"2")]


def test_what_nobody_waits_for_goes_by_itself_after_a_moment(scene):
    scene.link.send_along(Kind.GIVE, b"1")
    scene.link.send_along(Kind.GIVE, b"2")
    got = []

    def received():
        try:
            got.append(scene.theirs.recv(PACKET))
        except BlockingIOError:
            return False
        return True

    scene.turning.until(received)
    assert list(frames(got[0])) == [(Kind.GIVE, b"1"), (Kind.GIVE, b"2")]


def test_what_nobody_waits_for_still_goes_before_the_end(scene):
    scene.link.send_along(Kind.GIVE, b"1")
    scene.link.finish()
    assert list(frames(scene.theirs.recv(PACKET))) == [(Kind.GIVE, b"1")]
