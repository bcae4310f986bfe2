"""A crowd of one kind of work, and somebody else beside it: how much of it is done between two turns of the other."""

import socket
from contextlib import suppress

import pytest

from mmp.net.loop import ACCEPTS_A_TURN, HANDSHAKES_A_TURN
from mmp.net.port import Port
from mmp.net.stream import Stream
from tests.net.listener import client_hello
from tests.net.records import shake_hands
from tests.net.turning import Peer, Told, connected, server_tls
from tests.running import awaited

CROWD = 60


class Crowd:
    """Many connections; the steps of their handshakes are counted as they are made."""

    def __init__(self, turning):
        self.turning, self.steps, self.outcomes = turning, [], []
        self.streams, self.peers, self.tls = [], [], server_tls()

    def join(self):
        crowd = self

        class Counted(Stream):
            __slots__ = ()

            def shake(self):
                crowd.steps.append(self)
                super().shake()

        ours, theirs = connected()
        stream = Counted(self.turning.loop, ours, Told())
        awaited(self.tls.start(stream)).addBoth(self.outcomes.append)
        self.streams.append(stream)
        self.peers.append(Peer(self.turning, theirs))

    def close(self):
        for peer in self.peers:
            peer.close()
        for stream in self.streams:
            stream.abortConnection()


@pytest.fixture
def crowd(turning):
    made = Crowd(turning)
    for _ in range(CROWD):
        made.join()
    yield made
    made.close()


@pytest.fixture
def other(turning):
    """A connection in clear whose bytes are answered."""
    ours, theirs = connected()
    told = Told()
    stream = Stream(turning.loop, ours, told)
    yield told, theirs
    theirs.close()
    stream.abortConnection()


def test_between_two_turns_of_a_session_only_a_few_steps_of_handshakes_are_made(turning, crowd, other):
    told, sock = other
    for peer in crowd.peers:
        peer.sock.sendall(client_hello())
    turns = 0
    while len(crowd.steps) < CROWD:
        sock.sendall(b"x")
        before = len(crowd.steps)
        turning.turn()
        turns += 1
        assert len(crowd.steps) - before <= HANDSHAKES_A_TURN
        assert len(told.octets) == turns
    assert turns >= CROWD // HANDSHAKES_A_TURN


def test_those_that_wait_have_their_turn_in_the_order_in_which_they_came(turning, crowd):
    for peer in crowd.peers:
        peer.sock.sendall(client_hello())
    turning.turn()
    first = crowd.steps[0]
    crowd.peers[crowd.streams.index(first)].sock.sendall(b"no TLS")  # it can go on again, behind all the others
    turning.until(lambda: len(crowd.steps) > CROWD)
    assert len(set(crowd.steps[:CROWD])) == CROWD
    assert crowd.steps[CROWD] is first


def test_all_of_a_crowd_are_served(turning, crowd):
    for peer in crowd.peers:
        sealer, _ = shake_hands(peer)
        assert sealer is not None
    turning.until(lambda: len(crowd.outcomes) == CROWD)
    assert all(outcome.version == "TLSv1.3" for outcome in crowd.outcomes)


def test_who_leaves_while_it_waits_is_told_so_and_forgotten(turning, crowd):
    for peer in crowd.peers:
        peer.sock.sendall(client_hello())
        peer.close()
    turning.until(lambda: len(crowd.outcomes) == CROWD)
    assert all(outcome.check(ConnectionError) for outcome in crowd.outcomes)
    assert not [each for each in turning.reactor.getReaders() if each in crowd.streams]


def test_who_is_ended_by_us_while_it_waits_does_no_step_more(turning, crowd):
    for peer in crowd.peers:
        peer.sock.sendall(client_hello())
    turning.turn()
    waiting = [stream for stream in crowd.streams if stream not in crowd.steps]
    assert waiting
    for stream in waiting:
        stream.abortConnection()
    turning.until(lambda: len(crowd.outcomes) >= len(waiting))
    for _ in range(3):
        turning.turn()
    assert not [stream for stream in waiting if stream in crowd.steps]


def test_between_two_turns_of_a_session_only_a_few_connections_are_accepted_by_all_listeners(turning, other):
    told, sock = other
    accepted, ports, clients = [], [], []
    for _ in range(3):
        listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        listening.setblocking(False)
        ports.append(Port(turning.loop, listening, lambda sock, _: accepted.append(sock), None))
        clients += [socket.create_connection(listening.getsockname()) for _ in range(CROWD)]
    turns = 0
    while len(accepted) < len(clients):
        sock.sendall(b"x")
        before = len(accepted)
        turning.turn()
        turns += 1
        assert len(accepted) - before < ACCEPTS_A_TURN + len(ports)
        assert len(told.octets) == turns
    for each in [*accepted, *clients, *ports]:
        each.close()


def test_a_crowd_at_one_listener_does_not_keep_the_others_from_accepting(turning):
    accepted, ports, clients = [], [], []
    for number in range(3):
        listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        listening.setblocking(False)
        clients += [socket.create_connection(listening.getsockname()) for _ in range(CROWD)]
        ports.append(Port(turning.loop, listening, lambda sock, _, at=number: accepted.append((at, sock)), None))
    turning.turn()
    assert {at for at, _ in accepted} == {0, 1, 2}
    assert len(accepted) < len(clients)
    for each in [*(sock for _, sock in accepted), *clients, *ports]:
        each.close()


def test_between_two_turns_of_a_session_one_record_of_another_is_read_if_it_is_small(turning, other):
    told, sock = other
    ours, theirs = connected()
    counted = Told()
    stream = Stream(turning.loop, ours, counted)
    shaken = awaited(server_tls().start(stream))
    sealer, raw = shake_hands(Peer(turning, theirs))
    turning.outcome(shaken)
    raw.send(b"".join(sealer.record(b"x") for _ in range(CROWD)))
    turns = 0
    while len(counted.octets) < CROWD:
        sock.sendall(b"x")
        before = len(counted.octets)
        turning.turn()
        turns += 1
        assert len(counted.octets) - before <= 1
        assert len(told.octets) == turns
    with suppress(OSError):
        raw.close()
    stream.abortConnection()
