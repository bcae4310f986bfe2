"""Moving bytes by splice: the same bytes, nothing kept in idle sessions, and copying where there is no pipe."""

import os
import socket

import pytest

from mmp.net import splice
from mmp.net.splice import Pipe, Pipes
from tests.net.test_relay import MEGABYTES, PLENTY, Scene, fill


@pytest.fixture
def joined(turning):
    scene = Scene(turning).join()
    yield scene
    scene.close()
    turning.loop.pipes.close()


def relay_of(scene):
    return next(iter(scene.relays._running))


def burst(scene):
    """Fill what lies between the store and a client that does not read, until bytes are kept in a pipe."""
    taken = fill(scene.store)
    assert relay_of(scene).client._pipe is not None
    return taken


def test_a_full_read_turns_to_splicing_and_a_small_one_back(joined):
    relay = relay_of(joined)
    joined.store.send(b"small")
    assert joined.client.receive(5) == b"small"
    assert not relay.backend._bulk
    taken = burst(joined)
    assert relay.backend._bulk
    assert joined.client.receive(taken) == PLENTY[:taken]
    joined.store.send(b"small again")
    assert joined.client.receive(11) == b"small again"
    joined.turning.until(lambda: not relay.backend._bulk)
    assert relay.backend.received == 5 + taken + 11


def test_no_session_keeps_a_pipe_that_holds_nothing(joined):
    taken = burst(joined)
    assert joined.client.receive(taken) == PLENTY[:taken]
    joined.turning.until(lambda: relay_of(joined).client._pipe is None)
    assert joined.turning.loop.pipes._lent == 0


def test_what_a_pipe_holds_is_bounded_and_the_source_stops(joined):
    burst(joined)
    relay = relay_of(joined)
    assert relay.client._pipe.held <= splice.CAPACITY
    assert relay.backend not in joined.turning.reactor.getReaders()


def test_what_a_pipe_holds_still_arrives_when_the_store_has_closed(joined):
    taken = burst(joined)
    joined.store.close()
    assert joined.client.rest() == PLENTY[:taken]
    joined.client.close()
    record, who, why = joined.over()
    assert (record.bytes_out, who, why) == (taken, "backend", "closed")


def test_what_a_pipe_holds_still_arrives_when_we_close(joined):
    burst(joined)
    passed_on = relay_of(joined).backend.received
    joined.relays.close_all("shutting down")
    assert joined.client.rest() == PLENTY[:passed_on]


def test_a_pipe_with_bytes_in_it_is_closed_with_its_session_and_never_lent_again(joined):
    burst(joined)
    pipe = relay_of(joined).client._pipe
    ends = {pipe._reader, pipe._writer}
    joined.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    joined.client.close()
    joined.store.now(joined.store.sock.recv, 1)
    joined.turning.until(lambda: joined.turning.loop.pipes._lent == 0)
    assert pipe not in joined.turning.loop.pipes._idle
    for end in ends:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(end)


def test_without_a_pipe_the_bytes_are_copied(joined, monkeypatch):
    monkeypatch.setattr(splice, "LIMIT", 0)
    received = bytearray()
    sent = 0
    while len(received) < len(MEGABYTES):
        if sent < len(MEGABYTES):
            sent += joined.store.now(joined.store.sock.send, MEGABYTES[sent : sent + 300_000]) or 0
        received += joined.client.now(joined.client.sock.recv, 300_000) or b""
        joined.turning.turn()
    assert received == MEGABYTES


def test_pipes_are_lent_up_to_a_limit_and_used_again():
    pipes = Pipes()
    lent = [pipes.lend() for _ in range(splice.LIMIT)]
    assert pipes.lend() is None
    first = lent.pop()
    pipes.take_back(first)
    assert pipes.lend() is first
    for pipe in (*lent, first):
        pipes.take_back(pipe)
    pipes.close()


def test_no_pipe_is_lent_when_descriptors_have_run_out(monkeypatch):
    def none_left(_flags):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe2", none_left)
    assert Pipes().lend() is None


def test_a_pipe_that_cannot_be_made_larger_serves_as_it_is(monkeypatch):
    """What a user's pipes may take of memory is limited (pipe(7), pipe-user-pages-soft)."""

    def too_much(*_arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(splice.fcntl, "fcntl", too_much)
    pipe = Pipe()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"octets")
        assert pipe.fill(ours.fileno()) == 6
        pipe.drain(ours.fileno())
        assert theirs.recv(10) == b"octets"
    pipe.close()
