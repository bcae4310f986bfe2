"""Connections that wait at the door until the test admits them or turns them away: over loopback, with real cores."""

import socket
from ipaddress import ip_network

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from mmp.errors import Refused
from mmp.model import Refusal
from tests import fakes
from tests.net import listener
from tests.net.turning import Peer

LOGIN = b"a LOGIN alice s3cret-of-alice\r\n"


class Door:
    """Lets nobody in before the test says so."""

    def __init__(self):
        self.clients, self.asked, self.make_room, self.cancelled = [], [], [], 0

    async def admit(self, client, make_room):
        self.clients.append(client)
        self.make_room.append(make_room)
        asked = Deferred(self._cancel)
        self.asked.append(asked)
        return await asked

    def _cancel(self, _asked):
        self.cancelled += 1


class Scene(listener.Scene):
    """A listener with a door, and logins that never end."""

    def __init__(self, turning):
        super().__init__(turning)
        self.door = Door()
        self.reception = evolve(self.reception, door=self.door)

    async def log_in(self, record, credentials, ask):
        self.attempts.append(record.client.session)
        return await Deferred()

    def knock(self):
        """Connect, and return the client once it has been asked for."""
        connection = socket.create_connection(self.listening.getsockname())
        connection.setblocking(False)
        before = len(self.door.asked)
        self.turning.until(lambda: len(self.door.asked) > before)
        return Peer(self.turning, connection)

    def enter(self):
        """Connect and be admitted; return the client and its slot."""
        peer, slot = self.knock(), fakes.Slot()
        self.door.asked[-1].callback(slot)
        assert peer.receive(5) == b"* OK "
        return peer, slot


@pytest.fixture
def scene(turning):
    made = Scene(turning)
    yield made
    made.arrivals.turn_out(Refusal.SHUTTING_DOWN, "over")
    made.port.close()


def test_nobody_is_greeted_before_being_admitted(scene):
    peer = scene.knock()
    scene.turning.turn()
    assert len(scene.arrivals) == 1
    with pytest.raises(BlockingIOError):
        peer.sock.recv(100)
    scene.door.asked[0].callback(fakes.Slot())
    assert peer.receive(5) == b"* OK "
    assert len(scene.arrivals) == 1
    peer.close()


def test_the_slot_is_given_back_when_the_session_ends(scene):
    peer, slot = scene.enter()
    assert slot.closed == 0
    peer.close()
    scene.turning.until(lambda: slot.closed)
    assert slot.closed == 1
    assert len(scene.arrivals) == 0


def test_whoever_is_refused_hears_why_in_the_protocols_words_and_the_log_names_the_limit(scene):
    peer = scene.knock()
    scene.door.asked[0].errback(Refused(Refusal.TOO_MANY_CONNECTIONS, "limit: per_address 0.0.0.0/0"))
    assert peer.rest().startswith(b"* BYE [LIMIT] ")
    peer.close()
    (refused,) = scene.log.named("refused")
    assert (refused["result"], refused["reason"]) == (
        Refusal.TOO_MANY_CONNECTIONS,
        "limit: per_address 0.0.0.0/0",
    )
    assert refused["client"] == scene.door.clients[0].address
    assert len(scene.arrivals) == 0
    assert not scene.log.named("closed")


def test_words_arrive_even_if_the_client_has_spoken_first(scene):
    peer = scene.knock()
    peer.send(LOGIN)
    scene.door.asked[0].errback(Refused(Refusal.RATE_EXCEEDED, "limit: connections_per_minute"))
    assert peer.rest().startswith(b"* BYE ")
    peer.close()


def test_on_a_port_of_implicit_tls_a_refusal_is_a_close_and_nothing_more(scene):
    scene.reception = evolve(scene.reception, implicit_tls=True)
    peer = scene.knock()
    scene.door.asked[0].errback(Refused(Refusal.TOO_MANY_CONNECTIONS, "limit: sessions"))
    assert peer.rest() == b""
    peer.close()


def test_what_a_client_sends_while_it_waits_is_not_lost(scene):
    peer = scene.knock()
    peer.send(LOGIN)
    scene.turning.turn()
    scene.door.asked[0].callback(fakes.Slot())
    scene.turning.until(lambda: scene.attempts)
    peer.close()


def test_at_a_drain_whoever_waits_is_sent_away_and_no_longer_asked_for(scene):
    peer = scene.knock()
    scene.arrivals.turn_out(Refusal.SHUTTING_DOWN, "shutting down")
    assert peer.rest().startswith(b"* BYE [UNAVAILABLE]")
    peer.close()
    assert scene.door.cancelled == 1
    assert len(scene.arrivals) == 0


def test_room_is_made_by_ending_the_oldest_that_is_not_logged_in(scene):
    oldest, slot = scene.enter()
    other, kept = scene.enter()
    newcomer = scene.knock()
    assert scene.door.make_room[-1]()
    assert slot.closed == 1
    assert b"* BYE" in oldest.rest()
    scene.door.asked[-1].callback(fakes.Slot())
    assert newcomer.receive(5) == b"* OK "
    assert kept.closed == 0
    for peer in (oldest, other, newcomer):
        peer.close()


def test_there_is_no_room_to_be_made_where_nobody_is_before_the_login(scene):
    peer = scene.knock()
    assert not scene.door.make_room[0]()
    peer.close()


def test_what_nobody_expected_is_logged_and_costs_one_connection(scene):
    peer = scene.knock()
    with capturedLogs() as captured:
        scene.door.asked[0].errback(ZeroDivisionError())
    assert b"* BYE" in peer.rest()
    assert [event["log_failure"].type for event in captured if "log_failure" in event] == [ZeroDivisionError]
    peer.close()
    peer, _ = scene.enter()
    peer.close()


def test_a_session_that_cannot_begin_gives_its_slot_back(scene):
    begin, begun = scene.reception.make_core, []

    def make_core(offered):
        begun.append(offered)
        if len(begun) == 1:
            raise ZeroDivisionError
        return begin(offered)

    scene.reception = evolve(scene.reception, make_core=make_core)
    peer, slot = scene.knock(), fakes.Slot()
    with capturedLogs():
        scene.door.asked[0].callback(slot)
    assert slot.closed == 1
    assert b"* BYE" in peer.rest()
    peer.close()


def test_a_deadline_that_stands_still_ends_nobody_and_then_goes_on(scene, turning):
    scene.reception = evolve(scene.reception, deadline=0.5)
    peer, _ = scene.enter()
    scene.arrivals.pause("0")
    wheel = turning.loop.wheel
    before = wheel.now
    turning.until(lambda: wheel.now > before + 6)
    assert len(scene.arrivals) == 1
    scene.arrivals.resume("0")
    assert b"* BYE" in peer.rest()
    peer.close()


def test_the_deadline_of_nobody_is_nobodys(scene):
    scene.arrivals.pause("none")
    scene.arrivals.resume("none")


def test_a_load_balancer_that_speaks_for_itself_is_not_asked_for(scene):
    scene.reception = evolve(scene.reception, proxy_protocol_from=(ip_network("127.0.0.0/8"),))
    with socket.create_connection(scene.listening.getsockname()) as connection:
        connection.sendall(b"PROXY UNKNOWN\r\n")
        connection.setblocking(False)
        assert Peer(scene.turning, connection).receive(5) == b"* OK "
    assert scene.door.asked == []


def test_a_client_behind_a_load_balancer_is_asked_for_by_its_own_address(scene):
    scene.reception = evolve(scene.reception, proxy_protocol_from=(ip_network("127.0.0.0/8"),))
    with socket.create_connection(scene.listening.getsockname()) as connection:
        connection.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 143\r\n")
        scene.turning.until(lambda: scene.door.clients)
    assert scene.door.clients[0].address.host == "192.0.2.7"
