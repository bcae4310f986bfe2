"""The PROXY header at the beginning of a connection: taken exactly, in time, only from where it is expected."""

import gc
import itertools
import socket
from ipaddress import ip_network

import pytest
from attrs import evolve

from mmp.model import Endpoint, Offer, Refusal, Security, Service
from mmp.net.introduction import Introduction
from mmp.net.listen import Arrivals, House, Reception
from mmp.net.port import Port
from mmp.net.takeover import Relays
from mmp.observe.accounting import Accounting
from mmp.wire.imap.server import Server
from mmp.wire.proxy_header import LIMIT, Header, render_v1, render_v2
from tests import fakes
from tests.net.turning import Peer, client_context, server_tls

LOOPBACK = (ip_network("127.0.0.0/8"),)
CLIENT = Header(Endpoint("192.0.2.7", 51234), Endpoint("203.0.113.1", 993))
TOLD = evolve(
    CLIENT, security=Security("TLSv1.3", "TLS_AES_128_GCM_SHA256"), unique_id=b"f1", authority=b"mail.example"
)
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"


class Scene:
    """A listener that expects headers from loopback, and notes whom each login attempt is for."""

    def __init__(self, turning, **changes):
        self.turning = turning
        self.log = fakes.Log()
        self.clients = []
        accounting = Accounting(self.log, turning.reactor.seconds)
        relays = Relays(turning.loop, {Service.IMAP: 1800.0}, accounting.close)
        capacity = changes.pop("capacity", 1000)
        self.arrivals = Arrivals(
            House(turning.loop, self.log, accounting, relays, map(str, itertools.count()), capacity)
        )
        usual = {
            "service": Service.IMAP,
            "implicit_tls": False,
            "start_tls": server_tls().start,
            "offer": lambda security: Offer((), plaintext=True, starttls=not security.encrypted),
            "make_core": lambda offered: Server(offer=offered, hostname="proxy.example", timestamp=b"<1@x>"),
            "log_in": self.log_in,
            "deadline": 60.0,
            "max_failures": 3,
            "proxy_protocol_from": LOOPBACK,
        }
        self.reception = Reception(**usual | changes)
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setblocking(False)
        self.address = listening.getsockname()
        self.port = Port(turning.loop, listening, self.receive, self.log)

    def receive(self, accepted, address):
        self.arrivals.receive(self.reception, accepted, address)

    async def log_in(self, record, credentials, ask):
        self.clients.append(record.client)
        raise ConnectionError("the test has seen enough")

    def client(self):
        connection = socket.create_connection(self.address)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Peer(self.turning, connection)

    def refused(self):
        """Turn until a connection was turned away; return why."""
        self.turning.until(lambda: self.log.named("refused"))
        (refused,) = self.log.named("refused")
        assert len(self.arrivals) == 0
        return refused["reason"]

    def close(self):
        self.port.close()


@pytest.fixture
def make(turning):
    made = []

    def scene(**changes):
        made.append(Scene(turning, **changes))
        return made[-1]

    yield scene
    for each in made:
        each.close()


def logged_in_as(scene, peer):
    """Log in; return who the session thinks that is."""
    peer.send(b"a LOGIN alice secret\r\n")
    scene.turning.until(lambda: scene.clients)
    peer.close()
    return scene.clients.pop()


@pytest.mark.parametrize("render", [render_v1, render_v2])
def test_the_client_in_the_header_is_the_one_of_the_session_and_the_real_peer_is_told_once(make, render):
    scene = make()
    peer = scene.client()
    peer.send(render(TOLD))
    assert peer.receive(5) == b"* OK "
    ours = peer.sock.getsockname()
    client = logged_in_as(scene, peer)
    assert (client.address, client.local) == (CLIENT.source, CLIENT.destination)
    assert not client.security.encrypted
    (proxied,) = scene.log.named("proxied")
    assert proxied["via"] == Endpoint(*ours)
    assert (proxied["client"], proxied["server"]) == (CLIENT.source, CLIENT.destination)
    if render is render_v2:
        assert (proxied["front_tls"], proxied["unique_id"], proxied["authority"]) == ("TLSv1.3", "f1", "mail.example")
    scene.turning.until(lambda: scene.log.named("closed"))
    others = [facts for name, _, facts in scene.log.events if name != "proxied"]
    assert {facts["client"] for facts in others} == {CLIENT.source}
    assert {facts["session"] for _, _, facts in scene.log.events} == {proxied["session"]}


def test_nothing_is_said_before_the_header_has_come(make):
    scene = make()
    peer = scene.client()
    for octet in render_v2(TOLD):
        for _ in range(2):
            scene.turning.turn()
        assert peer.now(peer.sock.recv, 10) is None
        peer.send(bytes([octet]))
    assert peer.receive(5) == b"* OK "
    peer.close()


@pytest.mark.parametrize("header", [render_v1(CLIENT), render_v2(TOLD), LOCAL, b"PROXY UNKNOWN\r\n"])
def test_what_is_sent_with_the_header_is_the_sessions(make, header):
    scene = make()
    peer = scene.client()
    peer.send(header + b"a NOOP\r\nb LOGOUT\r\n")
    said = peer.rest()
    assert said.startswith(b"* OK ")
    assert b"\r\na OK" in said
    assert b"\r\nb OK" in said
    peer.close()


@pytest.mark.parametrize("header", [LOCAL, b"PROXY UNKNOWN\r\n"])
def test_a_connection_of_the_senders_own_has_its_own_address(make, header):
    scene = make()
    peer = scene.client()
    peer.send(header)
    assert peer.receive(5) == b"* OK "
    ours = Endpoint(*peer.sock.getsockname())
    assert logged_in_as(scene, peer).address == ours
    assert scene.log.named("proxied") == []


@pytest.mark.parametrize("header", [render_v1(CLIENT), render_v2(TOLD)])
@pytest.mark.parametrize("together", [True, False], ids=["with the header", "later"])
def test_a_handshake_behind_the_header_begins_at_its_first_octet(make, header, together):
    scene = make(implicit_tls=True)
    peer = scene.client()
    if together:
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    peer.send(header)
    if not together:
        for _ in range(5):
            scene.turning.turn()
    connection = peer.sock
    tls = client_context().wrap_socket(connection, do_handshake_on_connect=False, server_hostname="localhost")
    peer.sock = tls
    peer.now(tls.do_handshake)
    tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
    peer.attempt(tls.do_handshake)
    assert peer.receive(5) == b"* OK "
    client = logged_in_as(scene, peer)
    assert client.address == CLIENT.source
    assert client.security.version == "TLSv1.3"


def test_starttls_works_behind_a_header(make):
    scene = make()
    peer = scene.client()
    peer.send(render_v2(TOLD) + b"a STARTTLS\r\n")
    said = b""
    while b"a OK" not in said:
        said += peer.attempt(peer.sock.recv, 4096)
    peer.start_tls(client_context(), server_hostname="localhost")
    assert logged_in_as(scene, peer).address == CLIENT.source


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"a LOGIN alice secret\r\n", "no PROXY header"),
        (b"\x16\x03\x01\x02\x00\x01", "no PROXY header"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "malformed"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 70000\r\n", "wrong address or port"),
        (b"PROXY " + b"x" * 500, "without an end"),
        (render_v2(TOLD)[:14] + b"\xff\xff" + b"x" * 70000, "65551 octets"),
        (render_v2(TOLD)[:13] + b"\xf1" + render_v2(TOLD)[14:], "unknown command or family"),
    ],
)
def test_what_is_no_header_ends_the_connection_with_the_reason_in_the_log(make, octets, why):
    scene = make()
    peer = scene.client()
    peer.now(peer.sock.send, octets)
    assert peer.rest() == b""
    assert why in scene.refused()
    assert scene.clients == []
    peer.close()


@pytest.mark.parametrize("begun", [b"", b"PROXY TCP4 1.2", render_v2(TOLD)[:-1]])
def test_a_header_that_does_not_end_in_time_ends_the_connection(make, begun):
    scene = make(deadline=0.25)
    peer = scene.client()
    peer.send(begun)
    assert peer.rest() == b""
    assert "in time" in scene.refused()
    peer.close()


def test_the_deadline_of_the_login_began_with_the_connection(make, turning):
    scene = make(deadline=20.0)
    skipped, seconds = 0.0, turning.reactor.seconds
    turning.reactor.seconds = lambda: seconds() + skipped
    peer = scene.client()
    turning.until(lambda: len(scene.arrivals))
    skipped = 15.0
    peer.send(render_v1(CLIENT))
    assert peer.receive(5) == b"* OK "
    skipped = 25.0
    assert b"* BYE" in peer.rest()
    peer.close()


@pytest.mark.parametrize("begun", [b"", b"PROXY TCP4 1.2", render_v2(TOLD)[:-1]])
def test_a_connection_that_ends_within_its_header_is_told(make, begun):
    scene = make()
    peer = scene.client()
    peer.send(begun)
    peer.sock.shutdown(socket.SHUT_WR)
    assert peer.rest() == b""
    assert ("in the middle of" if begun else "no PROXY header") in scene.refused()
    peer.close()


def test_a_reset_within_the_header_is_told(make):
    scene = make()
    peer = scene.client()
    peer.send(b"PROXY ")
    scene.turning.until(lambda: len(scene.arrivals))
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()
    assert "reset" in scene.refused()


def test_a_second_header_is_not_one(make):
    scene = make()
    peer = scene.client()
    peer.send(render_v1(CLIENT) + b"PROXY TCP4 198.51.100.1 5.6.7.8 1 2\r\n")
    said = peer.rest()
    assert b"* BYE" in said
    scene.turning.until(lambda: scene.log.named("closed"))
    assert scene.log.named("closed")[0]["client"] == CLIENT.source
    peer.close()


def test_a_stranger_is_not_listened_to_about_who_it_is(make):
    scene = make(proxy_protocol_from=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
    peer = scene.client()
    assert peer.receive(5) == b"* OK "
    peer.send(render_v1(CLIENT))
    assert b"* BYE" in peer.rest()
    scene.turning.until(lambda: scene.log.named("closed"))
    assert scene.log.named("closed")[0]["client"] == Endpoint(*peer.sock.getsockname())
    assert scene.log.named("proxied") == scene.log.named("refused") == []
    peer.close()


def test_silent_ones_are_the_first_to_go_when_the_process_is_full(make):
    scene = make(capacity=2)
    silent, speaking, newest = scene.client(), scene.client(), scene.client()
    for peer in (speaking, newest):
        peer.send(render_v1(CLIENT))
        assert peer.receive(5) == b"* OK "
    assert silent.rest() == b""
    assert [refused["reason"] for refused in scene.log.named("refused")] == ["process full"]
    for peer in (silent, speaking, newest):
        peer.close()


def test_a_drain_closes_those_that_have_not_said_who_they_are(make):
    scene = make()
    peer = scene.client()
    scene.turning.until(lambda: len(scene.arrivals))
    scene.arrivals.turn_out(Refusal.SHUTTING_DOWN, "shutting down")
    assert peer.rest() == b""
    assert scene.refused() == "shutting down"
    peer.close()


def introduce(scene, peer):
    peer.send(render_v1(CLIENT))
    assert peer.receive(5) == b"* OK "


def talk_nonsense(scene, peer):
    peer.send(b"nonsense")


def drain(scene, peer):
    scene.arrivals.turn_out(Refusal.SHUTTING_DOWN, "shutting down")


@pytest.mark.parametrize("end", [introduce, talk_nonsense, drain], ids=lambda end: end.__name__)
def test_an_introduction_that_is_over_leaves_nothing_to_the_garbage_collector(make, end):
    def alive():
        return sum(type(each) is Introduction for each in gc.get_objects())

    scene = make()
    gc.collect()
    before = alive()
    gc.disable()
    try:
        peer = scene.client()
        scene.turning.until(lambda: len(scene.arrivals))
        assert alive() == before + 1
        end(scene, peer)
        scene.turning.until(lambda: alive() == before)
        peer.close()
    finally:
        gc.enable()


def test_no_more_than_the_header_is_read_and_an_unfinished_one_does_not_turn_the_loop_in_circles(turning):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    told = []
    introduction = Introduction(turning.loop, ours, 60.0, lambda _, header: told.append(header), lambda *_: None)
    introduction.run()
    header = render_v2(evolve(TOLD, unique_id=b"x" * 128, alpn=b"y" * (LIMIT - 400)))
    theirs.send(header[:-1])
    turning.until(lambda: len(introduction._received) == len(header) - 1)
    assert turning.reactor._poller.poll(0) == []  # nothing is left to be woken by
    theirs.send(header[-1:] + b"behind")
    turning.until(lambda: told)
    assert ours.recv(100) == b"behind"
    assert told[0].source == TOLD.source
    assert introduction not in turning.reactor.getReaders()
    assert turning.loop.wheel._buckets == {}
    ours.close()
    theirs.close()
