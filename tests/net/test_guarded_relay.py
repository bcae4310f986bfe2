"""The relay under a guard: what it lets through, what it answers itself, and that who does not read is not read."""

import itertools
import socket
import ssl

import pytest

from mmp.errors import RemoteProtocolError
from mmp.model import Service
from mmp.net.takeover import Relays
from tests.net.test_relay import PAIRINGS, Scene


class Doorkeeper:
    """Refuses lines that begin with X, at once; ends the session at one with Q, and at one with B after a last word.

    At one with W it waits until it is told, also by a store that says "go", and only then lets it pass with all behind.
    """

    def __init__(self):
        self.waits = False
        self.held = b""
        self._line = b""
        self._answers = []
        self._ended = False

    def from_client(self, octets):
        octets = self.held + octets
        before, found, behind = octets.partition(b"W")
        self.waits, self.held = self.waits or bool(found), found + behind
        if self.waits:
            return self.seen(before)
        return self.seen(octets)

    def tell(self):
        """Let what was held pass."""
        self.waits, self.held = False, self.held.replace(b"W", b"w")

    def seen(self, octets):
        *lines, self._line = (self._line + octets).split(b"\n")
        for line in lines:
            if line.startswith(b"Q"):
                raise RemoteProtocolError("quarrelsome")
            if line.startswith(b"X"):
                self._answers.append(b"no\n")
            if line.startswith(b"B"):
                self._answers.append(b"bye\n")
                self._ended = True
        return b"".join(line + b"\n" for line in lines if not line.startswith((b"X", b"B")))

    def from_store(self, octets):
        if b"go" in octets:
            self.tell()
        return octets.upper()

    def answers(self):
        answers = b"".join(self._answers)
        self._answers.clear()
        return answers

    def stop_if_ended(self):
        if self._ended and not self._answers:
            raise RemoteProtocolError("bored")


def guarded(turning, **options):
    scene = Scene(turning, **options)
    guards = {Service.IMAP: lambda logged_in, _: None if b"harmless" in logged_in.capabilities else Doorkeeper()}
    scene.relays = Relays(turning.loop, {Service.IMAP: 1800.0}, lambda *ended: scene.ended.append(ended), guards)
    return scene


@pytest.fixture(params=PAIRINGS, ids=["clear-clear", "clear-tls", "tls-clear", "tls-tls"])
def scene(request, turning):
    made = guarded(turning, client_tls_on=request.param[0], store_tls_on=request.param[1])
    yield made
    made.close()


def waiting(scene):
    """Return a relay whose guard waits."""
    scene.join()
    relay = next(iter(scene.relays._running))
    scene.client.send(b"Wait\n")
    scene.turning.until(lambda: relay.guard.waits)
    return relay


def test_what_the_guard_refuses_does_not_arrive_and_is_answered(scene):
    scene.join()
    scene.client.send(b"one\nXCLIENT\ntwo\n")
    assert scene.store.receive(8) == b"one\ntwo\n"
    assert scene.client.receive(3) == b"no\n"
    scene.store.send(b"ok\n")
    assert scene.client.receive(3) == b"OK\n"


def test_what_was_sent_behind_the_login_goes_by_the_guard_too(scene):
    scene.join(from_client=b"one\nX\n", from_store=b"hello\n")
    assert scene.store.receive(4) == b"one\n"
    assert scene.client.receive(9) == b"HELLO\nno\n"


def test_the_guard_may_end_the_session(scene):
    scene.join()
    scene.client.send(b"one\nQ\n")
    assert scene.client.rest() == b""
    assert scene.store.rest() == b""
    scene.client.close()
    scene.store.close()
    _, who, why = scene.over()
    assert (who, why) == ("proxy", "quarrelsome")


@pytest.mark.parametrize("behind_the_login", [False, True])
def test_behind_the_guards_last_word_both_ends_are_closed_though_nobody_says_more(scene, behind_the_login):
    scene.join(from_client=b"one\nB\n" if behind_the_login else b"")
    if not behind_the_login:
        scene.client.send(b"one\nB\n")
    assert scene.client.rest() == b"bye\n"
    assert scene.store.rest() == b"one\n"
    scene.client.close()
    scene.store.close()
    _, who, why = scene.over()
    assert (who, why) == ("proxy", "bored")


def test_the_guard_may_end_the_session_at_what_was_sent_behind_the_login(scene):
    with pytest.raises(RemoteProtocolError):
        scene.join(from_client=b"Q\n")
    assert len(scene.relays) == 0
    assert scene.slot.closed == 0


def test_a_session_that_needs_none_has_none(turning):
    made = guarded(turning)
    made.capabilities = (b"harmless",)
    made.join()
    made.client.send(b"XCLIENT\n")
    assert made.store.receive(8) == b"XCLIENT\n"
    made.close()


def test_who_does_not_read_our_answers_is_not_read_and_goes_on_later(turning):
    made = guarded(turning).join()
    relay = next(iter(made.relays._running))
    flood = b"X\n" * 100_000
    sent = blocked = 0
    while blocked < 10 and sent < 1 << 28:
        taken = made.client.now(made.client.sock.send, flood)
        blocked = 0 if taken else blocked + 1
        sent += taken or 0
        turning.turn()
    assert blocked == 10
    assert len(relay.client._queue) <= 2 * 65536
    assert relay.client not in turning.reactor.getReaders()
    answers = itertools.takewhile(bool, iter(lambda: made.client.now(made.client.sock.recv, 65536), None))
    got = 0
    while got < sent // 2 * 3 - 3:
        got += sum(map(len, answers)) or len(made.client.now(made.client.sock.recv, 65536) or b"")
        turning.turn()
    made.client.send(b"\nlast\n")
    turning.until(lambda: relay.client in turning.reactor.getReaders())
    assert made.store.receive(6).endswith(b"last\n")
    made.close()


def test_who_does_not_read_our_answers_is_not_read_however_often_the_guard_has_waited(turning):
    made = guarded(turning).join()
    relay = next(iter(made.relays._running))
    sent = blocked = 0
    while blocked < 10 and sent < 1 << 28:
        taken = made.client.now(made.client.sock.send, b"X\n" * 10_000 + b"W\n")
        blocked = 0 if taken else blocked + 1
        sent += taken or 0
        turning.turn()
        while relay.guard.waits:
            relay.guard.tell()
            relay.go_on()
    assert blocked == 10
    assert len(relay.client._queue) <= 3 * 65536
    assert relay.client not in turning.reactor.getReaders()
    made.close()


@pytest.mark.parametrize("first", ["client", "backend"])
def test_when_both_ends_are_full_the_one_that_reads_first_makes_room_for_the_other(turning, first):
    made = guarded(turning).join()
    relay = next(iter(made.relays._running))
    text = b"a" * 65535 + b"\n"
    for end, full in ((made.store, relay.client), (made.client, relay.backend)):
        blocked = 0
        while blocked < 10:
            blocked = 0 if end.now(end.sock.send, text) else blocked + 1
            turning.turn()
        assert full._queue
    ends = {"client": (made.client, relay.client), "backend": (made.store, relay.backend)}
    reading, emptied = ends[first]
    turning.until(lambda: not (emptied._queue and reading.receive(len(text))))
    assert emptied.other in turning.reactor.getReaders()
    assert emptied.other._queue
    made.close()


def test_while_the_guard_waits_the_client_is_not_read_and_then_all_passes_in_order(scene):
    scene.join(from_client=b"one\n")
    relay = next(iter(scene.relays._running))
    scene.client.send(b"two\nWait\nthree\n")
    assert scene.store.receive(8) == b"one\ntwo\n"
    assert relay.client not in scene.turning.reactor.getReaders()
    scene.client.send(b"four\n")
    scene.store.send(b"ok\n")
    assert scene.client.receive(3) == b"OK\n"
    assert relay.client not in scene.turning.reactor.getReaders()
    relay.guard.tell()
    relay.go_on()
    assert scene.store.receive(16) == b"wait\nthree\nfour\n"


def test_what_was_held_back_until_the_store_said_something_passes_at_once(scene):
    scene.join()
    relay = next(iter(scene.relays._running))
    scene.client.send(b"one\nWait\ntwo\n")
    assert scene.store.receive(4) == b"one\n"
    assert relay.client not in scene.turning.reactor.getReaders()
    scene.store.send(b"go\n")
    assert scene.store.receive(9) == b"wait\ntwo\n"
    assert scene.client.receive(3) == b"GO\n"
    scene.client.send(b"three\n")
    assert scene.store.receive(6) == b"three\n"


def test_a_guard_that_waits_behind_the_login_is_waited_for(scene):
    scene.join(from_client=b"Wait\n")
    relay = next(iter(scene.relays._running))
    assert relay.client not in scene.turning.reactor.getReaders()
    relay.guard.tell()
    relay.go_on()
    assert scene.store.receive(5) == b"wait\n"


def test_an_answer_that_comes_when_all_is_over_changes_nothing(scene):
    relay = waiting(scene)
    relay.close("kicked")
    relay.guard.tell()
    relay.go_on()
    scene.client.close()
    scene.store.close()
    scene.over()
    relay.go_on()


def test_what_ends_while_the_guard_waits_ends_in_order(scene):
    relay = waiting(scene)
    relay.close("kicked")
    assert scene.client.rest() == scene.store.rest() == b""
    assert relay.client in scene.turning.reactor.getReaders()
    scene.client.close()
    scene.store.close()
    assert scene.over()[1:] == ("proxy", "kicked")


def test_what_waits_for_a_store_that_has_gone_is_dropped_and_ends_in_order(scene):
    relay = waiting(scene)
    scene.store.send(b"bye\n")
    if isinstance(scene.store.sock, ssl.SSLSocket):
        scene.store.now(scene.store.sock.unwrap)
    else:
        scene.store.sock.shutdown(socket.SHUT_WR)
    assert scene.client.rest() == b"BYE\n"
    assert relay.client in scene.turning.reactor.getReaders()
    scene.client.send(b"more\n" * 10)
    scene.client.close()
    scene.store.close()
    assert scene.over()[1:] == ("backend", "closed")
    assert relay.guard.held == b"Wait\n"


def test_what_begins_to_wait_once_the_store_has_gone_is_dropped_and_ends_in_order(turning):
    scene = guarded(turning).join()
    relay = next(iter(scene.relays._running))
    scene.store.sock.shutdown(socket.SHUT_WR)
    turning.until(lambda: relay.backend.ended)
    scene.client.send(b"Wait\n")
    turning.until(lambda: relay.guard.waits)
    scene.client.sock.shutdown(socket.SHUT_WR)
    assert scene.store.rest() == b""
    assert scene.over()[1:] == ("backend", "closed")


class Submissions:
    """A meter that is told when it was closed."""

    limits = frozenset({"messages_per_hour"})

    def __init__(self):
        self.closed = 0
        self.go_on = None

    def close(self):
        self.closed += 1


def metered(turning, guard):
    scene, meter = guarded(turning), Submissions()
    scene.relays = Relays(
        turning.loop,
        {Service.IMAP: 1800.0},
        lambda *ended: scene.ended.append(ended),
        {Service.IMAP: guard},
        lambda _record: meter,
    )
    return scene, meter


def test_a_meter_is_closed_with_its_session(turning):
    scene, meter = metered(turning, lambda _, given: Doorkeeper())
    scene.join()
    relay = next(iter(scene.relays._running))
    assert meter.go_on == relay.go_on
    scene.client.close()
    scene.store.close()
    scene.over()
    assert meter.closed == 1


def test_a_meter_is_closed_when_there_is_no_session_to_be(turning):
    scene, meter = metered(turning, lambda _, given: Doorkeeper())
    with pytest.raises(RemoteProtocolError):
        scene.join(from_client=b"Q\n")
    assert meter.closed == 1
    scene.close()
